"""Certificates of `laneway certs`, as programs take them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

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


def shown_by(ca: Path, client: str) -> dict[str, Any] | None:
    """What a server takes the client for that shows this certificate, in a handshake in memory."""
    issue(ca, "server", "control-plane", "--host", "localhost", "--host", "127.0.0.1")
    server = Tls(
        TlsFiles(
            certificate=ca / "control-plane.pem", key=ca / "control-plane-key.pem", client_ca=ca / "ca.pem"
        )
    )
    context = ssl.create_default_context(cafile=str(ca / "ca.pem"))
    context.load_cert_chain(ca / f"{client}.pem", ca / f"{client}-key.pem")
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.material.context.wrap_bio(ours, theirs, server_side=True)
    other = context.wrap_bio(theirs, ours, server_hostname="localhost")
    for _ in range(3):
        for side in (other, one):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one.getpeercert()


def test_a_server_and_a_client_meet(ca: Path) -> None:
    issue(ca, "application", "shop", "--hours", "1")
    shown = shown_by(ca, "application-shop")
    assert shown is not None
    assert shown["subjectAltName"] == (("URI", "spiffe://mesh.test/application/shop"),)


def test_a_server_is_a_client_only_as_a_peer(ca: Path) -> None:
    server = ("server", "other", "--host", "localhost")
    issue(ca, *server)
    with pytest.raises(ssl.SSLError, match=r"(?i)unsuitable|purpose|unsupported"):
        shown_by(ca, "other")
    issue(ca, *server, "--peer")
    shown = shown_by(ca, "other")
    assert shown is not None
    assert shown["subjectAltName"] == (("DNS", "localhost"),)


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
