"""Connections to an application close before the application closes them: nothing meets the close."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh.app import Reader, Writer, read_message
from tests.mesh.client import Address, encode, until
from tests.mesh.documents import route
from tests.mesh.harness import Mesh

IDS = itertools.count()


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    """Services with a sidecar and without one; applications that wait for long, or for as they say."""
    made = new_mesh()
    made.pod("A", "sc-A", "a", keep_alive=1.0)
    made.pod("Bare", "sc-bare", "bare", sidecar=False, keep_alive=1.0)
    made.pod("Set", "sc-set", "set")
    return made.start(route("a", "sc-A"), route("bare", "sc-bare"), route("set", "sc-set"))


def closed(mesh: Mesh, admin: Address, service: str, by: str) -> int:
    """Connections to instances or to the application; `by` is `remote` (they closed) or `idle_timeout`."""
    stat = "upstream_cx_destroy_remote$" if by == "remote" else "upstream_cx_idle_timeout$"
    return mesh.stats(admin, f"cluster.{service}.*{stat}")


@pytest.mark.parametrize("path", ["/a", "/bare"])
def test_the_proxy_closes_first(mesh: Mesh, path: str) -> None:
    service = {"/a": "file.*sc-A", "/bare": "file.*sc-bare"}[path]
    hops = [(mesh.edge_admin, service)]
    if path == "/a":
        hops.append(((mesh.pods["A"].address, 15000), "inbound"))
    assert mesh.edge.request("POST", path, body=b"x").status == 200
    for admin, cluster in hops:
        until(lambda a=admin, c=cluster: closed(mesh, a, c, "idle_timeout"), 5, f"{admin} to close")
        assert closed(mesh, admin, cluster, "remote") == 0


def test_an_application_says_how_long(mesh: Mesh) -> None:
    """Both the callers of its instances and its own sidecar keep to it; `0s` keeps nothing."""
    pod = mesh.pods["Set"]
    hops = [(mesh.edge_admin, "file.*sc-set"), ((pod.address, 15000), "inbound")]

    def stats(name: str) -> list[int]:
        return [mesh.stats(admin, f"cluster.{cluster}.*{name}$") for admin, cluster in hops]

    def kept(expected: str) -> bool:
        for admin, _ in hops:
            dump = mesh.config_dump(admin)
            if dump.count(expected) == 0:
                return False
        return True

    mesh.apply({"kind": "Application", "name": "set", "services": ["sc-set"], "keep_alive": "30s"})
    until(lambda: kept('"idle_timeout": "30s"'), 10, "the new time")
    before, connections = stats("upstream_cx_idle_timeout"), stats("upstream_cx_total")
    assert mesh.edge.request("POST", "/set", body=b"x").status == 200
    assert mesh.edge.request("POST", "/bare", body=b"x").status == 200
    idle = closed(mesh, mesh.edge_admin, "file.*sc-bare", "idle_timeout")
    until(lambda: closed(mesh, mesh.edge_admin, "file.*sc-bare", "idle_timeout") > idle, 5, "half a second")
    assert mesh.edge.request("POST", "/set", body=b"x").status == 200
    assert stats("upstream_cx_idle_timeout") == before
    assert stats("upstream_cx_total") == [n + 1 for n in connections]

    mesh.apply({"kind": "Application", "name": "set", "services": ["sc-set"], "keep_alive": "0s"})
    until(lambda: kept('"max_requests_per_connection": 1'), 10, "no keep-alive")
    connections = stats("upstream_cx_total")
    for _ in range(3):
        assert mesh.edge.request("POST", "/set", body=b"x").status == 200
    assert stats("upstream_cx_total") == [n + 3 for n in connections]
    said = mesh.rest.done("POST", "/v1/explain", {"gateway": "edge", "path": "/set"})
    assert said["hops"][0]["calls"]["keep_alive"] == 0


async def bursts(address: Address, path: str, count: int, size: int, pause: float) -> Counter[Any]:
    """`count` bursts of `size` POSTs, each when the application closes what was idle for `pause` seconds.

    Counts the answers by status and by how often the application had seen the request.
    """
    kept: list[tuple[Reader, Writer]] = []
    seen: Counter[Any] = Counter()

    async def post() -> None:
        reader, writer = kept.pop() if kept else await asyncio.open_connection(*address)
        writer.write(encode("POST", path, "shop.example.com", [("x-id", str(next(IDS)))], b"abc"))
        message = await read_message(reader)
        assert message is not None, "an edge closes no idle connection of a client"
        status = int(message[0].split()[1])
        seen[status, b'"times": 1' in message[2]] += 1
        kept.append((reader, writer))

    for number in range(count):
        if number:
            await asyncio.sleep(
                max(0.0, pause - 0.004 + random.uniform(-0.004, 0.006))
            )  # the pace of the load
        await asyncio.gather(*(post() for _ in range(size)))
    for _, writer in kept:
        writer.close()
    return seen


@pytest.mark.mesh
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("idle", "count", "size"), [(1.0, 50, 40), (5.0, 10, 200), (60.0, 2, 1000)])
def test_posts_while_applications_close(
    new_mesh: Callable[..., Mesh], idle: float, count: int, size: int
) -> None:
    """The times of servers: a second, uvicorn and Node, Tomcat. No POST fails, and none is seen twice."""
    made = new_mesh()
    for name, sidecar in (("behind", True), ("bare", False)):
        made.pod(name, f"sc-{name}", name, sidecar=sidecar, keep_alive=idle)
    made.start(route("behind", "sc-behind"), route("bare", "sc-bare"))

    async def both() -> list[Counter[Any]]:
        loads = (bursts(made.edge_address, path, count, size, idle) for path in ("/behind", "/bare"))
        return await asyncio.gather(*loads)

    assert asyncio.run(both()) == [Counter({(200, True): count * size})] * 2
