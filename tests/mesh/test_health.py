"""Active health checks, where an Application asks for them (rule 9): silent instances are found."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh

GRAY = ("canary", "gray")
CHECK = {"path": "/healthz", "interval": "200ms"}


def application(name: str, *services: str) -> dict[str, Any]:
    return {"kind": "Application", "name": name, "services": list(services), "health_check": CHECK}


def http2_server(mesh: Mesh, name: str) -> None:
    """An Envoy that speaks HTTP/2 alone and answers with its name."""
    pod = mesh.pods[name]
    answer = {"status": 200, "body": {"inline_string": f'{{"chain": ["{name}"]}}'}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network."
        "http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http2",
        "codec_type": "HTTP2",
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "every",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": answer}],
                }
            ]
        },
    }
    listener = {
        "name": "http2",
        "address": {"socket_address": {"address": pod.address, "port_value": pod.port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    mesh.start_envoy(f"server-{name}", {"static_resources": {"listeners": [listener]}})


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for name in ("A", "Agray"):
        made.pod(name, "sc-A", "app", tag=name[1:])
    for name in ("H", "Hgray"):
        made.pod(name, "sc-H", "app2", tag=name[1:], sidecar=False, protocol="http2")
    made.write_services()
    made.start_laneway()
    made.start_apps(made.pods[n] for n in ("A", "Agray"))
    made.apply(
        made.gateway(),
        route("a", "sc-A"),
        route("h", "sc-H"),
        application("app", "sc-A"),
        application("app2", "sc-H"),
        group("g", "app", "app2"),
        lane("gray", "g"),
        lane("red", "g"),
    )
    http2_server(made, "H")
    http2_server(made, "Hgray")
    made.start_edge()
    made.start_sidecars(made.pods[n] for n in ("A", "Agray"))
    made.wait_ready()
    until(lambda: flags(made, "A") == flags(made, "Agray") == "healthy", 10, "the first checks")
    made.wait_chain(["Agray"], GRAY)
    return made


def stop(mesh: Mesh, name: str, number: signal.Signals) -> None:
    app = mesh.pods[name].app
    assert app is not None
    os.killpg(app.process.pid, number)


def flags(mesh: Mesh, name: str) -> str:
    """What the edge thinks of an instance in the lane's own cluster or in base."""
    mark = f"{mesh.pods[name].address}:{mesh.pods[name].port}::health_flags::"
    lines = [x for x in mesh.endpoints(mesh.edge_admin).splitlines() if mark in x]
    return ",".join(sorted({x.partition("health_flags::")[2] for x in lines}))


def impatient(mesh: Mesh) -> list[str]:
    """The chain of one request of the lane, or nothing within half a second."""
    with Client(mesh.edge_address, timeout=0.5) as client:
        try:
            return client.get("/a", GRAY).chain
        except TimeoutError:
            return []


def silence(mesh: Mesh) -> float:
    """An instance accepts and stays silent; seconds that a request of its lane takes once that is known."""
    stop(mesh, "Agray", signal.SIGSTOP)
    try:
        until(lambda: "failed_active_hc" in flags(mesh, "Agray"), 10, "the silence to be noticed")
        until(lambda: impatient(mesh) == ["A"], 10, "the edge's worker to know")
        began = time.monotonic()
        for _ in range(20):
            assert mesh.chain("/a", GRAY) == ["A"]
        return (time.monotonic() - began) / 20
    finally:
        stop(mesh, "Agray", signal.SIGCONT)
        until(lambda: mesh.chain("/a", GRAY) == ["Agray"], 10, "the lane again")


def test_an_instance_that_accepts_and_stays_silent(mesh: Mesh) -> None:
    """The registry says healthy, connections are made, no answer comes: found, and not waited for again.

    A busy machine makes requests slow, nothing makes them fast: one quick round of three is enough.
    """
    assert any(silence(mesh) < 0.2 for _ in range(3))


def test_base_is_not_given_up(mesh: Mesh) -> None:
    """Where every instance of base fails its checks, one that answers all the same is used."""
    stop(mesh, "A", signal.SIGSTOP)
    try:
        until(lambda: "failed_active_hc" in flags(mesh, "A"), 5, "the silence to be noticed")
    finally:
        stop(mesh, "A", signal.SIGCONT)
    assert mesh.chain("/a") == ["A"]
    until(lambda: flags(mesh, "A") == "healthy", 5, "base to be healthy")


def test_an_instance_that_starts_late_is_found(mesh: Mesh) -> None:
    """Registered before it listens: without traffic of its own it is asked as often as others."""
    pod = mesh.pod("Ared", "sc-A", "app", tag="red")
    mesh.register("Ared")
    until(lambda: "failed_active_hc" in flags(mesh, "Ared"), 10, "the first check")
    assert mesh.chain("/a", ("canary", "red")) == ["A"]
    mesh.start_apps([pod])
    mesh.start_sidecars([pod])
    mesh.wait_ready("Ared")
    until(lambda: mesh.chain("/a", ("canary", "red")) == ["Ared"], 10, "the lane")


def test_an_instance_that_changes_its_tag_leaves_the_lane_at_once(mesh: Mesh) -> None:
    """Although it goes on answering the checks that its old cluster makes."""
    pod = mesh.pods["Agray"]
    pod.tag = "red"
    mesh.write_services()
    try:
        until(lambda: mesh.chain("/a", GRAY) == ["A"], 10, "gray to be empty")
        page = mesh.endpoints(mesh.edge_admin)
        lines = [
            x for x in page.splitlines() if x.startswith("file///sc-A|app|gray::") and f"{pod.address}:" in x
        ]
        assert lines == []
    finally:
        pod.tag = "gray"
        mesh.write_services()
        until(lambda: mesh.chain("/a", GRAY) == ["Agray"], 10, "the lane again")


def test_services_that_speak_http2_alone(mesh: Mesh) -> None:
    until(lambda: flags(mesh, "Hgray") == flags(mesh, "H") == "healthy", 10, "the checks to pass")
    assert mesh.chain("/h", GRAY) == ["Hgray"]
    assert mesh.chain("/h") == ["H"]
