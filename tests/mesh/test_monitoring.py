"""Every query of the dashboards and of the alert rules, in a real Prometheus that reads a running mesh."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest

from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc
from tests.monitoring.prometheus import Prometheus, dashboards, promtool, queries, rules

pytestmark = pytest.mark.mesh

GRAY = ("canary", "gray")
STRICT = ("canary", "strict")
PORT = 15090


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    mesh = new_mesh()
    mesh.metrics_port = PORT
    abc(mesh, "Agray", "Cgray")
    mesh.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        lane("strict", tag="nobody", fallback="none"),
    )
    mesh.wait_chain(["Agray", "B", "Cgray"], GRAY)
    return mesh


@pytest.fixture(scope="module")
def prometheus(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Prometheus:
    made = Prometheus((f"{mesh.network}.252", 9090), tmp_path_factory.mktemp("prometheus") / "files")
    envoys = [mesh.edge_address[0], *(pod.address for pod in mesh.pods.values())]
    made.write(
        {
            "laneway-control-plane": ["{}:{}".format(*mesh.admin)],
            "laneway-proxies": [f"{address}:{PORT}" for address in envoys],
        }
    )
    mesh.start_command("prometheus", made.command())
    until(made.targets_up, 30, "Prometheus to read all")
    return made


def send(mesh: Mesh, *headers: tuple[str, str], times: int = 5) -> None:
    for _ in range(times):
        mesh.edge.get("/a", *headers)


def observe(mesh: Mesh, *headers: tuple[str, str]) -> None:
    """Have the doctor look at requests of the lane."""
    assert mesh.rest.call("POST", "/v1/propagation", {"seconds": 60}).status == 202
    send(mesh, GRAY, *headers, times=40)
    mesh.rest.call("DELETE", "/v1/propagation")
    until(lambda: not mesh.rest.get("/v1/propagation")["running"], 20, "the observation to end")


def test_every_query_gives_data(mesh: Mesh, prometheus: Prometheus) -> None:
    observe(mesh)

    def traffic() -> None:
        send(mesh)
        send(mesh, GRAY)
        send(mesh, STRICT, times=1)

    asked = [
        (f"{name}: {panel}", query)
        for name, dashboard in dashboards().items()
        for panel, query in queries(dashboard, application="spring-cloud-c", lane="gray")
    ]
    assert len(asked) > 60
    selected = {
        name for rule in (*rules("alert"), *rules("record")) for name in re.findall(METRIC, rule["expr"])
    }
    assert {"laneway_requests_total", "laneway:lane_error_ratio:rate5m", "up"} <= selected
    selected = {name for name in selected if "_expires" not in name}  # this mesh has no certificates
    prometheus.wait_data([*asked, *((f"rules: {name}", name) for name in selected)], traffic)
    # All requests in the lane `strict` are refused.
    expected = {("LanewayLaneRefusals", "strict"), ("LanewayLaneErrors", "strict")}
    assert prometheus.firing() <= expected


METRIC = r"\b(?:laneway|envoy)[_:][a-z_:0-9]+|\bup\b"


def test_numbers_are_those_of_the_proxies(mesh: Mesh, prometheus: Prometheus) -> None:
    """Envoy's own statistics have labels of services where they are of services."""
    inbound = 'envoy_cluster_upstream_rq_total{envoy_cluster_name="inbound|20001"}'
    prometheus.wait_data([("the inbound cluster", inbound)], lambda: send(mesh))
    assert not prometheus.query('{laneway_service!="",laneway_service!~".+/.+"}')
    of_c = 'envoy_cluster_upstream_rq_total{laneway_service="file///sc-C",laneway_tag="gray"}'
    assert {labels["laneway_application"] for labels, _ in prometheus.query(of_c)} == {"spring-cloud-c"}
    assert not prometheus.query('{__name__=~"laneway_requests|laneway_duration_bucket"}')


def test_promtool_finds_nothing_wrong_with_metrics(mesh: Mesh) -> None:
    """Names, types and units by Prometheus's conventions."""
    text = mesh.rest.call("GET", "/metrics").body
    promtool("check", "metrics", given=text)


def test_alerts_fire(mesh: Mesh, prometheus: Prometheus) -> None:
    def fires(alert: str, lane: str = "", meanwhile: Callable[[], object] = lambda: None) -> None:
        def fired() -> bool:
            meanwhile()
            return (alert, lane) in prometheus.firing()

        until(fired, 40, f"{alert} to fire")

    def quiet(alert: str, lane: str = "") -> None:
        assert (alert, lane) not in prometheus.firing()

    quiet("LanewayLaneErrors", "gray")
    fires("LanewayLaneErrors", "gray", lambda: send(mesh, GRAY, ("x-fail", "Cgray=503 a:b")))
    quiet("LanewayLaneFallbacks", "gray")
    mesh.kill(mesh.pods["Cgray"].app)
    fires("LanewayLaneFallbacks", "gray", lambda: send(mesh, GRAY))
    fires("LanewayLaneRefusals", "strict", lambda: send(mesh, STRICT))
    quiet("LanewayLaneLost")
    observe(mesh, ("x-hand-on", "B=x-request-id"))
    fires("LanewayLaneLost")

    quiet("LanewaySourceProblem")
    services = mesh.directory / "services.yaml"
    kept = services.read_text()
    services.write_text("services: 5")
    fires("LanewaySourceProblem")
    services.write_text(kept)

    quiet("LanewayProxyOutOfDate")
    quiet("LanewayDown")
    frozen = mesh.pods["A"].envoy
    assert frozen is not None
    os.kill(frozen.process.pid, signal.SIGSTOP)
    try:
        mesh.apply(route("b", "sc-A", {"prefix": "/b"}), lane("blue", tag="blue"))
        fires("LanewayProxyOutOfDate")
        fires("LanewayProxyNotReporting")
        fires("LanewayDown")
    finally:
        os.kill(frozen.process.pid, signal.SIGCONT)
    until(lambda: ("LanewayProxyOutOfDate", "") not in prometheus.firing(), 40, "the proxy to catch up")
    quiet("LanewayProxyDisconnected")
    mesh.kill(mesh.serving)
    fires("LanewayProxyDisconnected")
