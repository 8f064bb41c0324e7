"""The life of connections: who reads slowly or not at all, who is silent, and the end of the server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest

from controlplane.rpc import frames
from controlplane.rpc.connection import Connection
from controlplane.rpc.frames import frame, window_update
from controlplane.rpc.listener import CLOSED_AT_ONCE, Listener
from controlplane.rpc.transport import Limits
from tests import require
from tests.rpc.pair import HELLO, Frame
from tests.rpc.wire import (
    PATIENCE,
    Echo,
    Raw,
    Service,
    call,
    message,
    raw,
    requests_that_are_not_read,
    serving,
)

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
WIDE = frames.settings({frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW}) + window_update(0, 1 << 30)
PART = b"x" * 50_000


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


async def answered(client: Raw, ping: Frame) -> None:
    """Answer a ping of the server."""
    client.write(frame(frames.PING, frames.ACK, 0, ping.payload))


async def until_goaway(client: Raw) -> tuple[int, int]:
    """Answer pings until the next GOAWAY; what it says."""
    while (found := await client.next(frames.PING, frames.GOAWAY)).kind != frames.GOAWAY:
        if not found.flags & frames.ACK:
            await answered(client, found)
    return found.goaway


# Who reads slowly.


def fill(echo: Echo, _: bytes) -> None:
    """Send for as long as it leaves at once."""
    while echo.call.writable:
        echo.call.send(PART)


async def test_without_a_window_one_response_waits(service: Service) -> None:
    service.on_message = fill
    async with raw(service.port) as client:
        client.write(call(1), message(1, b"go"))
        got = 0
        while got < frames.DEFAULT_WINDOW:
            got += len((await client.next(frames.DATA)).payload)
        echo = service.calls[0]
        assert not echo.drained.is_set()
        stream = next(iter(service.listener.connections)).http2.streams[1]
        assert 0 < stream.outgoing.queued <= len(PART) + 5
        client.write(window_update(1, len(PART)), window_update(0, len(PART)))
        await asyncio.wait_for(echo.drained.wait(), PATIENCE)
        assert echo.call.writable
        echo.call.finish()
        assert await client.status() == (0, "")


async def test_a_socket_that_takes_nothing_holds_little(service: Service) -> None:
    service.on_message = fill
    async with raw(service.port, HELLO + WIDE) as client:
        client.write(call(1), message(1, b"go"))
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        echo = service.calls[0]
        await asyncio.wait_for(echo.arrived.wait(), PATIENCE)
        assert not echo.call.writable
        connection = next(iter(service.listener.connections))
        assert connection.transport.get_write_buffer_size() < 200_000
        echo.call.finish()
        content = b""
        while (found := await client.next(frames.DATA, frames.HEADERS)).flags != 5:
            content += found.payload if found.kind == frames.DATA else b""
        assert len(content) % (len(PART) + 5) == 0
        assert echo.ends


async def test_requests_of_one_who_reads_no_answers_are_not_read(service: Service) -> None:
    async with raw(service.port, HELLO + WIDE, receives=4_096) as client:
        connection = await requests_that_are_not_read(service, client)
    assert connection.http2.outgoing.clogged is False


# Who is silent.


async def test_who_answers_no_ping_is_cut_off() -> None:
    async with serving(keepalive=0.06) as service, raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        await asyncio.wait_for(service.calls[0].over.wait(), PATIENCE)
        assert service.calls[0].ends == [None]
        assert sum(each.kind == frames.PING for each in await client.closed()) == 1
        assert not service.listener.connections


async def test_who_answers_pings_stays() -> None:
    async with serving(keepalive=0.06) as service, raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        for _ in range(5):
            await answered(client, await client.next(frames.PING))
        client.write(message(1, b"still here"))
        assert (await client.next(frames.DATA)).payload[5:] == b"still here"


@pytest.mark.parametrize("hello", [b"", HELLO[:10], HELLO[:-3]], ids=["nothing", "a little", "no settings"])
async def test_who_does_not_say_hello_is_cut_off(hello: bytes) -> None:
    async with serving(keepalive=0.06) as service, raw(service.port, hello) as client:
        first = await client.frame()
        assert first.kind == frames.SETTINGS
        await client.closed()
        assert not service.listener.connections


async def test_who_never_reads_is_cut_off() -> None:
    async with serving(keepalive=0.06) as service, raw(service.port, HELLO + WIDE) as client:
        service.on_message = lambda echo, raw: echo.call.send(bytes(50 << 20))
        client.write(call(1), message(1, b"go"))
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        await asyncio.wait_for(service.calls[0].over.wait(), PATIENCE)
        assert service.calls[0].ends == [None]


class Transport(asyncio.Transport):
    """A socket of which a test says how much has not left."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.left = 0
        self.written = bytearray()
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It is never full."""

    def get_write_buffer_size(self) -> int:
        return self.left

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


async def test_who_takes_what_is_sent_is_alive() -> None:
    listener, transport = Listener({}, Limits(largest_request=1)), Transport()
    loop = asyncio.get_running_loop()
    connection = Connection(listener, loop)
    connection.connection_made(transport)
    connection.data_received(HELLO)
    transport.written.clear()
    now = loop.time()
    for transport.left in range(1_000, 0, -100):
        connection.check(now := now + 25)
    assert not transport.written
    connection.check(now + 25)
    connection.check(now + 31)
    assert frame(frames.PING, 0, 0, b"liveness") in transport.written
    connection.check(now + 40)
    assert not transport.aborted
    connection.check(now + 42)
    assert transport.aborted


async def test_what_is_no_http2_is_told_so(service: Service) -> None:
    async with raw(service.port, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n") as client:
        assert (await client.next(frames.GOAWAY)).goaway == (0, frames.PROTOCOL_ERROR)
        await client.closed()


# The age of connections.


async def test_the_age_of_a_connection() -> None:
    async with (
        serving(max_connection_age=0.05, max_connection_age_grace=0.2) as service,
        raw(service.port) as client,
    ):
        client.write(call(1), message(1, b"hello"))
        assert await until_goaway(client) == (frames.LARGEST_WINDOW, frames.NO_ERROR)
        assert await until_goaway(client) == (1, frames.NO_ERROR)
        client.write(message(1, b"still served"))
        while (await client.next(frames.DATA)).payload[5:] != b"still served":
            pass
        assert await client.status() == (UNAVAILABLE, "the connection has reached its age")
        await client.closed()
        ends = service.calls[0].ends
        assert [end and end.code for end in ends] == [grpc.StatusCode.UNAVAILABLE]


async def test_a_connection_without_calls_leaves_at_its_age() -> None:
    async with (
        serving(max_connection_age=0.05, max_connection_age_grace=600) as service,
        raw(service.port) as client,
    ):
        await until_goaway(client)
        assert await until_goaway(client) == (0, frames.NO_ERROR)
        await client.closed()


# The end of the server.


async def stopping(service: Service, grace: float) -> asyncio.Task[None]:
    return asyncio.create_task(service.listener.stop(grace))


async def test_an_idle_client_of_grpc_leaves_at_once(service: Service) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=options) as channel:
        echo = channel.stream_stream("/test/Echo")()
        await echo.done_writing()
        assert await echo.code() is grpc.StatusCode.OK
        await asyncio.wait_for(service.listener.stop(600), PATIENCE)
    assert not service.listener.connections


async def test_a_call_that_ends_within_the_grace(service: Service) -> None:
    async with raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        task = await stopping(service, 600)
        await until_goaway(client)
        await until_goaway(client)
        client.write(frame(frames.DATA, frames.END_STREAM, 1))
        assert await client.status() == (0, "")
        await client.closed()
        await asyncio.wait_for(task, PATIENCE)


async def test_a_call_that_goes_on_is_ended(service: Service) -> None:
    async with raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        task = await stopping(service, 0.05)
        assert await client.status() == (UNAVAILABLE, "the server stops")
        await client.closed()
        await asyncio.wait_for(task, PATIENCE)
        assert len(service.calls[0].ends) == 1


async def test_a_client_that_never_reads_does_not_hold_up_the_end(service: Service) -> None:
    service.on_message = lambda echo, raw: echo.call.send(bytes(50 << 20))
    async with raw(service.port, HELLO + WIDE) as client:
        client.write(call(1), message(1, b"go"))
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        await asyncio.wait_for(service.calls[0].arrived.wait(), PATIENCE)
        await asyncio.wait_for(service.listener.stop(0.05), PATIENCE)
        await asyncio.wait_for(service.calls[0].over.wait(), PATIENCE)
        assert len(service.calls[0].ends) == 1


async def test_who_leaves_together_is_closed_one_after_another(service: Service) -> None:
    clients = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(4 * CLOSED_AT_ONCE)]
    connections = service.listener.connections
    async with asyncio.timeout(PATIENCE):
        while len(connections) < len(clients):  # noqa: ASYNC110
            await asyncio.sleep(0)
        for client in clients:
            client.close()
        while before := len(connections):
            await asyncio.sleep(0)  # one turn of the event loop
            assert before - len(connections) <= CLOSED_AT_ONCE


async def test_who_is_accepted_while_it_stops_is_not_kept() -> None:
    listener, transport = Listener({}, Limits(largest_request=1)), Transport()
    await listener.start("127.0.0.1:0")
    await listener.stop(0)
    Connection(listener, asyncio.get_running_loop()).connection_made(transport)
    assert transport.aborted
    assert not listener.connections


# Addresses.


@pytest.fixture
def six() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        require.lacking("ipv6", f"no IPv6 here: {error}")


@pytest.mark.usefixtures("six")
@pytest.mark.parametrize(
    ("address", "targets"),
    [("[::1]:0", ["::1"]), ("[::]:0", ["::1", "127.0.0.1"]), ("0.0.0.0:0", ["127.0.0.1"])],
)
async def test_addresses(address: str, targets: list[str]) -> None:
    service = Service()
    port = await service.listener.start(address)
    try:
        for target in targets:
            reader, writer = await asyncio.open_connection(target, port)
            client = Raw(reader, writer)
            client.write(HELLO, call(1), message(1, b"hello", end=True))
            assert await client.status() == (0, "")
            assert target in service.calls[-1].call.peer
            writer.close()
            await writer.wait_closed()
    finally:
        await service.listener.stop(0.05)


async def test_a_port_that_is_taken(service: Service) -> None:
    other = Listener({}, Limits(largest_request=1))
    with pytest.raises(OSError, match="in use"):
        await other.start(f"127.0.0.1:{service.port}")
    await other.stop(0)
