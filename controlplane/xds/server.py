"""The xDS server: one gRPC port with aggregated and separate discovery, and client status.

    clock = Clock()
    server = XdsServer(classify, clock, transport=transport("laneway", Limits()))
    port = await server.start("127.0.0.1:0")
    server.set_ready()
    collection = Collection(clock, CLUSTER)        # in a view that `classify` returns
    collection.put(Resource.of("name", body))      # is pushed by itself

Everything runs on one event loop. A change of a collection marks it; the marks of one turn become one pass
over the streams whose view has the collection, and each stream that is concerned composes its own response
when its writer is free. See `stream_state` for the order within a stream and `subscription` for the protocol.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import grpc
import structlog

from controlplane.net.lines import Lines, host_of
from controlplane.rpc.transport import Call, CallEnd, Handler, MakeTransport, Methods

from .access import Access
from .admission import Admission
from .bounds import Bounds, shown
from .client_status import ConnectedProxy, ResourceStatus, TypeState, describe, of_state
from .csds import ClientStatus
from .delta import DeltaSubscription
from .discovery import DiscoveryStream, methods
from .durations import Durations
from .held import Held
from .identities import Identities
from .messages import Message
from .node import NOBODY, DeniedNode, InvalidNode, Node, NotReady, known, read
from .node_streams import NodeStreams
from .resources import Clock
from .standing import State, standing_of
from .stream_state import StreamState
from .streams import Streams
from .subscription import Nack, Sent
from .view import View

__all__ = [
    "ConnectedProxy",
    "InvalidNode",
    "Nack",
    "Node",
    "NotReady",
    "TypeState",
    "XdsServer",
]

_log = structlog.get_logger("laneway.xds")


@contextmanager
def _ends_of_nodes() -> Iterator[None]:
    """What is wrong with a node ends its stream with the status for it."""
    try:
        yield
    except InvalidNode as error:
        raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
    except DeniedNode as error:
        raise CallEnd(grpc.StatusCode.PERMISSION_DENIED, str(error)) from None


class XdsServer:
    """Serves to each node the view that `classify` returns for it.

    classify: called once for each stream with its node, returns the view of that node. Raises InvalidNode,
        which ends the stream with INVALID_ARGUMENT, DeniedNode, which ends it with PERMISSION_DENIED, or
        NotReady: the stream waits for the next `set_ready`.
    clock: that of all views; a stream whose view has another one ends with INTERNAL.
    transport: makes the gRPC server that the calls come from.
    identities: how clients' certificates are read; None where the transport asks for none (see Access).
    trial_wait: seconds that a changed listener or route configuration waits for those that get it first (see
        Trials), at most three times; 0 for to all at once.
    trial_retry: seconds until a held change is tried again when clients that rejected it have left.
    debounce_quiet, debounce_max, removal_wait, warming_wait: seconds (see Debounce and StreamState).
    bounds: what one client may cost.
    more: further methods on the same port, for clients that are admitted as those of discovery are.
    frequent: the same, called so often that a call does not count as a stream that is opened.
    denied: is told of each call that ends with PERMISSION_DENIED, and why.
    """

    def __init__(
        self,
        classify: Callable[[Node], View],
        clock: Clock,
        *,
        transport: MakeTransport,
        identities: Identities | None = None,
        trial_wait: float = 0.0,
        trial_retry: float = 1.0,
        debounce_quiet: float = 0.01,
        debounce_max: float = 0.1,
        removal_wait: float = 2.0,
        warming_wait: float = 0.5,
        bounds: Bounds = Bounds(),  # noqa: B008
        more: Methods = MappingProxyType({}),
        frequent: Methods = MappingProxyType({}),
        denied: Callable[[Call, str], None] = lambda call, text: None,
    ) -> None:
        self._classify = classify
        self._clock = clock
        self.access = Access(identities, self._log_end)
        self._denied = denied
        self._removal_wait = removal_wait
        self._warming_wait = warming_wait
        self._bounds = bounds
        self._client_status = ClientStatus(self._client_streams, bounds.status_bytes)
        further = {path: partial(self._further, serve) for path, serve in more.items()}
        served = {**methods(self._serve), **self._client_status.methods(), **further, **frequent}
        self._transport = transport(self.access.guard(served))
        self._lines = Lines()
        self._waiting: dict[DiscoveryStream, Message] = {}
        self._waiting_bytes = 0
        self._awake: dict[DiscoveryStream, None] = {}
        self._nodes: NodeStreams[DiscoveryStream] = NodeStreams()
        self._ready = False
        self._stopping = False
        #: From when a response was composed until its client accepted it.
        self.ack_times = Durations()
        #: From a change until a client accepted the response with it. Answers to requests are left out.
        self.change_times = Durations()
        #: Sums since the start; "streams" alone is the number of open streams.
        self.counters: Counter[str] = Counter()
        self._admission = Admission(bounds, self._nodes, lambda: self.counters["streams"])
        self._streams = Streams(clock, self.counters, trial_wait, trial_retry, debounce_quiet, debounce_max)

    async def start(self, address: str) -> int:
        """Listen on host:port, port 0 for one that the system gives. Returns the port. Raises OSError."""
        return await self._transport.start(address)

    async def stop(self, grace: float = 1.0) -> None:
        """End all streams with UNAVAILABLE, after GOAWAY, and stop. grace: seconds until the rest is cut."""
        self._stopping = True
        self._streams.close()
        for stream in (*self._streams.open, *self._waiting):
            stream.call.finish(grpc.StatusCode.UNAVAILABLE, "the server stops")
        await self._transport.stop(grace)

    def set_ready(self) -> None:
        """Start to serve streams. Call it again when nodes for which `classify` raised NotReady can be
        served.
        """
        self._ready = True
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        for stream, request in waiting.items():
            stream.call.attempt(self._again, stream, request)
            if stream.begun:
                stream.call.resume()

    @property
    def ready(self) -> bool:
        return self._ready

    def proxies(self, node: str | None = None) -> list[ConnectedProxy]:
        """All open streams; or those of one node id, with their drift."""
        now = self._streams.now()
        return [
            describe(
                stream.node,
                stream.state,
                stream.connected,
                self._streams.trials.held_from(stream.state),
                standing_of(stream, now),
                with_drift=node is not None,
            )
            for stream in self._streams.open
            if node in (None, stream.node.id)
        ]

    def resources(self, node: str) -> list[tuple[float, list[ResourceStatus]]]:
        """Of each open stream of a node id: when it began, and where its client stands with each resource."""
        open_ = [stream for stream in self._streams.open if stream.node.id == node]
        return [(stream.connected, list(of_state(stream.state))) for stream in open_]

    def view_of(self, call: Call, node: str) -> View | None:
        """The view of a node that has a stream open from the same client as `call`; else None."""
        stream = self._nodes.last(self.access.client(call), node, begun=True)
        return None if stream is None else stream.view

    def cluster_of(self, call: Call, node: str) -> str | None:
        """The cluster of a node that has a stream open from the same client as `call`; else None."""
        stream = self._nodes.last(self.access.client(call), node)
        return None if stream is None else stream.node.cluster

    def views(self) -> list[View]:
        """The views of all open streams."""
        return [stream.view for stream in self._streams.open]

    def end(self, views: Iterable[View], text: str) -> int:
        """End the streams that have these views, so that their clients come back for others. Returns how many
        there were.
        """
        wanted = set(views)
        ended = [one for one in self._streams.open if one.view in wanted]
        for stream in ended:
            stream.call.finish(grpc.StatusCode.ABORTED, text)
        return len(ended)

    def at_once(self) -> AbstractContextManager[None]:
        """A context: changes made within it go to all clients at once, without a trial."""
        return self._streams.trials.at_once()

    def held(self) -> list[Held]:
        """The changes that some clients have rejected and others do not get."""
        return self._streams.trials.held()

    def standings(self) -> Counter[State]:
        """The number of clients by standing (see `standing`)."""
        return self._streams.standings()

    async def acknowledged(
        self,
        where: Callable[[Node, View], bool],
        timeout: float,  # noqa: ASYNC109
    ) -> list[str]:
        """Wait until the streams that `where` picks have answered everything that their views hold now.

        ACK, NACK and disconnecting are answers. The server does not wait for clients that leave responses
        unanswered, nor for clients that answer late, as long as these are a minority (see `standing`).
        Returns the ids of the nodes that were waited for and did not answer within `timeout` seconds.
        """
        return await self._streams.acknowledged(where, timeout)

    # One stream.

    def _serve(self, call: Call, variant: type[Any], only: str | None) -> DiscoveryStream:
        self._admit_or_log(call)
        loop = asyncio.get_running_loop()
        return DiscoveryStream(call, self.access.client(call), variant, only, self, loop, self._bounds)

    def _further(self, serve: Callable[[Call], Handler], call: Call) -> Handler:
        self._admit_or_log(call)
        return serve(call)

    def _admit_or_log(self, call: Call) -> None:
        try:
            if self._stopping:
                raise CallEnd(grpc.StatusCode.UNAVAILABLE, "the server stops")
            self._admission.admit(self.access.client(call), asyncio.get_running_loop().time())
        except CallEnd as end:
            self._log_end(call, end)
            raise

    def _log_end(self, call: Call, end: CallEnd) -> None:
        self.counters["streams_ended_" + end.code.name.lower()] += 1
        if end.code is grpc.StatusCode.PERMISSION_DENIED:
            self._denied(call, end.text)
        if not self._stopping:  # then every stream ends
            self._line(_log.info, "stream ended", call, status=end.code.name, text=shown(end.text))

    def _line(self, log: Callable[..., Any], event: str, call: Call, **fields: Any) -> None:
        self._lines.write(log, event, host_of(call.peer), peer=call.peer, **fields)

    @property
    def handshakes_delayed(self) -> int:
        """Parts of TLS handshakes that waited for their turn, since the start."""
        return self._transport.handshakes_delayed

    @property
    def suppressed_lines(self) -> int:
        """Number of log lines left out since the start, because one address caused too many."""
        return self._lines.suppressed + self._transport.suppressed_lines

    @property
    def entering(self) -> int:
        """Connections that wait to be let in."""
        return self._transport.entering

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._transport.open

    @property
    def waiting(self) -> int:
        """Bytes of responses that wait to be read."""
        return self._transport.waiting

    @property
    def connections_ended(self) -> Mapping[str, int]:
        """Number of connections that the server ended since the start because of their clients, by reason."""
        return self._transport.ended

    def first(self, stream: DiscoveryStream, request: Message) -> None:
        """Let a stream begin with its first request, when its node can be served."""
        self._admission.check_size(request.node)  # before it is decoded
        with _ends_of_nodes():
            node = self.access.as_node(stream.call, read(request.node, stream.variant is DeltaSubscription))
            self._admission.check(node, stream.client)
            stream.node = node
            request.ClearField("node")  # which is large; and what is left, others say too
            self._nodes.add(stream)
            self._begin(stream, request)

    def _begin(self, stream: DiscoveryStream, request: Message) -> None:
        """Begin if the server is ready for the node, so that no stream gets an empty configuration."""
        try:
            if not self._ready:
                raise NotReady
            view = self._classify(stream.node)
        except NotReady:
            self._wait(stream, request)
            return
        if view.clock is not self._clock:
            raise ValueError(f"the view for node {stream.node.id} has the clock of another server")
        stream.node = known(stream.node)
        state = StreamState(
            view,
            stream.variant,
            removal_wait=self._removal_wait,
            warming_wait=self._warming_wait,
            names=self._bounds.names,
            name_bytes=self._bounds.name_bytes,
        )
        stream.begin(view, state)
        self._streams.attach(stream)
        stream.receive(request)

    def _wait(self, stream: DiscoveryStream, request: Message) -> None:
        size = request.ByteSize() + len(stream.node.message)
        if self._waiting_bytes + size > self._bounds.waiting_bytes:
            raise CallEnd(
                grpc.StatusCode.UNAVAILABLE,
                "the server is not ready, and too many clients wait for it: try again",
            )
        self._waiting_bytes += size
        self._waiting[stream] = request
        stream.call.pause()

    def _again(self, stream: DiscoveryStream, request: Message) -> None:
        with _ends_of_nodes():
            self._begin(stream, request)

    def closed(self, stream: DiscoveryStream, end: CallEnd | None) -> None:
        """Forget a stream."""
        if end is not None and end.code is not grpc.StatusCode.OK:
            self._log_end(stream.call, end)
        request = self._waiting.pop(stream, None)
        if request is not None:
            self._waiting_bytes -= request.ByteSize() + len(stream.node.message)
        self._awake.pop(stream, None)
        if stream.node is NOBODY:
            return
        self._nodes.remove(stream)
        if stream.begun:
            self._streams.detach(stream)
            stream.view.release()

    def awake(self, stream: DiscoveryStream) -> None:
        """Let the stream write at the end of this turn of the loop."""
        if not self._awake:
            asyncio.get_running_loop().call_soon(self._write)
        self._awake[stream] = None

    def _write(self) -> None:
        awake, self._awake = self._awake, {}
        for stream in awake:
            stream.call.attempt(stream.write)

    def sent(self, size: int) -> None:
        """Count a response."""
        self.counters["pushes"] += 1
        self.counters["pushed_bytes"] += size

    def answered(self, stream: DiscoveryStream, request: Message, reply: Sent, now: float) -> None:
        """Count a client's answer; log a rejection. now: of the event loop's clock, in seconds."""
        nack = None
        if request.HasField("error_detail"):
            self.counters["nacks"] += 1
            nack = stream.state.subscriptions[request.type_url].nack
            self._line(
                _log.warning,
                "rejected by a proxy",
                stream.call,
                node=shown(stream.node.id),
                type=request.type_url,
                version=reply.version,
                text=nack.message if nack is not None else "",
            )
        else:
            self.counters["acks"] += 1
            self.ack_times.add(now - reply.at)
            began = self._streams.began(reply)
            if began is not None:
                self.change_times.add(now - began)
        self._streams.trials.answered(stream, request.type_url, reply, nack)
        self._streams.answered(stream)

    def _client_streams(self, call: Call) -> list[tuple[Node, StreamState[Any]]]:
        """What the caller of client status may see."""
        sees = self.access.sees
        return [(one.node, one.state) for one in self._streams.open if sees(call, one.node)]
