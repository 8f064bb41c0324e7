"""How calls and connections end, over every transport."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import grpc
import pytest

from controlplane.rpc import frames
from controlplane.rpc.choice import TransportName, transport
from controlplane.rpc.frames import rst_stream
from controlplane.rpc.transport import Limits
from tests import require
from tests.rpc.calling import GONE, Status, connected, ended, opened
from tests.rpc.pair import HELLO
from tests.rpc.wire import PATIENCE, Service, call, message, raw, serving

WIDE = frames.window_update(0, 1 << 24)


async def test_many_calls_at_once_to_a_busy_loop_are_all_served(service: Service) -> None:
    """As when a fleet comes back."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(service.port, HELLO + WIDE)) for _ in range(15)]
        for client in clients:
            client.write(*(call(n) + message(n, b"x", end=True) for n in range(1, 400, 2)))
        deadline = time.monotonic() + 1  # in which they arrive, and nothing takes them
        while time.monotonic() < deadline:
            pass
        for client in clients:
            for _ in range(200):
                assert await client.status() == (0, "")


async def test_a_deadline_ends_the_call(name: TransportName) -> None:
    async with serving(name) as service, raw(service.port) as client:
        client.write(call(1, [("grpc-timeout", "200m")]), message(1, b"hello"))
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        await ended(service.calls[0])


@pytest.mark.parametrize("how", ["reset", "lost"])
async def test_a_client_that_goes_ends_its_calls(service: Service, how: str) -> None:
    async with raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        if how == "reset":
            client.write(rst_stream(1, frames.CANCEL))
        else:
            client.writer.transport.abort()
        assert await ended(service.calls[0]) in GONE


async def test_who_does_not_say_hello_is_cut_off(name: TransportName) -> None:
    async with serving(name, hello=0.1, keepalive=0.6) as service, raw(service.port, HELLO[:10]) as client:
        await client.closed()


async def test_connections_are_bounded(name: TransportName) -> None:
    """The library refuses who comes; Laneway's own transport too, unless somebody waits, who is displaced."""
    async with serving(name, connections=2) as service, AsyncExitStack() as stack:
        for _ in range(2):
            client = await stack.enter_async_context(raw(service.port))
            client.write(call(1), message(1, b"hello"))
            await client.next(frames.DATA)
        third = await stack.enter_async_context(raw(service.port))
        assert all(each.kind != frames.DATA for each in await third.closed())


async def test_who_answers_no_ping_is_cut_off(name: TransportName) -> None:
    async with serving(name, keepalive=0.1) as service, raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        assert await ended(service.calls[0]) in GONE
        assert any(each.kind == frames.PING for each in await client.closed())


async def test_a_connection_has_an_age(name: TransportName) -> None:
    async with (
        serving(name, max_connection_age=0.1, max_connection_age_grace=0.2) as service,
        raw(service.port) as client,
    ):
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.GOAWAY)
        await client.closed()
        await ended(service.calls[0])


async def test_a_client_that_pings_now_and_then_stays(service: Service) -> None:
    """As Envoy does with `connection_keepalive`: also while nothing else is said."""
    async with raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        for _ in range(4):
            client.write(frames.frame(frames.PING, 0, 0, bytes(8)))
            while (await client.next(frames.PING)).flags != frames.ACK:
                pass
            await asyncio.sleep(1.05)  # the time is what is tested
        client.write(message(1, b"still here"))
        assert (await client.next(frames.DATA)).payload[5:] == b"still here"


async def test_the_end_of_the_server(name: TransportName) -> None:
    async with serving(name) as service, connected(service) as channel:
        stream, echo = await opened(channel, service)
        await asyncio.wait_for(service.transport.stop(0.1), PATIENCE)
        assert await stream.code() in (Status.UNAVAILABLE, Status.CANCELLED)
        await ended(echo)


async def test_calls_that_end_within_the_grace(name: TransportName) -> None:
    async with serving(name) as service, connected(service) as channel:
        stream, _ = await opened(channel, service)
        stopping = asyncio.create_task(service.transport.stop(600))
        await stream.write(b"more")
        assert await stream.read() == b"more"
        await stream.done_writing()
        assert await stream.code() is Status.OK
        await asyncio.wait_for(stopping, PATIENCE)


async def test_a_port_that_is_taken(name: TransportName, service: Service) -> None:
    other = transport(name, Limits())({})
    with pytest.raises(OSError, match=r"listen|address"):
        await other.start(f"127.0.0.1:{service.port}")
    await other.stop(0)


async def test_an_ipv6_address(name: TransportName) -> None:
    service = Service(name)
    try:
        service.port = await service.transport.start("[::1]:0")
    except OSError as error:
        require.lacking("ipv6", f"no IPv6 here: {error}")
    try:
        async with grpc.aio.insecure_channel(f"[::1]:{service.port}") as channel:
            assert await channel.unary_unary("/test/Echo")(b"x") == b"x"
        assert service.calls[0].call.peer.startswith("ipv6:[::1]:")
    finally:
        await service.transport.stop(0.05)
