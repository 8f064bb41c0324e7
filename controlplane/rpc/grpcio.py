"""The transport on the server of gRPC's own library, whose frames are handled outside of the event loop.

Requests and responses pass as bytes. A read is asked of the library when the one before has been handled, a
write when the one before has left: so its flow control reaches the client, and a client that reads slowly has
one response waiting. Options: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote

import grpc

from controlplane.net import certificates
from controlplane.net.certificates import Certificate
from controlplane.net.tls import Material, Tls

from .guard import GuardedCall
from .status import shortened
from .transport import Call, CallEnd, Handler, Limits, Methods

_EOF: Any = cast("Any", grpc.aio).EOF
_MOST_STREAMS = 256  # of one connection; each costs the library some 10 KiB
_MOST_QUEUED = 1 << 20  # bytes of responses that wait on one connection before it is given no further one
_MOST_WAITING = 20_000  # calls that the event loop has not taken yet, of all clients
_MOST_CALLS = 40_000  # open, of all clients
_LARGEST_METADATA = 16 << 10  # bytes of the headers of one request
_PING_INTERVAL = 1.0  # seconds; a client that pings more often, again and again, is cut off


def options(limits: Limits) -> list[tuple[str, int]]:
    """The options of the library for these limits. It has none for `connections_per_address`, `unread` and
    `cpu`.
    """
    return [
        ("grpc.so_reuseport", 0),  # a second server on the port is a mistake that has to be seen
        ("grpc.max_receive_message_length", limits.largest_request),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.hello)),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        # Else calls are cancelled by chance from a thousand on: a fleet that comes back is larger.
        ("grpc.server.max_pending_requests", _MOST_WAITING),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_WAITING),
        ("grpc.max_metadata_size", _LARGEST_METADATA),
        ("grpc.absolute_max_metadata_size", _LARGEST_METADATA),
        # Windows stay as they are: those that are made to fit the line grow to 16 MiB a stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive)),
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.keepalive / 3)),
        ("grpc.http2.ping_timeout_ms", _milliseconds(limits.keepalive / 3)),  # else a minute
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Proxies ask for a sign of life, too; the library's own limit of one ping in five minutes cuts them.
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(_PING_INTERVAL)),
        *_ages(limits),
    ]


def _ages(limits: Limits) -> list[tuple[str, int]]:
    if not limits.max_connection_age:
        return []
    return [
        ("grpc.max_connection_age_ms", _milliseconds(limits.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.max_connection_age_grace)),
    ]


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    """What each handshake asks for the certificate that is in force."""
    given = tls.material

    def newer() -> Any:
        # Called by the library's threads, one for each handshake.
        nonlocal given
        now = tls.material
        if now is given:
            return None
        given = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(_configuration(given), newer, given.client_ca is not None)


def _configuration(material: Material) -> Any:
    pair = (material.key, material.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.client_ca)


def _certificate(context: Any) -> Certificate | None:
    """What the client's certificate says."""
    pem = context.auth_context().get("x509_pem_cert")
    return certificates.of_pem(pem[0]) if pem else None


class GrpcioServer:
    """Serves `methods` on one port, within `limits`, by TLS if it is given. It is a Transport."""

    def __init__(self, methods: Methods, limits: Limits, tls: Tls | None = None) -> None:
        self._limits = limits
        self._tls = tls
        self._methods = _Methods(methods)
        self._server: grpc.aio.Server | None = None
        #: The library tells of none.
        self.ended: Counter[str] = Counter()
        self.open = self.entering = 0
        self.suppressed_lines = 0
        self.handshakes_delayed = 0

    async def start(self, address: str) -> int:
        """Listen on host:port, port 0 for one that the system gives. Returns the port. Raises OSError."""
        host, _, port = address.rpartition(":")
        server = grpc.aio.server(options=options(self._limits), maximum_concurrent_rpcs=_MOST_CALLS)
        server.add_generic_rpc_handlers((self._methods,))
        where = f"{host or '0.0.0.0'}:{port}"
        try:
            if self._tls is None:
                bound = server.add_insecure_port(where)
            else:
                bound = server.add_secure_port(where, _credentials(self._tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        await server.start()
        self._server = server
        return bound

    async def stop(self, grace: float) -> None:
        """Accept nothing more, ask the clients to leave, and cut those off that are there after `grace`."""
        if self._server is not None:
            await self._server.stop(grace)

    @property
    def waiting(self) -> int:
        """Bytes of responses that wait to be read, of all clients; each has a copy."""
        return self._methods.waiting


class _Connection:
    """What the calls of one connection share."""

    __slots__ = ("calls", "queued")

    def __init__(self) -> None:
        self.calls: set[_Call] = set()
        self.queued = 0
        """Bytes of responses that have not left."""

    @property
    def full(self) -> bool:
        """Whether no further response may be queued: each call has a copy of what it is sent."""
        return self.queued >= _MOST_QUEUED

    def left(self, size: int) -> None:
        """So much has left. Calls that had to wait for others of the connection are told."""
        was_full = self.full
        self.queued -= size
        if was_full and not self.full:
            for call in tuple(self.calls):
                call.roused()


class _Methods(grpc.GenericRpcHandler):
    """The library's table of methods. All are streams in both directions: a unary call is one with one
    request.
    """

    def __init__(self, methods: Methods) -> None:
        self._connections: dict[str, _Connection] = {}  # by the client's address and port
        self._handlers = {
            path: grpc.stream_stream_rpc_method_handler(cast("Any", self._behaviour(path, serve)))
            for path, serve in methods.items()
        }

    @property
    def waiting(self) -> int:
        """Bytes of responses that have not left."""
        return sum(connection.queued for connection in self._connections.values())

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)

    def _behaviour(self, path: str, serve: Callable[[Call], Handler]) -> Callable[[Any, Any], Any]:
        async def behaviour(_requests: Any, context: Any) -> None:
            peer = context.peer()
            connection = self._connections.setdefault(peer, _Connection())
            call = _Call(path, context, unquote(peer), _certificate(context), connection)
            connection.calls.add(call)
            try:
                await call.run(serve)
            finally:
                connection.calls.discard(call)
                if not connection.calls:
                    self._connections.pop(peer, None)

        return behaviour


class _Call(GuardedCall):
    """One call. `context` is the library's."""

    __slots__ = (
        "_connection",
        "_context",
        "_loop",
        "_over",
        "_path",
        "_reader",
        "_resumed",
        "_waiting",
        "_writer",
    )

    def __init__(
        self,
        path: str,
        context: Any,
        peer: str,
        certificate: Certificate | None,
        connection: _Connection,
    ) -> None:
        super().__init__(peer, certificate)
        self._connection = connection
        self._path = path
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[CallEnd] = self._loop.create_future()
        self._resumed: asyncio.Future[None] | None = None  # what a paused reader waits for
        self._waiting: deque[bytes] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    async def run(self, serve: Callable[[Call], Handler]) -> None:
        """Serve the call to its end."""
        self.attempt(self._begin, serve)
        try:
            end = await self._over
            if self._writer is not None:  # the status comes after the responses
                await asyncio.wait((self._writer,))
        except asyncio.CancelledError:  # the client has gone, or its time is over
            self._lost()
            raise
        self._context.set_code(end.code)
        self._context.set_details(shortened(end.text))

    # The handler's side.

    @property
    def method(self) -> str:
        """The method's path."""
        return self._path

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The client's metadata; values of names that end with -bin are bytes."""
        found: dict[str, str | bytes] = {}
        for name, value in self._context.invocation_metadata():
            if name not in found:
                found[name] = value
            elif isinstance(value, str):
                found[name] = f"{found[name]},{value}"
        return found

    @property
    def writable(self) -> bool:
        """Whether a response would leave at once."""
        return not self._ended and self._writer is None and not self._connection.full

    def send(self, *parts: bytes) -> None:
        """Send a response: the parts put together."""
        if self._ended:
            return
        response = b"".join(parts)
        self._waiting.append(response)
        self._connection.queued += len(response)
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())

    def pause(self) -> None:
        """Let requests wait until `resume`; flow control keeps the client from sending many."""
        if self._resumed is None:
            self._resumed = self._loop.create_future()

    def resume(self) -> None:
        """Take the requests that wait, and further ones."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.set_result(None)

    # The library's side.

    def _begin(self, serve: Callable[[Call], Handler]) -> None:
        self._handler = serve(self)
        # The task is never cancelled: a message that comes for a read that was given up is never freed by the
        # library. The read ends when the call does.
        self._reader = self._loop.create_task(self._read())

    async def _read(self) -> None:
        while not self._ended:
            if self._resumed is not None:
                await self._resumed
                continue
            try:
                raw = await self._context.read()
            except grpc.aio.BaseError:
                return  # the call is over
            if self._handler is None:
                return
            if raw is _EOF:
                self.attempt(self._handler.half_closed)
                return
            self.attempt(self._handler.message, raw)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._context.write(self._waiting[0])
                self._connection.left(len(self._waiting.popleft()))
        except grpc.aio.BaseError:
            return  # the client has gone, which ends the call by itself
        finally:
            self._writer = None
            while self._waiting:
                self._connection.left(len(self._waiting.popleft()))
        self.roused()

    def roused(self) -> None:
        """Tell the handler if it may send."""
        if self._handler is not None and self.writable:
            self.attempt(self._handler.writable)

    def _end(self, end: CallEnd) -> None:
        if self._over.cancelled():  # the client has gone, which `run` has not seen yet
            self._lost()
        elif not self._ended:
            self._ended = True
            self._over.set_result(end)
            self.resume()
            self._tell(end)

    def _lost(self) -> None:
        if not self._ended:
            self._ended = True
            self.resume()
            self._tell(None)
