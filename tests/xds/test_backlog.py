"""Responses that wait to be read: bounded for all clients together, whatever they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from controlplane.rpc import frames
from controlplane.rpc.frames import window_update
from controlplane.rpc.listener import Listener
from controlplane.rpc.transport import Limits, Methods
from controlplane.xds.messages import DeltaRequest, DeltaResponse
from controlplane.xds.resource import ENDPOINT
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.server import XdsServer
from controlplane.xds.view import View
from tests.rpc.wire import PATIENCE, Raw, call, message, raw
from tests.xds.client import resource

PATH = "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints"
COUNT = 100
CONTENT = 2_000
RESPONSE = COUNT * (CONTENT + 200)  # at most
STREAMS = 300
BOUND = 4 << 20
NAMES = [f"endpoint-{index:03}" for index in range(COUNT)]
WIDE = 4 << 20


class Fleet:
    """Clients that ask for endpoints and read when they are told to."""

    def __init__(self, listener: Listener, server: XdsServer, port: int, stack: AsyncExitStack) -> None:
        self.listener = listener
        self.server = server
        self._port = port
        self._stack = stack

    async def ask(self, index: int, names: list[str]) -> Raw:
        client = await self._stack.enter_async_context(raw(self._port))
        request = DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=names)
        request.node.id = f"node-{index}"
        client.write(call(1, path=PATH), message(1, request.SerializeToString()))
        return client

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def fleet(**limits: float) -> AsyncIterator[Fleet]:
    made: list[Listener] = []

    def transport(methods: Methods) -> Listener:
        made.append(Listener(methods, Limits(waiting=BOUND, **limits)))  # pyright: ignore[reportArgumentType]
        return made[0]

    clock = Clock()
    endpoints = Collection(clock, ENDPOINT, [resource(name, "x" * CONTENT) for name in NAMES])
    view = View(clock, {ENDPOINT: [endpoints]})
    server = XdsServer(lambda _: view, clock, transport=transport)
    port = await server.start("127.0.0.1:0")
    server.set_ready()
    try:
        async with AsyncExitStack() as stack:
            yield Fleet(made[0], server, port, stack)
    finally:
        await server.stop(0.1)


async def read(client: Raw) -> set[str]:
    """The names in the first response."""
    client.write(window_update(0, WIDE), window_update(1, WIDE))
    got = b""
    while len(got) < 5 or len(got) < 5 + int.from_bytes(got[1:5], "big"):
        got += (await client.next(frames.DATA)).payload
    return {one.name for one in DeltaResponse.FromString(got[5:]).resources}


@pytest.mark.parametrize("own", [True, False], ids=["each-its-own", "all-the-same"])
async def test_what_waits_for_a_fleet_that_connects_at_once_is_bounded(own: bool) -> None:
    async with fleet(unread_pressed=600) as clients:
        backlog = clients.listener.backlog
        wanted = [NAMES] * STREAMS
        if own:
            without = [{NAMES[at % COUNT], NAMES[(at * 7 + 1) % COUNT]} for at in range(STREAMS)]
            wanted = [[name for name in NAMES if name not in left] for left in without]
        asking = [await clients.ask(index, names) for index, names in enumerate(wanted)]
        await clients.until(lambda: clients.server.counters["streams"] == STREAMS)
        # Nobody has read. Without a bound it were 60 MB for streams that each get bytes of their own.
        assert 0 < clients.server.waiting <= BOUND + RESPONSE
        assert bool(backlog.asking) is own
        if not own:
            assert clients.server.waiting <= 2 * RESPONSE  # the first asks alone, and nothing is kept for it
        got = await asyncio.gather(*map(read, asking))
        assert got == [set(names) for names in wanted]
        assert backlog.peak <= BOUND + 20 * RESPONSE
        await clients.until(lambda: not backlog.asking)
        assert clients.server.waiting == 0
        assert not clients.listener.ended


async def test_who_reads_nothing_while_others_wait_for_memory_is_cut_off() -> None:
    async with fleet(unread_pressed=0.2) as clients:
        silent = [await clients.ask(index, NAMES[: COUNT - index]) for index in range(COUNT // 2)]
        await clients.until(lambda: len(clients.listener.backlog.asking) > 0)
        assert await read(await clients.ask(COUNT, NAMES[1:])) == set(NAMES[1:])
        assert 0 < clients.listener.ended["memory"] < len(silent)
