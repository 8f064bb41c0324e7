"""Proxies whose bootstrap has one name of several control planes: their reports find the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.cli.processes import Child
from tests.mesh.harness import Mesh, abc, until
from tests.mesh.two import Two

pytestmark = pytest.mark.mesh

GRAY = ("canary", "gray")


class Named(Two):
    """Every Envoy knows both addresses, as a name has them."""

    def start(self) -> None:
        super().start()
        mesh, plain = self.mesh, self.mesh.start_envoy
        both = [
            {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
            for host, port in self.xds
        ]

        def start_envoy(name: str, config: dict[str, Any]) -> Child:
            cluster = config["static_resources"]["clusters"][0]
            cluster["type"] = "STRICT_DNS"
            cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": both}]
            return plain(name, config)

        mesh.start_envoy = start_envoy  # type: ignore[method-assign]
        mesh.start_edge()
        mesh.start_sidecars(mesh.pods.values())
        mesh.wait_ready()
        mesh.wait_chain(["Agray", "B", "C"], GRAY)

    def home(self, node: str) -> int:
        """The control plane that has the proxy's stream."""
        (found,) = [which for which in (0, 1) if any(one.startswith(node) for one in self.connected(which))]
        return found

    def refused(self) -> int:
        """Reports that came to the control plane that does not have the proxy."""
        found = 0
        for rest in self.rest:
            for line in rest.call("GET", "/metrics").body.decode().splitlines():
                if line.startswith('laneway_traffic_messages_refused_total{reason="unknown"}'):
                    found += int(float(line.rpartition(" ")[2]))
        return found


@pytest.fixture(scope="module")
def two(new_mesh: Callable[..., Mesh]) -> Iterator[Named]:
    mesh = new_mesh()
    abc(mesh, "Agray")
    made = Named(mesh)
    made.start()
    yield made
    made.close()


def test_every_report_finds_the_control_plane_of_its_proxy(two: Named) -> None:
    """Also those that went to the other one first."""
    sent = 0

    def some_went_wrong() -> bool:
        nonlocal sent
        for headers in ([GRAY], []):
            assert two.mesh.edge.get("/a", *headers).status == 200
            sent += 1
        return two.refused() >= 3

    until(some_went_wrong, 60, "reports to come to the other control plane")
    for which in (0, 1):
        found: dict[str, Any] = {}

        def whole(which: int = which, found: dict[str, Any] = found) -> bool:
            found.update(two.asked(which, "gateways/edge"))
            return found["total"]["requests"] >= sent

        until(whole, 30, "the edge's reports")
        assert found["proxies"] == {"connected": 5, "reporting": 5}
        assert found["gaps"] == []


def test_every_trace_is_seen(two: Named) -> None:
    home = two.rest[two.home("edge")]
    for _ in range(6):
        begun = home.call("POST", "/v1/traces", {"gateway": "edge", "seconds": 20}).json
        assert two.mesh.edge.get("/a", (begun["header"], begun["token"]), GRAY).status == 200
        path = f"/v1/traces/{begun['id']}"
        until(lambda p=path: home.get(p)["seen"], 20, "the edge's report")
        assert home.call("DELETE", path).status == 204
