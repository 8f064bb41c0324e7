"""A listener on a port with handlers that note what they are told, and clients that write raw frames."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote

from hpack import Decoder

from controlplane.net.tls import Tls
from controlplane.rpc import frames
from controlplane.rpc.choice import TransportName, transport
from controlplane.rpc.connection import Connection
from controlplane.rpc.frames import frame
from controlplane.rpc.headers import block
from controlplane.rpc.listener import Listener
from controlplane.rpc.transport import Call, CallEnd, Limits
from tests.rpc.pair import HELLO, Frame

PATIENCE = 20.0  # seconds until a test gives up


class Echo:
    """Sends back what it gets. A test changes what it does, and asks what it was told."""

    def __init__(self, call: Call, service: Service) -> None:
        self.call = call
        self.service = service
        self.requests: list[bytes] = []
        self.halves = 0
        self.ends: list[CallEnd | None] = []
        self.over = asyncio.Event()
        self.drained = asyncio.Event()
        self.arrived = asyncio.Event()

    def message(self, raw: bytes) -> None:
        self.requests.append(raw)
        self.arrived.set()
        self.service.on_message(self, raw)

    def half_closed(self) -> None:
        self.halves += 1
        self.service.on_half_closed(self)

    def writable(self) -> None:
        self.drained.set()

    def closed(self, end: CallEnd | None) -> None:
        self.ends.append(end)
        self.over.set()
        self.service.on_closed(self)


class Service:
    """A transport with the one method /test/Echo. `settings` are those of Limits."""

    def __init__(self, name: TransportName = "laneway", tls: Tls | None = None, **settings: float) -> None:
        self.calls: list[Echo] = []
        self.on_begin: Callable[[Call], None] = lambda call: None
        self.on_message: Callable[[Echo, bytes], None] = lambda echo, raw: echo.call.send(raw)
        self.on_half_closed: Callable[[Echo], None] = lambda echo: echo.call.finish()
        self.on_closed: Callable[[Echo], None] = lambda echo: None
        self.begun = asyncio.Event()
        limits = Limits(**{"largest_request": 1_000_000, **settings})  # pyright: ignore[reportArgumentType]
        self.transport = transport(name, limits, tls)({"/test/Echo": self._serve})
        self.port = 0

    @property
    def listener(self) -> Listener:
        """The transport, if it is Laneway's own."""
        assert isinstance(self.transport, Listener)
        return self.transport

    def _serve(self, call: Call) -> Echo:
        self.on_begin(call)
        self.calls.append(Echo(call, self))
        self.begun.set()
        return self.calls[-1]


@asynccontextmanager
async def serving(
    name: TransportName = "laneway", tls: Tls | None = None, **settings: float
) -> AsyncIterator[Service]:
    """A service on a port of its own."""
    service = Service(name, tls, **settings)
    service.port = await service.transport.start("127.0.0.1:0")
    try:
        yield service
    finally:
        await service.transport.stop(0.05)


class Raw:
    """A client that says what a test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = Decoder()

    async def frame(self) -> Frame:
        """The next frame. Raises EOFError where the server has closed."""
        async with asyncio.timeout(PATIENCE):
            try:
                head = await self._reader.readexactly(frames.HEAD_SIZE)
                high, low, kind, flags, stream = frames.HEAD.unpack(head)
                return Frame(kind, flags, stream, await self._reader.readexactly(high << 8 | low))
            except ConnectionError:
                raise EOFError from None

    async def next(self, *kinds: int) -> Frame:
        """The next frame of these kinds."""
        while True:
            found = await self.frame()
            if found.kind in kinds:
                return found

    async def closed(self) -> list[Frame]:
        """Wait until the server has closed; what it sent before."""
        found = list[Frame]()
        with suppress(EOFError):
            while True:
                found.append(await self.frame())
        return found

    async def fields(self) -> dict[str, str]:
        """The next header block."""
        found = await self.next(frames.HEADERS)
        return {str(name): str(value) for name, value in self._decoder.decode(found.payload)}

    async def status(self) -> tuple[int, str]:
        """The status that the next stream ends with."""
        while "grpc-status" not in (fields := await self.fields()):
            pass
        return int(fields["grpc-status"]), unquote(fields.get("grpc-message", ""))

    def write(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))


@asynccontextmanager
async def raw(
    port: int, hello: bytes = HELLO, receives: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Raw]:
    """A client that has said hello. receives: bytes of its socket's buffer, 0 for what the system gives."""
    client_socket = socket.socket()
    if receives:
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    client_socket.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client_socket, ("127.0.0.1", port))
    # What is not asked for stays in the socket.
    host = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection(
        sock=client_socket, limit=4_096, ssl=tls, server_hostname=host
    )
    client = Raw(reader, writer)
    client.write(hello)
    try:
        yield client
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def call(number: int, fields: Iterable[tuple[str, str]] = (), **changes: str) -> bytes:
    """HEADERS of a call of /test/Echo; `changes` are of method, path and content_type."""
    head = {"method": "POST", "path": "/test/Echo", "content_type": "application/grpc"} | changes
    pseudo = [(":method", head["method"]), (":scheme", "http"), (":path", head["path"])]
    usual = [(":authority", "here"), ("te", "trailers"), ("content-type", head["content_type"])]
    head_block = block([*pseudo, *usual, *fields])
    return frame(frames.HEADERS, frames.END_HEADERS, number, head_block)


def message(number: int, content: bytes, flag: int = 0, end: bool = False) -> bytes:
    """One DATA frame with one message."""
    payload = bytes([flag]) + len(content).to_bytes(4, "big") + content
    return frame(frames.DATA, frames.END_STREAM if end else 0, number, payload)


async def requests_that_are_not_read(service: Service, client: Raw) -> Connection:
    """Ask without reading an answer until the server reads no more requests, then read all answers.

    Returns the connection, the only one of the service.
    """
    client.write(frame(frames.PING, 0, 0, bytes(8)))
    await client.next(frames.PING)
    (connection,) = service.listener.connections
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    asked = 0
    while connection.transport.is_reading():
        assert asked < 100_000
        numbers = range(2 * asked + 1, 2 * (asked + 100) + 1, 2)
        client.write(*(call(number) + message(number, bytes(100), end=True) for number in numbers))
        asked += 100
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.writer.drain()
    assert connection.transport.get_write_buffer_size() < 4 << 20
    for index in range(asked):
        assert (await client.next(frames.DATA)).stream == 2 * index + 1
    return connection
