"""The calls of discovery: their methods, and the stream of each. Requests are applied to its state, responses
are composed when it can take them.

A client that reads slowly delays only itself. Changes in the meantime are merged, because a response is
composed only when the one before has been sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError

from controlplane.net.crowd import sender
from controlplane.net.lines import host_of
from controlplane.rpc.transport import Call, CallEnd, Handler

from . import wire
from .bounds import LONGEST_ID, Bounds
from .delta import DeltaSubscription
from .messages import Message, OpaqueDeltaRequest, OpaqueSotwRequest
from .node import NOBODY
from .resource import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE, RUNTIME, SECRET, VIRTUAL_HOST
from .resources import Overrun
from .sotw import SotwSubscription
from .standing import Standing
from .stream_state import StreamState, TooManyTypes
from .subscription import Sent, TooManyNames
from .view import NotAllowed, View

_LARGE = 1 << 19
"""Bytes. The names of a larger request are counted before it is decoded: decoding a million takes 26 ms."""
_OTHER_FIELDS = 64
"""The fields that a request may have besides names."""


def parse(raw: bytes, variant: type[Any], only: str | None) -> Message:
    """Parse a request. Raises CallEnd for malformed bytes and for a type that the service does not have."""
    message = OpaqueDeltaRequest if variant is DeltaSubscription else OpaqueSotwRequest
    try:
        request = message.FromString(raw)
    except DecodeError as error:
        raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, f"not a {message.DESCRIPTOR.name}: {error}") from None
    if len(request.type_url) > LONGEST_ID:
        raise CallEnd(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"type_url has {len(request.type_url)} characters, more than {LONGEST_ID}",
        )
    if only is not None:
        if request.type_url not in ("", only):
            raise CallEnd(
                grpc.StatusCode.INVALID_ARGUMENT, f"this service has {only} only, not {request.type_url}"
            )
        request.type_url = only
    elif not request.type_url:
        raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, "type_url is required on an aggregated stream")
    return request


class Owner(Protocol):
    """The server that owns the streams."""

    def first(self, stream: DiscoveryStream, request: Message) -> None:
        """A stream's first request: let it `begin`, at once or later. Raises CallEnd."""

    def awake(self, stream: DiscoveryStream) -> None:
        """Call the stream's `write` soon."""

    def answered(self, stream: DiscoveryStream, request: Message, reply: Sent, now: float) -> None:
        """A reply has been acknowledged or rejected. now: of the event loop's clock, in seconds."""

    def sent(self, size: int) -> None:
        """So many bytes of a response have been sent."""

    def closed(self, stream: DiscoveryStream, end: CallEnd | None) -> None:
        """The stream is over (see rpc.transport.Handler)."""


class DiscoveryStream:
    """One stream: the handler of a call of discovery. `node` is nobody until the first request has named it;
    `view`, `state` and `standing` are there once the stream has begun.

    `address` is what counts as one sender (see `net.crowd.sender`), `client` whom bounds count by (see
    `Access.client`).
    """

    __slots__ = (
        "_loop",
        "_most_names",
        "_only",
        "_owner",
        "_timer",
        "address",
        "begun",
        "call",
        "client",
        "connected",
        "node",
        "standing",
        "state",
        "variant",
        "view",
    )

    view: View
    state: StreamState[Any]
    standing: Standing

    def __init__(
        self,
        call: Call,
        client: str,
        variant: type[Any],
        only: str | None,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
    ) -> None:
        self._only = only
        self._owner = owner
        self._loop = loop
        self._most_names = bounds.names
        self._timer: asyncio.TimerHandle | None = loop.call_later(bounds.first_request, self._silent)
        self.call = call
        self.client = client
        self.address = sender(host_of(call.peer))
        self.variant = variant
        self.connected = time.time()
        self.node = NOBODY
        self.begun = False

    @property
    def party(self) -> str:
        """Its gateway or application, empty where no certificate says so."""
        identity = self.node.identity
        return "" if identity is None else identity.party

    def begin(self, view: View, state: StreamState[Any]) -> None:
        """The client gets this view from now on."""
        self.view, self.state = view, state
        self.standing = Standing(self._loop.time())
        self.begun = True

    def wake(self) -> None:
        """There may be something to write."""
        self._owner.awake(self)

    def receive(self, request: Message) -> None:
        """Apply a request. Raises CallEnd."""
        try:
            reply = self.state.receive(request)
            if reply is not None:
                now = self._loop.time()
                self.standing.answered(now, reply.at, self.state.subscriptions.values())
                self._owner.answered(self, request, reply, now)
            if self.state.asked():
                # At once: what a client that comes back has sent is large, and in the processor's cache.
                self.write()
        except NotAllowed as error:
            raise CallEnd(grpc.StatusCode.PERMISSION_DENIED, str(error)) from None
        except (TooManyTypes, TooManyNames) as error:
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        except Overrun:
            raise _overrun() from None

    def write(self) -> None:
        """Send what is due, as far as the client takes it. Raises CallEnd."""
        if self._timer is not None:
            self._stop_timer()
        while self.call.writable:
            try:
                response = self.state.next(self._loop.time())
            except Overrun:
                raise _overrun() from None
            if response is None:
                self.standing.taking()
                at = self.state.wake_at()
                if at is not None:
                    self._timer = self._loop.call_at(at, self.wake)
                return
            self._owner.sent(sum(map(len, response)))
            self.standing.taking()
            self.call.send(*response)
        self.standing.blocked(self._loop.time())

    # The call's side.

    def message(self, raw: bytes) -> None:
        if len(raw) > _LARGE and wire.more_fields(raw, self._most_names + _OTHER_FIELDS):
            raise self._too_many_names()
        request = parse(raw, self.variant, self._only)
        # Most requests are too short for so many, and counting them costs more.
        if len(raw) > 2 * self._most_names and self.variant.names_in(request) > self._most_names:
            raise self._too_many_names()
        if self.begun:
            self.receive(request)
        else:
            self._stop_timer()
            self._owner.first(self, request)

    def _too_many_names(self) -> CallEnd:
        text = f"a request with more than {self._most_names} names"
        return CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)

    def half_closed(self) -> None:
        self.call.finish()

    def writable(self) -> None:
        if self.begun:
            self.wake()

    def closed(self, end: CallEnd | None) -> None:
        self._stop_timer()
        self._owner.closed(self, end)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _silent(self) -> None:
        self._timer = None
        self.call.finish(
            grpc.StatusCode.DEADLINE_EXCEEDED, "the stream was opened, and no request came in time"
        )


def _overrun() -> CallEnd:
    return CallEnd(
        grpc.StatusCode.ABORTED, "the stream is so late that removals it needs are forgotten: connect again"
    )


#: (service, method, variant, the only type or None for aggregated)
METHODS: tuple[tuple[str, str, type[Any], str | None], ...] = (
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "StreamAggregatedResources",
        SotwSubscription,
        None,
    ),
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "DeltaAggregatedResources",
        DeltaSubscription,
        None,
    ),
    ("envoy.service.cluster.v3.ClusterDiscoveryService", "StreamClusters", SotwSubscription, CLUSTER),
    ("envoy.service.cluster.v3.ClusterDiscoveryService", "DeltaClusters", DeltaSubscription, CLUSTER),
    ("envoy.service.endpoint.v3.EndpointDiscoveryService", "StreamEndpoints", SotwSubscription, ENDPOINT),
    ("envoy.service.endpoint.v3.EndpointDiscoveryService", "DeltaEndpoints", DeltaSubscription, ENDPOINT),
    ("envoy.service.listener.v3.ListenerDiscoveryService", "StreamListeners", SotwSubscription, LISTENER),
    ("envoy.service.listener.v3.ListenerDiscoveryService", "DeltaListeners", DeltaSubscription, LISTENER),
    ("envoy.service.route.v3.RouteDiscoveryService", "StreamRoutes", SotwSubscription, ROUTE),
    ("envoy.service.route.v3.RouteDiscoveryService", "DeltaRoutes", DeltaSubscription, ROUTE),
    (
        "envoy.service.route.v3.VirtualHostDiscoveryService",
        "DeltaVirtualHosts",
        DeltaSubscription,
        VIRTUAL_HOST,
    ),
    (
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "StreamExtensionConfigs",
        SotwSubscription,
        EXTENSION_CONFIG,
    ),
    (
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "DeltaExtensionConfigs",
        DeltaSubscription,
        EXTENSION_CONFIG,
    ),
    ("envoy.service.secret.v3.SecretDiscoveryService", "StreamSecrets", SotwSubscription, SECRET),
    ("envoy.service.secret.v3.SecretDiscoveryService", "DeltaSecrets", DeltaSubscription, SECRET),
    ("envoy.service.runtime.v3.RuntimeDiscoveryService", "StreamRuntime", SotwSubscription, RUNTIME),
    ("envoy.service.runtime.v3.RuntimeDiscoveryService", "DeltaRuntime", DeltaSubscription, RUNTIME),
)


def methods(serve: Callable[[Call, type[Any], str | None], Handler]) -> dict[str, Callable[[Call], Handler]]:
    """The methods by path; each calls `serve(call, variant, type)`, with requests and responses as bytes."""
    return {
        f"/{service}/{method}": partial(_call, serve, variant, only)
        for service, method, variant, only in METHODS
    }


def _call(
    serve: Callable[[Call, type[Any], str | None], Handler], variant: type[Any], only: str | None, call: Call
) -> Handler:
    return serve(call, variant, only)
