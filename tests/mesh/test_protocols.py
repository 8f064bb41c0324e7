"""Protocols of services: `tcp` is never routed by lanes; names that resources cannot hold as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh

GRAY = ("canary", "gray")
ODD_APPLICATION = 'a|b,c>d:é "x" %41*'


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("T", "sc-T", "app", sidecar=False, protocol="tcp")
    made.pod("Tgray", "sc-T", "app", tag="gray", sidecar=False, protocol="tcp")
    made.pod("A", "sc-A", "app")
    made.pod("Agray", "sc-A", "app", tag="gray", sidecar=False)
    return made.start(route("t", "sc-T"), route("a", "sc-A"), group("g", "app"), lane("gray", "g"))


def test_tcp_is_base_even_for_a_lane(mesh: Mesh) -> None:
    until(lambda: mesh.chain("/a", GRAY) == ["Agray"], 10, "the lane")
    for _ in range(5):
        assert mesh.chain("/t", GRAY) == ["T"]
        assert mesh.chain("/t") == ["T"]


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "*.test",
        "a*",
        "x:*",
        "UPPER",
        "é",
        "a b",
        "a|b>c",
        "127.0.0.1:80",
        "sc-a",
        "a/b",
        "%2a",
        "-",
        "_x",
        "::1",
    ],
)
def test_odd_names_of_services_harm_nobody(mesh: Mesh, name: str) -> None:
    """Every proxy takes the configuration, and the service can be called where a URL can name it."""
    pod = mesh.pod("odd", name, ODD_APPLICATION, sidecar=False)
    try:
        mesh.start_apps([pod])
        mesh.write_services()
        until(
            lambda: any(s["service"].endswith(name) for s in mesh.rest.get("/v1/services")["items"]), 10, name
        )
        until(
            lambda: f"{pod.address}:" in mesh.endpoints((mesh.pods["A"].address, 15000)),
            10,
            "the odd service",
        )
        until(lambda: settled(mesh), 10, "everybody to acknowledge")
        mesh.check_accepted()
        assert mesh.chain("/a", GRAY) == ["Agray"]
        with Client((mesh.pods["A"].address, 15001)) as client:
            assert client.request("GET", "http://sc-A/", [("x-lane", "gray")], host="sc-A").chain == ["Agray"]
            at = f"{pod.address}:{pod.port}"
            assert client.request("GET", f"http://{at}/", host=at).chain == ["odd"]
    finally:
        del mesh.pods["odd"]
        mesh.write_services()
        mesh.kill(pod.app)
        until(lambda: settled(mesh), 10, "everybody to acknowledge")
        mesh.check_accepted()


def test_a_service_named_like_an_address_of_another(mesh: Mesh) -> None:
    """No domain twice: Envoy would reject the routes of every sidecar."""
    at = f"{mesh.pods['A'].address}:{mesh.pods['A'].port}"
    pod = mesh.pod("liar", at, "other", sidecar=False)
    try:
        mesh.start_apps([pod])
        mesh.write_services()
        until(lambda: f"{pod.address}:" in mesh.endpoints((mesh.pods["A"].address, 15000)), 10, "the service")
        until(lambda: settled(mesh), 10, "everybody to acknowledge")
        mesh.check_accepted()
        with Client((mesh.pods["A"].address, 15001)) as client:
            assert client.request("GET", f"http://{at}/", host=at).chain == ["A"], "the instance wins"
    finally:
        del mesh.pods["liar"]
        mesh.write_services()
        mesh.kill(pod.app)


def settled(mesh: Mesh) -> bool:
    listed = mesh.rest.get("/v1/proxies")["items"]
    return all(t["nack"] is not None or t["sent"] == t["acked"] for p in listed for t in p["types"].values())
