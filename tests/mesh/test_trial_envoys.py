"""Real Envoys of one gateway, and what they really reject: it reaches two of them. A client that takes their
part neither spreads it nor holds back what they take.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from envoy.config.route.v3 import route_pb2

from controlplane.cli.envoy_config import bootstrap, edge_metadata
from controlplane.xds.client_status import ConnectedProxy
from controlplane.xds.resource import LISTENER, ROUTE, Resource
from tests.mesh.harness import ENVOY
from tests.xds.edge_listener import edge_listener
from tests.xds.fleet import Auto, Policy, accepts, rejects
from tests.xds.world import World

COUNT = 5


def routes(content: str) -> Resource:
    """A route configuration with a route for `content`; what begins with `bad` does nothing with it."""
    message = route_pb2.RouteConfiguration(name="a")
    host = message.virtual_hosts.add(name="all", domains=["*"])
    one = host.routes.add()
    one.match.prefix = f"/{content}"
    if not content.startswith("bad"):
        one.direct_response.status = 200
    return Resource.of("a", message.SerializeToString(deterministic=True))


class Rogue(Auto):
    @staticmethod
    def read(body: bytes) -> str:
        return route_pb2.RouteConfiguration.FromString(body).virtual_hosts[0].routes[0].match.prefix[1:]


class Edges:
    """A server, and what its Envoys say of the routes."""

    def __init__(self, world: World, start: Callable[[Path], None], directory: Path) -> None:
        self.world = world
        self._start = start
        self._directory = directory
        world[LISTENER].put(edge_listener("a"))
        world[ROUTE].put(routes("1"))

    async def start(self) -> None:
        for number in range(COUNT):
            node = f"edge-{number}"
            config = bootstrap(
                node, "edge", edge_metadata(), ("127.0.0.1", self.world.port), ("127.0.0.1", 0)
            )
            path = self._directory / f"{node}.json"
            path.write_text(json.dumps(config))
            self._start(path)
        await until(lambda: len(self.envoys()) == COUNT and all(ROUTE in one.types for one in self.envoys()))
        await self.all_have("1")

    async def rogue(self, policy: Policy) -> Auto:
        return await Rogue(self.world, "rogue", policy, delta=True).start()

    def envoys(self) -> list[ConnectedProxy]:
        return [one for one in self.world.server.proxies() if one.id != "rogue"]

    def rejecting(self) -> set[str]:
        return {one.id for one in self.envoys() if one.types[ROUTE].nack is not None}

    async def all_have(self, content: str) -> None:
        assert self.world[ROUTE].get("a") == routes(content)
        version = self.world.view.version(ROUTE)
        await until(lambda: all(one.types[ROUTE].acked == version for one in self.envoys()))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (the server has no event for it)
            await asyncio.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Starts an Envoy. Nothing of Python runs in the child: gRPC's library has threads when it is forked."""
    running: list[subprocess.Popen[bytes]] = []

    def run(config: Path) -> None:
        command = [str(ENVOY), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"]
        with config.with_suffix(".log").open("wb") as log:
            running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    yield run
    for process in running:
        process.kill()
    for process in running:
        process.wait()


@pytest.fixture
async def edges(start: Callable[[Path], None], tmp_path: Path) -> AsyncIterator[Edges]:
    world = await World("laneway", trial_wait=2.0).start()
    yield Edges(world, start, tmp_path)
    await world.close()


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_what_envoys_reject_reaches_two_of_them(edges: Edges, first: bool) -> None:
    """And one that accepts it, whenever it came, spreads it no further."""
    if first:
        await edges.rogue(accepts)
    await edges.start()
    if not first:
        await edges.rogue(accepts)
    edges.world[ROUTE].put(routes("bad"))
    await until(lambda: bool(edges.world.server.held()))
    (held,) = edges.world.server.held()
    assert held.nack is not None
    assert "actionCase" in held.nack.message or "action" in held.nack.message
    assert edges.rejecting() == {held.node, *held.confirmed}
    assert len(edges.rejecting()) == 2
    edges.world[ROUTE].put(routes("better"))
    await edges.all_have("better")
    assert edges.rejecting() == set()


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_one_that_rejects_what_envoys_accept_holds_nothing_back(edges: Edges, first: bool) -> None:
    if first:
        await edges.rogue(rejects)
    await edges.start()
    if not first:
        await edges.rogue(rejects)
    for number in range(20):
        edges.world[ROUTE].put(routes(f"change-{number}"))
        await edges.all_have(f"change-{number}")
    assert edges.world.server.held() == []
    assert edges.world.server.counters["trials_outvoted"] == (1 if first else 0)
