"""Two control planes, each with proxies of its own: each answers for the traffic of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.run import laneway
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until
from tests.mesh.switch import Switch
from tests.mesh.two import Two

GRAY = ("canary", "gray")


class Moving(Two):
    """The edge and A have the first control plane; B and C the second one. The edge's way can be switched."""

    def start(self) -> None:
        super().start()
        mesh = self.mesh
        self.switch = Switch((f"{mesh.network}.248", 18000), self.xds[0])
        mesh.xds = self.switch.address
        mesh.start_edge()
        mesh.xds = self.xds[0]
        mesh.start_sidecars([mesh.pods["A"], mesh.pods["Agray"]])
        mesh.xds = self.xds[1]
        mesh.start_sidecars([mesh.pods["B"], mesh.pods["C"]])
        mesh.xds = self.xds[0]
        mesh.wait_ready()
        mesh.wait_chain(["Agray", "B", "C"], GRAY)

    def send(self, count: int) -> None:
        for number in range(count):
            assert self.mesh.edge.get("/a", *([GRAY] if number % 2 else [])).status == 200

    def close(self) -> None:
        self.switch.close()
        super().close()


@pytest.fixture(scope="module")
def two(new_mesh: Callable[..., Mesh]) -> Iterator[Moving]:
    mesh = new_mesh()
    abc(mesh, "Agray")
    made = Moving(mesh)
    made.start()
    yield made
    made.close()


def test_each_answers_for_all(two: Moving) -> None:
    two.send(40)
    sent = two.asked(0, "gateways/edge")["total"]["requests"]

    def counted(which: int) -> tuple[int, ...]:
        every = two.asked(which, "applications/spring-cloud-c")
        edge = two.asked(which, "gateways/edge")
        return edge["total"]["requests"], every["total"]["requests"], every["received"]["requests"]

    until(lambda: len({*counted(0)}) == 1 and counted(0)[0] >= 40, 30, "all hops of all requests")
    sent = counted(0)
    assert counted(1) == sent
    for which in (0, 1):
        found = two.asked(which, "lanes/gray")
        services = {one["service"]: one for one in found["services"]}
        assert found["edge"]["requests"] == services["file///sc-C"]["lane"]["requests"]
        assert services["file///sc-B"]["lane"]["fallbacks"] == found["edge"]["requests"]
        assert found["proxies"] == {"connected": 5, "reporting": 5}
        assert found["peers"] == [{"peer": "http://{}:{}".format(*two.admin[1 - which])}]
        assert found["gaps"] == []
    summary = two.rest[1].get("/v1/metrics/summary")
    assert {one["application"] for one in summary["applications"]} == set(APPLICATIONS)
    assert two.rest[0].get("/v1/metrics/own?first=0&last=1&step=1")["connected"] == 3


@pytest.mark.mesh
def test_a_proxy_that_moves_is_counted_once(two: Moving) -> None:
    before = until(lambda: two.asked(1, "gateways/edge")["total"]["requests"], 30, "the edge")
    sent = 0
    with two.mesh.load(("GET", "/a", (), b""), rate=60.0, clients=2) as load:
        for target, stay in ((1, 720), (0, 420)):  # long enough for two reports there
            load.wait_for(60)
            two.switch.lead(two.xds[target])
            until(lambda t=target: _edges(two, t) == 1, 30, "the edge to arrive")
            load.wait_for(stay)
    sent = len(load.sent)
    assert not load.failed()
    two.switch.lead(two.xds[0])

    def rest() -> Any:
        found = two.asked(0, "gateways/edge")
        return (
            found if found["total"]["requests"] == two.asked(1, "gateways/edge")["total"]["requests"] else 0
        )

    found = until(rest, 30, "both to say the same")
    counted = found["total"]["requests"] - before
    moves = [one for one in found["gaps"] if one["why"] in ("moved", "away", "new")]
    # What it counted until both have had two of its reports is lost; the gaps say so.
    assert counted <= sent, (counted, sent, found["gaps"])
    assert moves, found["gaps"]
    assert "silent" not in {one["why"] for one in found["gaps"] if one["node"].startswith("edge")}


def test_one_that_is_gone_is_named(two: Moving) -> None:
    peer = "http://{}:{}".format(*two.admin[1])
    two.mesh.kill(two.second)
    answer = two.asked(0, "lanes/gray")
    assert [one["peer"] for one in answer["peers"]] == [peer]
    assert "cannot be reached" in answer["peers"][0]["problem"]
    assert answer["edge"]["requests"] > 0
    server = "http://{}:{}".format(*two.admin[0])
    said = laneway("top", "--once", "--server", server)
    assert "the figures lack its proxies" in " ".join(said.split()), said
    metrics = two.rest[0].call("GET", "/metrics").body.decode()
    assert f'laneway_peer_answers{{peer="{peer}"}} 0.0' in metrics
    two.second = two.start_second()
    until(lambda: two.asked(0, "lanes/gray")["peers"] == [{"peer": peer}], 30, "its answer")


def _edges(two: Moving, which: int) -> int:
    items = two.rest[which].get("/v1/proxies")["items"]
    return sum(one["role"] == "edge" for one in items)
