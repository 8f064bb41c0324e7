"""Certificates that the control plane holds, at real edges: renewed under traffic, and each with its own
gateway alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.keys import made, put
from tests.mesh import http3
from tests.mesh.client import Address, fetch, until
from tests.mesh.documents import route
from tests.mesh.secure import SecureMesh

pytestmark = pytest.mark.mesh
TLS = 8443
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


class Callers:
    """Threads that call an edge over TLS: one keeps its connection, the other makes a new one each time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.failed: list[str] = []
        self.served: Counter[bytes] = Counter()
        """Requests by the certificate of their connection."""
        self.kept = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._keep, self._anew)]

    def __enter__(self) -> Callers:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join()

    def _keep(self) -> None:
        connection = self._open()
        while not self._over.wait(0.02):
            self._call(connection)
            self.kept += 1
        connection.close()

    def _anew(self) -> None:
        while not self._over.wait(0.02):
            connection = self._open()
            self._call(connection)
            connection.close()

    def _open(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(*self.address, context=CONTEXT, timeout=20)
        connection.auto_open = 1
        return connection

    def _call(self, connection: http.client.HTTPSConnection) -> None:
        try:
            if connection.sock is None:
                connection.connect()
                connection.auto_open = 0  # a connection that was lost is a failure
            certificate = connection.sock.getpeercert(binary_form=True)
            connection.request("POST", "/x", body=b"x", headers={"host": "shop.test"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.failed.append(str(answer.status))
            self.served[certificate] += 1
        except (OSError, http.client.HTTPException) as error:
            self.failed.append(repr(error))


def der(pair: tuple[bytes, bytes]) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair[0].decode())


def shown(address: Address, name: str = "shop.test") -> bytes | None:
    """The certificate that a client gets who asks for `name`; None where there is none."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(address, 5) as plain,
        CONTEXT.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return secured.getpeercert(binary_form=True)
    return None


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[SecureMesh]:
    one = SecureMesh(tmp_path)
    one.store = f"sqlite:{tmp_path / 'store.db'}"
    one.environment["LANEWAY_SECRETS"] = str(tmp_path / "secrets")
    (tmp_path / "secrets").mkdir()
    try:
        yield one
    finally:
        one.stop()


def document(mesh: SecureMesh, name: str, address: Address, **tls: Any) -> dict[str, Any]:
    ports: list[dict[str, Any]] = [{"port": address[1]}, {"port": TLS, "tls": tls}]
    return {"kind": "Gateway", "name": name, "listeners": [{**one, "address": address[0]} for one in ports]}


def test_certificates_are_renewed_without_a_lost_request(mesh: SecureMesh, tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    pairs = {name: made(f"{name}.test") for name in ("shop", "named", "bank")}
    for name, pair in pairs.items():
        put(directory, name, pair)
    mesh.pod("A", "sc-A", "a", sidecar=False)
    edge = (mesh.edge_address[0], TLS)
    other_address = (f"{mesh.network}.252", 8080)
    own = document(
        mesh, "edge", mesh.edge_address, secret="shop", sni=[{"hosts": ["named.test"], "secret": "named"}]
    )
    mesh.start(
        own,
        document(mesh, "other", other_address, secret="bank"),
        route("a", "sc-A", {"prefix": "/"}),
        {"kind": "Route", "gateway": "other", "name": "a", "service": "sc-A"},
    )
    mesh.start_other_edge("other", (other_address[0], 15000))
    other = (other_address[0], TLS)
    until(lambda: shown(edge) == der(pairs["shop"]), 30, "the edge's certificate")
    until(lambda: shown(other) == der(pairs["bank"]), 30, "the other edge's certificate")
    assert shown(edge, "named.test") == der(pairs["named"])
    mesh.check_accepted()
    for admin, mine, others in (
        (mesh.edge_admin, {"secret:shop", "secret:named"}, {"secret:bank"}),
        ((other_address[0], 15000), {"secret:bank"}, {"secret:shop", "secret:named"}),
    ):
        names = secrets(admin)
        assert (mine <= names, others & names) == (True, set())

    with Callers(edge) as callers:
        until(lambda: callers.served[der(pairs["shop"])] > 20, 30, "traffic")
        for number in range(3):
            new = made(f"shop-{number}.test")
            put(directory, "shop", new)
            until(lambda new=new: callers.served[der(new)] > 20, 30, f"traffic with certificate {number}")
        put(directory, "shop", (made()[0], made()[1]))  # no pair
        until(lambda: "cannot be used" in gateway_text(mesh), 20, "the warning")
        mesh.kill(mesh.serving)
        put(directory, "shop", last := made("last.test"))
        before = callers.kept
        until(lambda: callers.kept > before + 20, 30, "traffic without a control plane")
        mesh.start_laneway()
        until(lambda: callers.served[der(last)] > 20, 60, "traffic with what was renewed meanwhile")
    assert callers.failed == []
    assert callers.served[der(pairs["shop"])] > callers.kept, "the kept connection has its first certificate"
    assert shown(edge, "named.test") == der(pairs["named"])
    assert shown(other) == der(pairs["bank"])
    print(f"{sum(callers.served.values())} requests, {callers.kept} of them on one connection")


def gateway_text(mesh: SecureMesh) -> str:
    return json.dumps(mesh.rest.get("/v1/gateways/edge"))


def secrets(admin: Address) -> set[str]:
    """The names of the secrets that an Envoy has; it shows no keys either."""
    dump = fetch(admin, "/config_dump?resource=dynamic_active_secrets").json
    return {one["name"] for one in dump.get("configs", ())}


def test_a_listener_whose_secret_is_missing_delays_no_other(mesh: SecureMesh, tmp_path: Path) -> None:
    """A control plane that starts without the files serves the rest; when they come, the edge has them."""
    put(tmp_path / "secrets", "shop", pair := made())
    mesh.pod("A", "sc-A", "a", sidecar=False)
    mesh.write_services()
    mesh.start_laneway()
    mesh.start_apps(mesh.pods.values())
    mesh.apply(document(mesh, "edge", mesh.edge_address, secret="shop"), route("a", "sc-A", {"prefix": "/"}))
    mesh.kill(mesh.serving)
    (tmp_path / "secrets").rename(tmp_path / "away")
    (tmp_path / "secrets").mkdir()
    mesh.start_laneway()
    mesh.start_edge()
    mesh.wait_ready()
    assert mesh.edge.get("/x").status == 200
    assert shown((mesh.edge_address[0], TLS)) is None
    assert "edges have no certificate for it: shop/tls.crt cannot be read" in gateway_text(mesh)
    put(tmp_path / "secrets", "shop", pair)
    until(lambda: shown((mesh.edge_address[0], TLS)) == der(pair), 30, "the certificate")


def test_http3_with_a_held_certificate(mesh: SecureMesh, tmp_path: Path) -> None:
    """QUIC takes it over SDS as TLS does, also the one for a name, and what is renewed."""
    pairs = {name: made(f"{name}.test") for name in ("shop", "named")}
    for name, pair in pairs.items():
        put(tmp_path / "secrets", name, pair)
    mesh.pod("A", "sc-A", "a", sidecar=False)
    own = document(
        mesh, "edge", mesh.edge_address, secret="shop", sni=[{"hosts": ["named.test"], "secret": "named"}]
    )
    own["listeners"][1]["http3"] = {}
    mesh.start(own, route("a", "sc-A", {"prefix": "/"}))
    edge = (mesh.edge_address[0], TLS)

    def over_quic(name: str) -> bytes | None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            answer, certificate = http3.ask(edge, "GET", "/x", host=name)
            assert (answer.status, answer.chain) == (200, ["A"])
            return certificate
        return None

    until(lambda: over_quic("shop.test") == der(pairs["shop"]), 30, "HTTP/3")
    assert over_quic("named.test") == der(pairs["named"])
    mesh.check_accepted()
    put(tmp_path / "secrets", "shop", new := made("new.test"))
    until(lambda: over_quic("shop.test") == der(new), 30, "the renewed certificate over QUIC")
    assert shown(edge) == der(new)
    mesh.kill(mesh.serving)
    assert over_quic("named.test") == der(pairs["named"])
