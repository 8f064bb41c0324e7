"""The xDS server: one gRPC port with aggregated and separate discovery, and client status.

    server = XdsServer(classify)
    port = await server.start("127.0.0.1:0")
    server.set_ready()
    collection.put(Resource.of("name", body))      # is pushed by itself

Everything runs on one event loop. A change of a collection marks it; the marks of one turn become one pass
over the streams whose view has the collection, and each stream that is concerned composes its own response
when its writer is free. See `stream` for the order within a stream and `subscription` for the protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import grpc
import structlog

from . import csds
from .admission import TokenBucket
from .canary import Canary, Held
from .connection import EOF, Connection, StreamEnd, parse
from .debounce import Debounce
from .delta import DeltaSubscription
from .messages import Message
from .node import InvalidNode, Node, NotReady, from_message
from .resources import TRIED, Clock, Collection, Overrun, View
from .services import handlers
from .status import ConnectedProxy, TypeState, describe
from .stream import StreamState
from .subscription import Nack, Sent
from .waiter import Waiter

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
_MIB = 1 << 20


class _Stream:
    """A connection and who is at its end."""

    __slots__ = ("connected", "connection", "node", "view")

    def __init__(self, node: Node, view: View, connection: Connection) -> None:
        self.node = node
        self.view = view
        self.connection = connection
        self.connected = time.time()

    @property
    def state(self) -> StreamState[Any]:
        return self.connection.state


class XdsServer:
    """Serves the views that `classify` gives to nodes.

    classify: called once a stream with its node. Raises InvalidNode to end the stream with INVALID_ARGUMENT,
    or
        NotReady to let it wait for the next `set_ready`.
    released: called with what `classify` was called with and gave, when the stream has ended.
    authorise: called before anything is read of a stream, with its peer and its metadata; raises InvalidNode
    to
        refuse it with PERMISSION_DENIED.
    canary_wait: seconds until a changed listener or route configuration goes to all although the one that got
    it
        first has not answered (see Canary); 0 for to all at once.
    debounce_quiet, debounce_max, removal_wait, warming_wait: seconds (see Debounce and StreamState).
    max_connection_age: seconds until a connection is asked to go elsewhere, with gRPC's jitter of a tenth; 0
    for
        never. stream_rate, stream_burst: new streams a second and at once; 0 for no limit.
    max_streams_per_node: streams that one node id may hold; 0 for no limit.
    """

    def __init__(
        self,
        classify: Callable[[Node], View],
        released: Callable[[Node, View], None] | None = None,
        *,
        authorise: Callable[[str, Mapping[str, str | bytes]], None] | None = None,
        canary_wait: float = 0.0,
        debounce_quiet: float = 0.01,
        debounce_max: float = 0.1,
        removal_wait: float = 2.0,
        warming_wait: float = 0.5,
        max_receive_bytes: int = 32 * _MIB,
        max_connection_age: float = 0.0,
        max_connection_age_grace: float = 10.0,
        keepalive: float = 30.0,
        stream_rate: float = 0.0,
        stream_burst: int = 2_000,
        max_streams_per_node: int = 0,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._classify = classify
        self._released = released
        self._authorise = authorise
        self._removal_wait = removal_wait
        self._warming_wait = warming_wait
        self._max_streams_per_node = max_streams_per_node
        self._credentials = credentials
        self._options = [
            ("grpc.max_receive_message_length", max_receive_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            # The versions of a client that comes back are read at once instead of in 64 KiB steps.
            ("grpc.http2.lookahead_bytes", 256 << 10),
            # That window is wide enough: measuring for a better one costs a seventh of each small push.
            ("grpc.http2.bdp_probe", 0),
            # A half-open connection is found by pings and its streams end.
            ("grpc.keepalive_time_ms", int(keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(keepalive * 1000 / 3)),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ]
        if max_connection_age:
            self._options += [
                ("grpc.max_connection_age_ms", int(max_connection_age * 1000)),
                ("grpc.max_connection_age_grace_ms", int(max_connection_age_grace * 1000)),
            ]
        self._bucket = TokenBucket(stream_rate, stream_burst)
        self._debounce: Debounce[Collection] = Debounce(
            self._push, quiet=debounce_quiet, longest=debounce_max
        )
        self._streams: dict[_Stream, None] = {}
        self._per_node: Counter[str] = Counter()
        self._by_collection: dict[Collection, dict[_Stream, None]] = {}
        self._tried = TRIED if canary_wait else frozenset[str]()
        self._canary = Canary(
            canary_wait,
            clients=lambda collection: self._by_collection.get(collection, ()),
            later=lambda seconds, what: asyncio.get_running_loop().call_later(seconds, what),
            over=self._over,
            count=self._count,
        )
        self._waiters: list[Waiter[_Stream]] = []
        self._ready = asyncio.Event()
        self._changed_readiness = asyncio.Event()
        self._stopping = False
        self._server: grpc.aio.Server | None = None
        #: Sums since the start; "streams" alone is the number of open streams.
        self.counters: Counter[str] = Counter()

    async def start(self, address: str) -> int:
        """Listen on host:port, port 0 for one that the system gives. Returns the port."""
        server = self._server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=None)
        server.add_generic_rpc_handlers(tuple(handlers(self._serve)))
        server.add_generic_rpc_handlers((csds.handler(self._client_streams),))
        if self._credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, self._credentials)
        await server.start()
        return port

    async def stop(self, grace: float = 1.0) -> None:
        """End all streams with UNAVAILABLE, after GOAWAY, and stop. grace: seconds until the rest is cut."""
        self._stopping = True
        self._debounce.close()
        self._canary.close()
        for stream in tuple(self._streams):
            stream.connection.end(grpc.StatusCode.UNAVAILABLE, "the server stops")
        self._wake_waiting()
        if self._server is not None:
            await self._server.stop(grace)

    def set_ready(self) -> None:
        """Let streams in. Call it again when nodes for which `classify` raised NotReady can be served."""
        self._ready.set()
        self._wake_waiting()

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    def proxies(self, node: str | None = None) -> list[ConnectedProxy]:
        """All open streams; or those of one node id, with their drift."""
        return [
            describe(
                stream.node,
                stream.state,
                stream.connected,
                self._canary.held_from(stream.state),
                with_drift=node is not None,
            )
            for stream in self._streams
            if node in (None, stream.node.id)
        ]

    def at_once(self) -> AbstractContextManager[None]:
        """Changes that are made within it go to everyone at once, past the canary."""
        return self._canary.at_once()

    def held(self) -> list[Held]:
        """The changes that one client has rejected and no other has got."""
        return self._canary.held()

    async def acknowledged(self, where: Callable[[Node], bool], timeout: float) -> list[str]:  # noqa: ASYNC109
        """Wait until the streams of the nodes `where` picks have answered everything their views hold now.

        ACK, NACK and disconnecting are answers. Returns the ids of the nodes that did not within `timeout`
        seconds.
        """
        mark = Clock.now
        waiter = Waiter(mark, [stream for stream in self._streams if where(stream.node)])
        waiter.check()
        if waiter.streams:
            self._waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter.done.wait(), timeout)
            except TimeoutError:
                pass
            finally:
                self._waiters.remove(waiter)
        return sorted({stream.node.id for stream in waiter.streams})

    # One stream.

    async def _serve(self, context: Any, variant: type[Any], only: str | None) -> None:
        try:
            await self._admit_and_run(context, variant, only)
        except StreamEnd as end:
            self.counters["streams_ended_" + end.code.name.lower()] += 1
            _log.info("stream ended", peer=context.peer(), status=end.code.name, text=end.text)
            await context.abort(end.code, end.text)

    async def _admit_and_run(self, context: Any, variant: type[Any], only: str | None) -> None:
        if self._stopping:
            raise StreamEnd(grpc.StatusCode.UNAVAILABLE, "the server stops")
        if not self._bucket.admit(asyncio.get_running_loop().time()):
            raise StreamEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many new streams, try again later")
        if self._authorise is not None:
            try:
                self._authorise(context.peer(), dict(context.invocation_metadata() or ()))
            except InvalidNode as error:
                raise StreamEnd(grpc.StatusCode.PERMISSION_DENIED, str(error)) from None
        raw = await context.read()
        if raw is EOF:
            return
        first = parse(raw, variant, only)
        node = from_message(first.node, variant is DeltaSubscription)
        if not node.id:
            raise StreamEnd(grpc.StatusCode.INVALID_ARGUMENT, "the first request names no node id")
        if self._max_streams_per_node and self._per_node[node.id] >= self._max_streams_per_node:
            raise StreamEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, f"node {node.id} has too many streams open")
        self._per_node[node.id] += 1
        try:
            view = await self._view(node)
            try:
                await self._run(
                    context,
                    node,
                    view,
                    StreamState(
                        view, variant, removal_wait=self._removal_wait, warming_wait=self._warming_wait
                    ),
                    only,
                    first,
                )
            finally:
                if self._released is not None:
                    self._released(node, view)
        finally:
            self._per_node[node.id] -= 1
            if not self._per_node[node.id]:
                del self._per_node[node.id]

    async def _view(self, node: Node) -> View:
        """The view, when the server is ready for the node: no stream gets an empty configuration."""
        while True:
            if self._stopping:
                raise StreamEnd(grpc.StatusCode.UNAVAILABLE, "the server stops")
            changed = self._changed_readiness
            if self._ready.is_set():
                try:
                    return self._classify(node)
                except InvalidNode as error:
                    raise StreamEnd(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
                except NotReady:
                    pass
            await changed.wait()

    async def _run(
        self, context: Any, node: Node, view: View, state: StreamState[Any], only: str | None, first: Message
    ) -> None:
        def answered(request: Message, reply: Sent) -> None:
            self._answered(stream, request, reply)

        stream = _Stream(node, view, Connection(context, state, only, answered, self._count_push))
        self._attach(stream)
        try:
            await stream.connection.run(first)
        finally:
            self._detach(stream)

    def _attach(self, stream: _Stream) -> None:
        self._streams[stream] = None
        self.counters["streams_opened"] += 1
        self.counters["streams"] += 1
        for collection in _collections(stream.view):
            streams = self._by_collection.get(collection)
            if streams is None:
                streams = self._by_collection[collection] = {}
                collection.watch(self._debounce.mark)
            streams[stream] = None
            if collection.type_url in self._tried:
                collection.gate = self._canary

    def _detach(self, stream: _Stream) -> None:
        self._streams.pop(stream, None)
        self.counters["streams"] -= 1
        for collection in _collections(stream.view):
            streams = self._by_collection[collection]
            streams.pop(stream, None)
            if not streams:
                del self._by_collection[collection]
                collection.unwatch(self._debounce.mark)
        self._canary.left(stream)
        for waiter in self._waiters:
            waiter.drop(stream)

    # What happens to many streams.

    def _push(self, collections: set[Collection]) -> None:
        """Wake the streams which the changes of these collections concern."""
        for collection in collections:
            if collection.gate is not None:
                self._canary.choose(collection)
            for stream in self._by_collection.get(collection, ()):
                try:
                    if stream.state.touched(collection):
                        stream.connection.wake()
                except Overrun:
                    stream.connection.wake()  # the writer meets it too, and ends the stream
        self.counters["flushes"] += 1
        for waiter in tuple(self._waiters):
            waiter.check()

    def _over(self, collection: Collection) -> None:
        """Streams that waited for what is tried of that collection may go on."""
        for stream in self._by_collection.get(collection, ()):
            stream.connection.wake()
        for waiter in tuple(self._waiters):
            waiter.check()

    def _count(self, what: str, number: int) -> None:
        self.counters[what] += number

    def _count_push(self, size: int) -> None:
        self.counters["pushes"] += 1
        self.counters["pushed_bytes"] += size

    def _answered(self, stream: _Stream, request: Message, reply: Sent) -> None:
        nack = None
        if request.HasField("error_detail"):
            self.counters["nacks"] += 1
            nack = stream.state.subscriptions[request.type_url].nack
            _log.warning(
                "rejected by a proxy",
                node=stream.node.id,
                type=request.type_url,
                version=reply.version,
                text=request.error_detail.message,
            )
        else:
            self.counters["acks"] += 1
        for held in self._canary.answered(stream, request.type_url, reply, nack):
            _log.warning(
                "a change is held: the first proxy that got it rejected it",
                type=held.type_url,
                name=held.resource.name,
                version=held.resource.version,
                node=held.node,
            )
        for waiter in tuple(self._waiters):
            waiter.check_one(stream)

    def _wake_waiting(self) -> None:
        changed, self._changed_readiness = self._changed_readiness, asyncio.Event()
        changed.set()

    def _client_streams(self) -> list[tuple[Node, StreamState[Any]]]:
        return [(stream.node, stream.state) for stream in self._streams]


def _collections(view: View) -> Iterable[Collection]:
    for parts in view.collections.values():
        yield from parts
