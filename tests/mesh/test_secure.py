"""Real Envoys over mTLS: rotation under traffic, certificates that end, and who is not what it says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.client import fetch, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, abc
from tests.mesh.pods import Pod
from tests.mesh.secure import SecureMesh

GRAY = ("canary", "gray")
SHORT = timedelta(seconds=12)


@pytest.fixture(params=["laneway", "grpcio"])
def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SecureMesh]:
    made = SecureMesh(tmp_path, transport=request.param)
    try:
        made.store = f"sqlite:{tmp_path / 'store.db'}"
        made.lifetime = SHORT
        abc(made, "Agray", "Cgray")
        made.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
        made.wait_chain(["Agray", "B", "Cgray"], GRAY)
        yield made
    finally:
        made.stop()


def connected(mesh: SecureMesh) -> list[Any]:
    return mesh.rest.get("/v1/proxies")["items"]


def renewed(mesh: SecureMesh) -> bool:
    """Whether every Envoy has a certificate of more than a minute."""
    return all(
        _left(certificate) > 60
        for admin in mesh.envoys()
        for entry in fetch(admin, "/certs").json["certificates"]
        for certificate in entry["cert_chain"]
    )


def _left(certificate: dict[str, Any]) -> float:
    return (datetime.fromisoformat(certificate["expiration_time"]) - datetime.now(UTC)).total_seconds()


@pytest.mark.mesh
def test_certificates_are_rotated_while_traffic_flows(mesh: SecureMesh) -> None:
    """The first ones end during the load; then everybody has to connect anew: Laneway's own transport ends
    connections with the certificate of their client, the other one when they have their age.
    """
    before = {proxy["connected"] for proxy in connected(mesh)}
    with mesh.load(("GET", "/a", [GRAY], b""), ("POST", "/a", [GRAY], b"x"), rate=50) as load:
        mesh.rotate()
        until(lambda: renewed(mesh), 30, "every Envoy to have read its new certificate")
        metric = 'laneway_xds_certificate_reloads_total{result="reloaded"} 1.0'
        until(lambda: metric in mesh.rest.call("GET", "/metrics").body.decode(), 10, "the server to reload")
        if mesh.transport == "grpcio":
            assert {proxy["connected"] for proxy in connected(mesh)} == before, "a stream has ended"
            mesh.kill(mesh.serving)
            until(lambda: expired(mesh), 30, "the first certificates to end")
            mesh.start_laneway()
        until(lambda: returned(mesh, before), 60, "all to be connected again")
        load.wait_for(50)
    assert load.failed() == []
    assert set(load.chains()) == {("Agray", "B", "Cgray")}
    assert {proxy["identity"] for proxy in connected(mesh)} == {
        "gateway edge",
        *(f"application {name}" for name in APPLICATIONS),
    }


def returned(mesh: SecureMesh, before: set[str]) -> bool:
    """Whether as many are connected, all of them since another time."""
    now = [proxy["connected"] for proxy in connected(mesh)]
    return len(now) == len(before) and before.isdisjoint(now)


def expired(mesh: SecureMesh) -> bool:
    return time.monotonic() - mesh.began > SHORT.total_seconds()


@pytest.mark.parametrize(
    ("node", "shown", "says"),
    [
        ("edge~edge", "gateway/other", "the certificate is of gateway other, but node.cluster is 'edge'"),
        ("edge~edge", "application/edge", "but node.metadata.role is 'edge'"),
        ("edge~edge", "stranger/edge", "fit no pattern of xds_identities"),
        ("sidecar~A", "application/spring-cloud-b", "but node.cluster is 'spring-cloud-a'"),
    ],
)
def test_an_envoy_that_is_not_what_it_says_gets_nothing(
    tmp_path: Path, node: str, shown: str, says: str
) -> None:
    mesh = SecureMesh(tmp_path)
    try:
        mesh.pod("A", "sc-A", "spring-cloud-a")
        full = f"{node}~{mesh.network}" if node.startswith("edge") else node
        mesh.shown[full] = shown
        mesh.write_services()
        mesh.start_laneway()
        mesh.apply(mesh.gateway(), route("a", "sc-A"))
        if node.startswith("edge"):
            mesh.start_edge()
        else:
            mesh.start_sidecars(mesh.pods.values())
        until(lambda: says in log(mesh), 20, f"{says} in the log")
        assert connected(mesh) == []
        metric = 'laneway_xds_streams_refused_total{status="permission_denied"}'
        assert metric in mesh.rest.call("GET", "/metrics").body.decode()
    finally:
        mesh.stop()


def log(mesh: SecureMesh) -> str:
    assert mesh.serving is not None
    return mesh.serving.tail(60)


def test_a_sidecar_at_the_address_of_another_application_is_denied(tmp_path: Path) -> None:
    """Its certificate and what it says of itself agree; the registry does not."""
    mesh = SecureMesh(tmp_path)
    try:
        victim = mesh.pod("A", "sc-A", "spring-cloud-a")
        mesh.write_services()
        mesh.start_laneway()
        mesh.pods["thief"] = thief = Pod("thief", "sc-T", "thieves", victim.address, registered=False)
        mesh.start_sidecars([thief])
        until(lambda: "for application spring-cloud-a, but the certificate" in log(mesh), 20, "the refusal")
        assert connected(mesh) == []
    finally:
        mesh.stop()
