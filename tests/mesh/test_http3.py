"""HTTP/3 on a real edge: the same routes, lanes and limits over QUIC, told to clients by Alt-Svc."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.certificates import certificate
from tests.mesh import http3
from tests.mesh.client import Client, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh

PORT, PLAIN = 8443, 8080


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    for name in ("main", "shop"):
        certificate(directory, name)
    return directory


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh], files: Path) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "a", sidecar=False)
    made.pod("Agray", "sc-A", "a", tag="gray", sidecar=False)
    made.start(
        route("a", "sc-A", {"prefix": "/"}),
        group("flow", "a"),
        lane("gray", "flow", rule=rule(header("canary", "gray"))),
    )
    tls = {**pair(files, "main"), "sni": [{"hosts": ["shop.test"], **pair(files, "shop")}]}
    address = made.edge_address[0]
    secure = {"port": PORT, "address": address, "tls": tls, "http3": {}}
    listeners = [{"port": PLAIN, "address": address}, secure]
    limits = {"lines": 20, "kib": 2}
    made.apply({"kind": "Gateway", "name": "edge", "listeners": listeners, "header_limits": limits})

    def answers() -> bool:
        with contextlib.suppress(ConnectionError, TimeoutError):
            return http3.ask((address, PORT))[0].status == 200
        return False

    until(answers, 30, "HTTP/3")
    made.check_accepted()
    return made


def pair(files: Path, name: str) -> dict[str, str]:
    return {key: str(files / f"{name}.pem") for key in ("certificate", "key")}


def at(mesh: Mesh) -> tuple[str, int]:
    return (mesh.edge_address[0], PORT)


def test_lanes_and_certificates(mesh: Mesh, files: Path) -> None:
    for host, name in (("shop.test", "shop"), ("other.test", "main")):
        answer, shown = http3.ask(at(mesh), "GET", "/x?y=1", ("canary", "gray"), host=host)
        assert (answer.status, answer.chain, answer.lane) == (200, ["Agray"], "gray")
        text = (files / f"{name}.pem").read_text()
        assert shown == ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])
    answer, _ = http3.ask(at(mesh), "GET", "/x")
    assert (answer.chain, answer.lane) == (["A"], None)
    assert answer.received("x-forwarded-proto") == ["https"]
    assert answer.header("alt-svc") == f'h3=":{PORT}"; ma=86400'
    said = mesh.rest.done("POST", "/v1/explain", {"gateway": "edge", "host": "shop.test", "port": PORT})
    assert said["listener"]["http3"] == PORT
    (told,) = said["response_headers"]
    assert (told["name"], told["value"]) == ("alt-svc", answer.header("alt-svc"))


def test_a_client_brings_no_lane_and_no_mark(mesh: Mesh) -> None:
    marks = [("x-laneway-lane", "gray"), ("x-envoy-retry-on", "5xx")]
    lanes = [("x-lane", "gray"), ("baggage", "lane=gray,a=1")]
    answer, _ = http3.ask(at(mesh), "GET", "/x", *lanes, *marks)
    assert (answer.chain, answer.lane) == (["A"], None)
    assert answer.received("baggage") == ["a=1"]
    assert answer.received("x-laneway-lane") == answer.received("x-envoy-retry-on") == []


def test_bodies_and_limits(mesh: Mesh) -> None:
    answer, _ = http3.ask(at(mesh), "POST", "/x", ("canary", "gray"), body=b"x" * 500_000)
    assert (answer.chain, answer.json["size"]) == (["Agray"], 500_000)
    with pytest.raises(ConnectionResetError):  # Envoy answers 431 over HTTP/1 and HTTP/2 alone
        http3.ask(at(mesh), "GET", "/x", *((f"x-{n}", "a") for n in range(30)))
    answer, _ = http3.ask(at(mesh), "GET", "/y/../x//z")
    assert answer.json["path"] == "/x/z"


def test_only_answers_over_tls_tell_of_it(mesh: Mesh) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(at(mesh), 5)
    with context.wrap_socket(plain, server_hostname="shop.test") as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert f'alt-svc: h3=":{PORT}"; ma=86400'.encode() in answer
    with Client((mesh.edge_address[0], PLAIN)) as client:
        assert client.get("/x").header("alt-svc") is None
