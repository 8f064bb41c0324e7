"""The admin port over TLS: certificates, the command as a client, renewal, and who breaks it."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from controlplane.cli.client import TRUST, Client, Trust
from tests.cli.ports import wait_for
from tests.cli.run import laneway
from tests.cli.served import Served, served
from tests.trust import Authority

TOKEN = "secret-of-alice"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def client(control: Served, trust: Authority, name: str = "") -> httpx.Client:
    context = ssl.create_default_context(cafile=trust.ca)
    if name:
        context.load_cert_chain(trust.directory / f"{name}.pem", trust.directory / f"{name}-key.pem")
    url = f"https://127.0.0.1:{control.admin}"
    return httpx.Client(base_url=url, verify=context, trust_env=False, timeout=30)


@contextlib.contextmanager
def encrypted(folder: Path, *more: str) -> Iterator[tuple[Served, Authority]]:
    trust = Authority(folder)
    trust.server()
    trust.client("operator/alice")
    tokens = folder / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"alice: {TOKEN}\n")
    arguments = ["--admin-tokens", str(tokens), "--admin-certificate", str(folder / "server.pem")]
    arguments += ["--admin-key", str(folder / "server-key.pem"), *more]
    with served(folder, *arguments, ca=trust.ca) as one:
        yield one, trust


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Authority]]:
    with encrypted(tmp_path_factory.mktemp("tls")) as one:
        yield one


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Authority]]:
    folder = tmp_path_factory.mktemp("mtls")
    with encrypted(folder, "--admin-client-ca", str(folder / "ca.pem")) as one:
        yield one


def test_the_command_calls_it(control: tuple[Served, Authority]) -> None:
    one, trust = control
    server = ("--server", f"https://127.0.0.1:{one.admin}")
    assert laneway("--ca", str(trust.ca), "get", "lanes", *server, "--token", TOKEN) is not None
    assert "certificate" in laneway("get", "lanes", *server, "--token", TOKEN, code=3)
    missing = laneway("get", "lanes", *server, code=2, LANEWAY_CA="no-such-file")
    assert "cannot use no-such-file" in missing


def test_plain_text_and_broken_handshakes_harm_nobody(control: tuple[Served, Authority]) -> None:
    one, trust = control
    broken = 'laneway_admin_requests_refused_total{reason="tls"}'
    before = one.metric(broken, **BEARER)
    for said in (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\0" * 99,
    ):
        with socket.create_connection(("127.0.0.1", one.admin), 20) as plain:
            plain.sendall(said)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while part := plain.recv(4096):
                    answer += part
            assert b"HTTP" not in answer
    with client(one, trust) as whole:
        wait_for(lambda: one.metric(broken, **BEARER) == before + 3)
        text = "x" * 200_000
        refused = whole.put(
            "/v1/gateways/edge", content=text, headers=BEARER | {"content-type": "application/yaml"}
        )
        assert refused.status_code in (400, 422), "a body of many records arrives whole"
        assert len(whole.get("/docs/swagger-ui-bundle.js").content) > 1_000_000


def test_old_versions_are_not_spoken(control: tuple[Served, Authority]) -> None:
    one, trust = control
    context = ssl.create_default_context(cafile=trust.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", one.admin), 20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        assert (secure.version(), secure.selected_alpn_protocol()) == ("TLSv1.2", "http/1.1")
    context.set_ciphers("AES128-SHA")
    with socket.create_connection(("127.0.0.1", one.admin), 20) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_half_handshakes_are_ended(tmp_path: Path) -> None:
    with (
        encrypted(tmp_path, "--config", str(_config(tmp_path, "admin_header_time: 0.5"))) as (one, _),
        socket.create_connection(("127.0.0.1", one.admin), 20) as half,
    ):
        half.sendall(b"\x16\x03\x01")
        assert half.recv(1) == b""


def _config(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_a_renewed_certificate_is_taken(control: tuple[Served, Authority]) -> None:
    one, trust = control

    def shown() -> bytes | None:
        context = ssl.create_default_context(cafile=trust.ca)
        with (
            socket.create_connection(("127.0.0.1", one.admin), 20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            return secure.getpeercert(binary_form=True)

    before = shown()
    with client(one, trust) as kept:
        assert kept.get("/healthz").status_code == 200
        trust.server()
        wait_for(lambda: shown() != before, one.process)
        assert kept.get("/healthz").status_code == 200
        metrics = kept.get("/metrics", headers=BEARER).text
        assert 'laneway_admin_certificate_reloads_total{result="reloaded"}' in metrics


def test_a_command_that_goes_on_takes_a_replaced_ca(tmp_path: Path) -> None:
    """As `get --watch` and `release watch`, which live longer than certificates."""
    with encrypted(tmp_path) as (one, trust):
        TRUST.set(Trust(trust.ca))
        with Client(f"https://127.0.0.1:{one.admin}", TOKEN) as command:
            assert command.items("/v1/gateways") == []
            Authority(tmp_path).server()
            wait_for(lambda: one.said("the TLS files were reloaded"), one.process)
            assert command.items("/v1/gateways") == []
            assert next(command.events("/v1/gateways"))
            trust.ca.write_text("-----BEGIN")
            assert command.items("/v1/gateways") == []


def test_clients_show_certificates_where_they_have_to(mutual: tuple[Served, Authority]) -> None:
    one, trust = mutual
    with client(one, trust) as nobody:
        assert nobody.get("/healthz").status_code == nobody.get("/readyz").status_code == 200
        refused = nobody.get("/v1/lanes", headers=BEARER)
        assert refused.status_code == 403
        assert "client certificate" in refused.json()["detail"]
    with client(one, trust, "operator-alice") as alice:
        assert alice.get("/v1/lanes").status_code == 401, "a certificate is no token"
        assert alice.get("/v1/lanes", headers=BEARER).status_code == 200
    arguments = ["--ca", str(trust.ca), "--certificate", str(trust.directory / "operator-alice.pem")]
    arguments += ["--key", str(trust.directory / "operator-alice-key.pem"), "get", "lanes"]
    laneway(*arguments, "--server", f"https://127.0.0.1:{one.admin}", "--token", TOKEN)


def test_who_has_a_certificate_that_has_ended_is_asked_to_connect_anew(
    mutual: tuple[Served, Authority],
) -> None:
    one, trust = mutual
    trust.client("operator/brief", lifetime=timedelta(seconds=3))
    with client(one, trust, "operator-brief") as brief, client(one, trust, "operator-alice") as alice:
        with brief.stream("GET", "/v1/lanes?watch=true", headers=BEARER) as watch:
            assert watch.status_code == 200
            assert list(watch.iter_raw()) is not None, "it ends with the certificate, and is whole"
        wait_for(lambda: one.said("token or certificate has ended"), one.process)
        refused = brief.get("/v1/lanes", headers=BEARER)
        assert (refused.status_code, refused.headers.get("connection")) == (403, "close")
        assert "has ended" in refused.json()["detail"]
        with pytest.raises(httpx.TransportError):
            brief.get("/v1/lanes", headers=BEARER)
        assert alice.get("/v1/lanes", headers=BEARER).status_code == 200


def test_certificates_of_others_are_refused(mutual: tuple[Served, Authority], tmp_path: Path) -> None:
    one, trust = mutual
    other = Authority(tmp_path)
    other.client("operator/alice")
    context = ssl.create_default_context(cafile=trust.ca)
    context.load_cert_chain(
        other.directory / "operator-alice.pem", other.directory / "operator-alice-key.pem"
    )
    with httpx.Client(verify=context, trust_env=False) as stranger, pytest.raises(httpx.TransportError):
        stranger.get(f"https://127.0.0.1:{one.admin}/healthz")


def test_pages_of_plain_text_are_other_pages(control: tuple[Served, Authority]) -> None:
    one, trust = control
    host = f"127.0.0.1:{one.admin}"
    with client(one, trust) as page:
        for headers, status in (
            ({"origin": f"http://{host}"}, 403),
            ({"origin": "null"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"sec-fetch-site": "same-site"}, 403),
            ({"origin": f"https://{host}", "sec-fetch-site": "same-origin"}, 404),
            ({"sec-fetch-site": "none"}, 404),
            ({}, 404),
        ):
            answer = page.post("/v1/lane-groups/g/lanes/l/enable", headers=BEARER | headers)
            assert answer.status_code == status, (headers, answer.text)
            assert "access-control-allow-origin" not in answer.headers


def test_files_that_are_no_pair(tmp_path: Path) -> None:
    trust = Authority(tmp_path)
    trust.server()
    os.replace(trust.directory / "ca.pem", tmp_path / "server-key.pem")
    text = laneway(
        "serve", "--store", "memory", "--admin-certificate", str(tmp_path / "server.pem"),
        "--admin-key", str(tmp_path / "server-key.pem"), code=1,
    )  # fmt: skip
    assert "TLS of the admin API" in text
