"""The ports of a gateway on a real edge: TLS, redirects to it, PROXY protocol, limits and the access log."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import certificate
from tests.mesh.client import Client, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh

TLS, ONLY_NAMES, STANDARD, OTHER, PROXIED = 8443, 8444, 8081, 8082, 8083


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    for name in ("main", "shop", "next"):
        certificate(directory, name)
    return directory


def pair(files: Path, name: str) -> dict[str, str]:
    """Both stand in one file."""
    return {"certificate": str(files / f"{name}.pem"), "key": str(files / f"{name}.pem")}


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh], files: Path) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "a", sidecar=False)
    made.pod("Agray", "sc-A", "a", tag="gray", sidecar=False)
    gray = lane("gray", "flow", rule=rule(header("canary", "gray")))
    made.start(route("a", "sc-A", {"prefix": "/"}, rewrite={"prefix": "/a"}), group("flow", "a"), gray)
    sni = [{"hosts": ["shop.test", "*.shop.test"], **pair(files, "shop")}]
    address = made.edge_address[0]
    ports: list[dict[str, Any]] = [
        {"port": 8080},
        {"port": TLS, "tls": {**pair(files, "main"), "sni": sni}},
        {"port": ONLY_NAMES, "tls": {"sni": sni}},
        {"port": STANDARD, "redirect_to_https": 443},
        {"port": OTHER, "redirect_to_https": TLS},
        {"port": PROXIED, "proxy_protocol": True},
    ]
    made.apply(
        {
            "kind": "Gateway",
            "name": "edge",
            "listeners": [{**one, "address": address} for one in ports],
            "trusted_hops": 1,
            "keep_request_id": True,
            "header_limits": {"lines": 20, "kib": 2},
            "access_log": {"path": str(files / "access.log")},
        }
    )
    until(lambda: listens(made, PROXIED), 20, "the last listener")
    until(lambda: served(made, TLS, "x.test") is not None, 20, "the certificates")
    made.check_accepted()
    return made


def listens(mesh: Mesh, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((mesh.edge_address[0], port), 1):
        return True
    return False


def shaken(mesh: Mesh, port: int, name: str | None) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = socket.create_connection((mesh.edge_address[0], port), 5)
    return context.wrap_socket(plain, server_hostname=name)


def served(mesh: Mesh, port: int, name: str | None) -> bytes | None:
    """The certificate that a client gets who asks for `name`; None for none."""
    with contextlib.suppress(OSError), shaken(mesh, port, name) as connection:
        return connection.getpeercert(binary_form=True)
    return None


def written(files: Path, name: str) -> bytes:
    text = (files / f"{name}.pem").read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])


def test_names_choose_the_certificate(mesh: Mesh, files: Path) -> None:
    for name in ("shop.test", "a.shop.test", "SHOP.test"):
        assert served(mesh, TLS, name) == written(files, "shop")
        assert served(mesh, ONLY_NAMES, name) == written(files, "shop")
    assert served(mesh, TLS, "other.test") == written(files, "main")
    assert served(mesh, ONLY_NAMES, "other.test") is None


def test_requests_over_tls(mesh: Mesh) -> None:
    with shaken(mesh, TLS, "shop.test") as connection:
        assert connection.selected_alpn_protocol() == "h2"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection((mesh.edge_address[0], TLS), 5)
    with context.wrap_socket(plain, server_hostname="shop.test") as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'["x-forwarded-proto", "https"]' in answer


def test_a_new_certificate_is_read_when_it_is_moved_into_place(mesh: Mesh, files: Path) -> None:
    new = written(files, "next")
    with shaken(mesh, TLS, "x.test") as before:
        os.replace(files / "next.pem", files / "main.pem")
        until(lambda: served(mesh, TLS, "x.test") == new, 10, "the new certificate")
        before.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")  # connections stay
        assert before.recv(100)
    assert served(mesh, TLS, "shop.test") == written(files, "shop")


@pytest.mark.parametrize(
    ("port", "host", "location"),
    [
        (STANDARD, "shop.test", "https://shop.test/x?y=1"),
        (STANDARD, "shop.test:8081", "https://shop.test/x?y=1"),
        (OTHER, "shop.test:8082", f"https://shop.test:{TLS}/x?y=1"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_clear_text_is_led_to_tls(mesh: Mesh, method: str, port: int, host: str, location: str) -> None:
    with Client((mesh.edge_address[0], port)) as client:
        answer = client.request(method, "/x?y=1", host=host)
    assert (answer.status, answer.header("location")) == (308, location)
    said = explained(mesh, port, host, "/x?y=1", method=method)
    assert said["answered"] == {"status": 308, "location": location}
    assert said["route"] is None
    assert said["hops"] == []


def explained(mesh: Mesh, port: int, host: str, path: str, *headers: Any, **more: Any) -> dict[str, Any]:
    asked = {"gateway": "edge", "host": host, "path": path, "headers": headers, "port": port, **more}
    return mesh.rest.done("POST", "/v1/explain", asked)


@pytest.mark.parametrize("name", ["shop.test", "a.shop.test", "SHOP.test", "other.test", "127.0.0.1"])
def test_explain_names_the_certificate(mesh: Mesh, files: Path, name: str) -> None:
    for port in (TLS, ONLY_NAMES):
        said = explained(mesh, port, name, "/x")
        asked = "" if name == "127.0.0.1" else name  # an address is no name that TLS asks for
        got = served(mesh, port, asked or None)
        if got is None:
            assert "no certificate" in said["reason"]
            assert "certificate" not in said["listener"]
            continue
        assert got == written(files, Path(said["listener"]["certificate"]).stem)
        assert said["route"] == "a"


def test_explain_names_what_a_port_does(mesh: Mesh, files: Path) -> None:
    said = explained(mesh, PROXIED, "shop.test", "/x", ["x-request-id", "mine"])
    address = mesh.edge_address[0]
    assert said["listener"] == {"port": PROXIED, "addresses": [address], "proxy_protocol": True}
    assert said["keeps_request_id"] is True
    assert said["access_log"] == f"{files / 'access.log'} as json; of 100 % of the requests"
    assert "listener" not in mesh.rest.done("POST", "/v1/explain", {"gateway": "edge"})
    answer = mesh.rest.call("POST", "/v1/explain", {"gateway": "edge", "port": 1})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "port")


def test_the_proxy_protocol_says_who_the_client_is(mesh: Mesh) -> None:
    address = (mesh.edge_address[0], PROXIED)
    request = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    with socket.create_connection(address, 5) as connection:
        connection.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n" + request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'["x-forwarded-for", "203.0.113.9"]' in answer
    with socket.create_connection(address, 5) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request)
        assert connection.recv(100) == b""


def test_limits_of_headers(mesh: Mesh) -> None:
    for headers in ([("x-a", str(n)) for n in range(30)], [("x-a", "a" * 3000)]):
        with Client(mesh.edge_address) as client:
            assert client.get("/x", *headers).status == 431
        asked = {"gateway": "edge", "method": "GET", "host": "a", "path": "/x", "headers": headers}
        assert "431" in mesh.rest.done("POST", "/v1/explain", asked)["reason"]


def test_the_request_id_of_a_proxy_in_front_is_kept(mesh: Mesh) -> None:
    mesh.edge.close()
    answer = mesh.edge.get("/x", ("x-request-id", "from-outside"))
    assert answer.received("x-request-id") == ["from-outside"]


def test_the_access_log_names_lane_and_instance(mesh: Mesh, files: Path) -> None:
    mesh.edge.close()
    mesh.edge.get("/logged", ("canary", "gray"), ("x-request-id", "logged-1"))

    def found() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in (files / "access.log").read_text().splitlines()]
        return next((one for one in lines if one["request_id"] == "logged-1"), None)

    seen = until(found, 15, "the line in the log")
    assert (seen["method"], seen["path"], seen["status"]) == ("GET", "/a/logged", 200)
    assert (seen["lane"], seen["service"], seen["tag"]) == ("gray", "file///sc-A", "gray")
