"""Two control planes on one real Nacos, for definitions and services, answer for each other's traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests import nacos_server
from tests.mesh.client import Rest
from tests.mesh.harness import Mesh, abc, until
from tests.mesh.nacos import Registrar, options
from tests.mesh.two import Two
from tests.nacos_server import NacosServer

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]

GRAY = ("canary", "gray")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    with nacos_server.for_test(nacos_server.VERSIONS[0], tmp_path_factory.mktemp("nacos")) as started:
        yield started


class Shared(Two):
    """The edge and A have the first control plane; B and C the second one."""

    def __init__(self, mesh: Mesh, server: NacosServer) -> None:
        super().__init__(mesh)
        self.server = server
        mesh.store = "nacos"
        mesh.source = options(server.address, mesh.directory / "first")

    def start(self) -> None:
        super().start()
        mesh = self.mesh
        mesh.start_edge()
        mesh.start_sidecars([mesh.pods["A"], mesh.pods["Agray"]])
        mesh.xds = self.xds[1]
        mesh.start_sidecars([mesh.pods["B"], mesh.pods["C"]])
        mesh.xds = self.xds[0]
        mesh.wait_ready()
        mesh.wait_chain(["Agray", "B", "C"], GRAY)

    def command(self) -> list[str]:
        """Definitions come from Nacos."""
        return [*options(self.server.address, self.mesh.directory / "second"), "--store", "nacos"]


def test_both_count_the_same(
    new_mesh: Callable[..., Mesh], server: NacosServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mesh = new_mesh()
    abc(mesh, "Agray")
    registrar = Registrar(server.address, tmp_path_factory.mktemp("sdk"))
    two = Shared(mesh, server)
    try:
        registrar.pods("all", *mesh.pods.values())
        two.start()
        for number in range(40):
            assert mesh.edge.get("/a", *([GRAY] if number % 2 else [])).status == 200

        def counted(which: int) -> tuple[int, ...]:
            edge = two.asked(which, "gateways/edge")
            every = two.asked(which, "services/sc-C")
            return edge["total"]["requests"], every["total"]["requests"], every["received"]["requests"]

        until(lambda: len({*counted(0), *counted(1)}) == 1 and counted(0)[0] > 40, 60, "all hops")
        for which in (0, 1):
            found = two.asked(which, "lanes/gray")
            assert found["proxies"] == {"connected": 5, "reporting": 5}
            assert found["peers"] == [{"peer": "http://{}:{}".format(*two.admin[1 - which])}]
            assert found["gaps"] == []
        # A lane that is deleted at one of them takes its series along at both.
        assert two.rest[1].call("DELETE", "/v1/lane-groups/order-flow/lanes/gray").status == 204
        for rest in two.rest:

            def gone(rest: Rest = rest) -> bool:
                return not rest.get("/v1/metrics/summary")["lanes"]

            until(gone, 60, "the end of the lane's series")
    finally:
        two.close()
        registrar.close()
