"""Certificates of `laneway certs`, as programs take them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from controlplane.net.tls import Tls, TlsFiles
from tests.cli.run import laneway


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    directory = tmp_path / "certs"
    laneway("certs", "init", "--dir", str(directory), "--domain", "mesh.test")
    return directory


def issue(ca: Path, *arguments: str) -> str:
    return laneway("certs", "issue", *arguments, "--dir", str(ca))


def test_a_server_and_a_client_meet(ca: Path) -> None:
    issue(ca, "server", "control-plane", "--host", "localhost", "--host", "127.0.0.1")
    issue(ca, "application", "shop", "--hours", "1")
    server = Tls(
        TlsFiles(
            certificate=ca / "control-plane.pem", key=ca / "control-plane-key.pem", client_ca=ca / "ca.pem"
        )
    )
    client = ssl.create_default_context(cafile=str(ca / "ca.pem"))
    client.load_cert_chain(ca / "application-shop.pem", ca / "application-shop-key.pem")
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.material.context.wrap_bio(ours, theirs, server_side=True)
    other = client.wrap_bio(theirs, ours, server_hostname="localhost")
    for _ in range(3):
        for side in (other, one):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = one.getpeercert()
    assert shown is not None
    assert shown["subjectAltName"] == (("URI", "spiffe://mesh.test/application/shop"),)


def test_keys_are_for_their_owner(ca: Path) -> None:
    issue(ca, "gateway", "edge")
    assert (ca / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    assert (ca / "gateway-edge-key.pem").stat().st_mode & 0o777 == 0o600
    issue(ca, "gateway", "edge", "--shared-key")
    assert (ca / "gateway-edge-key.pem").stat().st_mode & 0o777 == 0o644


def test_show(ca: Path) -> None:
    issue(ca, "operator", "ops", "--hours", "2")
    said = laneway("certs", "show", str(ca / "operator-ops.pem"), str(ca / "ca.pem"))
    assert "spiffe://mesh.test/operator/ops" in said
    assert "an xDS client with it is operator ops" in said
    assert "2.0 h left" in said


def test_what_cannot_be_done_is_said(ca: Path, tmp_path: Path) -> None:
    assert "has a CA already" in laneway("certs", "init", "--dir", str(ca), code=2)
    assert "needs --host" in laneway("certs", "issue", "server", "x", "--dir", str(ca), code=2)
    nowhere = str(tmp_path / "nowhere")
    assert "certs init" in laneway("certs", "issue", "gateway", "x", "--dir", nowhere, code=2)
    assert "is not a certificate" in laneway("certs", "show", str(ca / "ca-key.pem"), code=1)
    assert "cannot read" in laneway("certs", "show", str(tmp_path / "absent.pem"), code=1)
