"""Every query of the dashboards and of the alert rules, in a real Prometheus that reads a running mesh."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.keys import made, put
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, listening
from tests.mesh.secure import SecureMesh
from tests.monitoring.prometheus import Prometheus, dashboards, promtool, queries, rules

pytestmark = pytest.mark.mesh

GRAY = ("canary", "gray")
STRICT = ("canary", "strict")
PORT = 15090


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureMesh]:
    """With certificates of all kinds: of the xDS port, of a listener, and of the admin port of a second
    control plane.
    """
    mesh = SecureMesh(tmp_path_factory.mktemp("mesh"))
    try:
        yield start(mesh)
    finally:
        mesh.stop()


def secrets(mesh: Mesh) -> Path:
    return mesh.directory / "secrets"


def start(mesh: SecureMesh) -> SecureMesh:
    mesh.metrics_port = PORT
    put(secrets(mesh), "shop", made("shop.test"))
    mesh.environment["LANEWAY_SECRETS"] = str(secrets(mesh))
    abc(mesh, "Agray", "Cgray")
    ports = [{"port": mesh.edge_address[1]}, {"port": 8443, "tls": {"secret": "shop"}}]
    mesh.start(
        mesh.gateway(listeners=[{**one, "address": mesh.edge_address[0]} for one in ports]),
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        lane("strict", tag="nobody", fallback="none"),
    )
    mesh.wait_chain(["Agray", "B", "Cgray"], GRAY)
    return mesh


def second(mesh: SecureMesh) -> str:
    """A control plane without proxies whose admin port has TLS: host:port of it."""
    server = mesh.authority.server("admin", hosts=[f"{mesh.network}.249"])
    address = (f"{mesh.network}.249", 18080)
    command = [*mesh.laneway, "serve", *mesh.source, "--store", "memory", "--xds", f"{address[0]}:18000"]
    command += ["--admin", f"{address[0]}:{address[1]}", "--admin-certificate", str(server.certificate)]
    mesh.start_command("laneway-2", [*command, "--admin-key", str(server.key)])
    until(lambda: listening(address), 60, "the second control plane")
    return f"{address[0]}:{address[1]}"


@pytest.fixture(scope="module")
def prometheus(mesh: SecureMesh, tmp_path_factory: pytest.TempPathFactory) -> Prometheus:
    made = Prometheus((f"{mesh.network}.252", 9090), tmp_path_factory.mktemp("prometheus") / "files")
    envoys = [mesh.edge_address[0], *(pod.address for pod in mesh.pods.values())]
    made.write(
        {
            "laneway-control-plane": ["{}:{}".format(*mesh.admin)],
            "laneway-proxies": [f"{address}:{PORT}" for address in envoys],
        },
        {"laneway-control-plane": [second(mesh)]},
        mesh.authority.ca,
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


def test_every_query_gives_data(mesh: SecureMesh, prometheus: Prometheus) -> None:
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
    prometheus.wait_data([*asked, *((f"rules: {name}", name) for name in selected)], traffic)
    # All requests in the lane `strict` are refused. Certificates of an hour have not been renewed.
    expected = {("LanewayLaneRefusals", "strict"), ("LanewayLaneErrors", "strict")}
    assert prometheus.firing() <= {*expected, ("LanewayCertificateNotRenewed", "")}


def test_each_certificate_has_its_end(mesh: SecureMesh, prometheus: Prometheus) -> None:
    left = "laneway:certificate_expires:seconds - time()"

    def of() -> dict[str, float]:
        return {labels["of"]: seconds for labels, seconds in prometheus.query(left)}

    until(lambda: len(of()) == 3, 30, "the certificates")
    found = of()
    assert 600 < found["the xDS port"] < 3600
    assert 600 < found["the admin port"] < 3600
    assert 29 * DAY < found["secret shop"] < 30 * DAY
    assert ("LanewayCertificateEnds", "") not in prometheus.firing()
    put(secrets(mesh), "shop", made("shop.test", ends=timedelta(minutes=5)))
    until(lambda: ("LanewayCertificateEnds", "") in prometheus.firing(), 40, "the alert")
    put(secrets(mesh), "shop", made("shop.test"))
    until(lambda: ("LanewayCertificateEnds", "") not in prometheus.firing(), 40, "the end of the alert")


DAY = 86400
METRIC = r"\b(?:laneway|envoy)[_:][a-z_:0-9]+|\bup\b"


def test_numbers_are_those_of_the_proxies(mesh: SecureMesh, prometheus: Prometheus) -> None:
    """Envoy's own statistics have labels of services where they are of services."""
    inbound = 'envoy_cluster_upstream_rq_total{envoy_cluster_name="inbound|20001"}'
    prometheus.wait_data([("the inbound cluster", inbound)], lambda: send(mesh))
    assert not prometheus.query('{laneway_service!="",laneway_service!~".+/.+"}')
    of_c = 'envoy_cluster_upstream_rq_total{laneway_service="file///sc-C",laneway_tag="gray"}'
    assert {labels["laneway_application"] for labels, _ in prometheus.query(of_c)} == {"spring-cloud-c"}
    assert not prometheus.query('{__name__=~"laneway_requests|laneway_duration_bucket"}')


def test_exemplars_are_of_single_requests(mesh: SecureMesh, prometheus: Prometheus) -> None:
    """The traced request with the series that it is counted in, and calls that an observation has seen."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    begun = mesh.rest.done("POST", "/v1/traces", {"gateway": "edge", "seconds": 30})
    answer = mesh.edge.get(
        "/a", GRAY, (begun["header"], begun["token"]), ("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")
    )
    assert answer.chain == ["Agray", "B", "Cgray"]
    observe(mesh)
    query = 'laneway_request_duration_seconds_bucket{service=~"file///sc-[AC]"}'

    def at_edge() -> list[dict[str, str]]:
        of = prometheus.exemplars(query)
        return [series for series, own, _ in of if own.get("trace_id") == trace_id and "gateway" in series]

    until(
        lambda: at_edge() and any("gateway" not in one[0] for one in prometheus.exemplars(query)), 30, "both"
    )
    (series,) = at_edge()
    wanted = ("edge", "spring-cloud-a", "file///sc-A", "gray", "gray")
    assert tuple(series[name] for name in ("gateway", "application", "service", "lane", "tag")) == wanted
    for labels, own, seconds in prometheus.exemplars(query):
        assert set(own) <= {"trace_id", "request_id"}
        assert 0 < seconds <= float(labels["le"])
    assert mesh.rest.call("DELETE", f"/v1/traces/{begun['id']}").status == 204


def test_promtool_finds_nothing_wrong_with_metrics(mesh: Mesh) -> None:
    """Names, types and units by Prometheus's conventions."""
    text = mesh.rest.call("GET", "/metrics").body
    promtool("check", "metrics", given=text)


def test_alerts_fire(mesh: SecureMesh, prometheus: Prometheus) -> None:
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
