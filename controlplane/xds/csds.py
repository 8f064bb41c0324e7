"""Client status discovery: what each connected client was sent, accepted and rejected.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/status/v3/csds.proto

An answer can be thousands of times larger than its request. So it is composed only when its client can take
it, in slices of a few milliseconds, one answer at a time, and few answers wait to be read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from controlplane.rpc.transport import Call, CallEnd, Handler

from . import client_status, wire
from .messages import (
    ClientConfig,
    ClientResourceStatus,
    ClientStatusRequest,
    ClientStatusResponse,
    ConfigStatus,
    GenericXdsConfig,
    Message,
)
from .node import Node
from .resource import SECRET
from .stream_state import StreamState

Streams = Callable[[Call], Iterable[tuple[Node, StreamState[Any]]]]
"""Those that the caller may see."""
_STATUS = {
    "missing": ("NOT_SENT", ClientResourceStatus.DOES_NOT_EXIST),
    "rejected": ("ERROR", ClientResourceStatus.NACKED),
    "unanswered": ("STALE", ClientResourceStatus.REQUESTED),
    "unsent": ("NOT_SENT", ClientResourceStatus.REQUESTED),
    "synced": ("SYNCED", ClientResourceStatus.ACKED),
}
_SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"


_CONFIG = ClientStatusResponse.DESCRIPTOR.fields_by_name["config"].number
_NODE = ClientConfig.DESCRIPTOR.fields_by_name["node"].number
_RESOURCE = ClientConfig.DESCRIPTOR.fields_by_name["generic_xds_configs"].number
_AT_ONCE = 0.001  # seconds of work on answers in a turn of the loop
_MOST_UNREAD = 4  # answers that wait to be read, of all calls


class ClientStatus:
    """The service. `streams` is called when an answer is begun; `largest` bounds an answer, in bytes."""

    def __init__(self, streams: Streams, largest: int) -> None:
        self._streams = streams
        self._largest = largest
        self._asked: dict[_Asked, None] = {}  # in the order in which they are answered
        self._unread: set[_Asked] = set()
        self._current: tuple[_Asked, Iterator[bytes | None]] | None = None
        self._working: asyncio.Handle | None = None

    def methods(self) -> dict[str, Callable[[Call], Handler]]:
        """The service's methods by path."""
        return {
            f"/{_SERVICE}/{method}": lambda call: _Asked(call, self)
            for method in ("FetchClientStatus", "StreamClientStatus")
        }

    def ask(self, asked: _Asked) -> None:
        """Answer the request of this call when it is its turn."""
        self._asked[asked] = None
        self._work_soon()

    def read(self, asked: _Asked) -> None:
        """The answer has been sent."""
        self._unread.discard(asked)
        self._work_soon()

    def over(self, asked: _Asked) -> None:
        """The call has ended."""
        self._asked.pop(asked, None)
        if self._current is not None and self._current[0] is asked:
            self._current = None
        self.read(asked)

    def _work_soon(self) -> None:
        if self._working is None and (self._asked or self._current):
            self._working = asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        self._working = None
        if self._current is None:
            if len(self._unread) >= _MOST_UNREAD:
                return
            asked = self._next()
            if asked is None or asked.request is None:
                return
            self._current = asked, compose(asked.request, self._streams(asked.call), self._largest)
        asked, answer = self._current
        asked.call.attempt(self._go_on, asked, answer)
        self._work_soon()

    def _next(self) -> _Asked | None:
        while self._asked:
            asked = next(iter(self._asked))
            del self._asked[asked]
            if asked.call.writable:
                return asked
            # The client asks again when it may.
        return None

    def _go_on(self, asked: _Asked, answer: Iterator[bytes | None]) -> None:
        until = time.perf_counter() + _AT_ONCE
        for found in answer:
            if found is not None:
                self._current = None
                asked.answer(found)
                if not asked.call.writable:
                    self._unread.add(asked)
                return
            if time.perf_counter() > until:
                return


class _Asked:
    """One call: each request is answered when the answer before it has left."""

    def __init__(self, call: Call, service: ClientStatus) -> None:
        self._service = service
        self._complete = False
        self.call = call
        self.request: Message | None = None

    def message(self, raw: bytes) -> None:
        try:
            request = ClientStatusRequest.FromString(raw)
            check(request)
        except (ValueError, DecodeError) as error:
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        self.request = request
        self.call.pause()
        self._service.ask(self)

    def answer(self, response: bytes) -> None:
        """The answer to the request is this."""
        self.request = None
        self.call.send(response)
        if self._complete:
            self.call.finish()
        elif self.call.writable:
            self.call.resume()

    def half_closed(self) -> None:
        self._complete = True
        if self.request is None:
            self.call.finish()

    def writable(self) -> None:
        if self.request is not None:
            self._service.ask(self)
        else:
            self._service.read(self)
            self.call.resume()

    def closed(self, end: CallEnd | None) -> None:
        self._service.over(self)


def check(request: Message) -> None:
    """Raises ValueError for matchers that are not understood."""
    for matcher in request.node_matchers:
        _matches(matcher, Node(""))


def compose(
    request: Message, streams: Iterable[tuple[Node, StreamState[Any]]], largest: int
) -> Iterator[bytes | None]:
    """The status of the clients that the request picks: None again and again, after a little work each, then
    the response. Raises CallEnd where that has more than `largest` bytes.
    """
    configs: list[bytes] = []
    size = 0
    for node, state in streams:
        yield None
        if request.node_matchers and not any(_matches(matcher, node) for matcher in request.node_matchers):
            continue
        config = [wire.field(_NODE, node.message)]
        for subscription in tuple(state.subscriptions.values()):
            for found in client_status.of_subscription(subscription):
                entry = _describe(found, request.exclude_resource_contents).SerializeToString()
                config.append(wire.field(_RESOURCE, entry))
                size += len(entry)
                if size > largest:
                    raise CallEnd(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        f"the answer has more than {largest} bytes: name fewer nodes in node_matchers, or "
                        "set exclude_resource_contents",
                    )
                yield None
        configs.append(wire.field(_CONFIG, b"".join(config)))
    yield b"".join(configs)


def _describe(found: client_status.ResourceStatus, exclude_contents: bool) -> Message:
    entry = GenericXdsConfig()
    entry.type_url = found.type_url
    entry.name = found.name
    entry.version_info = found.version
    config_status, entry.client_status = _STATUS[found.state]
    entry.config_status = ConfigStatus.Value(config_status)
    # Not even to operators: a key that nobody is shown can be lost by nobody.
    if found.resource is not None and not exclude_contents and found.type_url != SECRET:
        entry.xds_config.type_url = found.type_url
        entry.xds_config.value = found.resource.body
    if found.nack is not None:
        entry.error_state.details = found.nack.message
        entry.error_state.version_info = found.nack.version
        entry.error_state.last_update_attempt.FromMilliseconds(int(found.nack.at * 1000))
    return entry


def _matches(matcher: Message, node: Node) -> bool:
    if matcher.node_metadatas:
        raise ValueError("node matchers by metadata are not supported, match by node_id")
    return not matcher.HasField("node_id") or _matches_text(matcher.node_id, node.id)


def _matches_text(matcher: Message, value: str) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    if kind == "safe_regex":
        raise ValueError("node matchers by regular expression are not supported")
    if kind is None or kind == "custom":
        raise ValueError("a node matcher has no condition that is supported")
    pattern: str = getattr(matcher, kind)
    if matcher.ignore_case:
        pattern, value = pattern.casefold(), value.casefold()
    if kind == "exact":
        return value == pattern
    if kind == "prefix":
        return value.startswith(pattern)
    if kind == "suffix":
        return value.endswith(pattern)
    return pattern in value
