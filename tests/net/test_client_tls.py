"""Whom calls to others trust and what they show, when the files are replaced while they go on."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from controlplane.net.client_tls import ClientTls
from controlplane.net.renewed_http import RenewedHttp
from tests.callouts.server import serving
from tests.trust import Authority


class Said:
    """What was told of files that cannot be used."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, files: Sequence[str], reason: str) -> None:
        assert files
        self.reasons.append(reason)


async def test_a_ca_that_is_replaced_is_taken_for_the_next_connection(tmp_path: Path) -> None:
    server = Authority(tmp_path).context()
    said = Said()
    tls = ClientTls(tmp_path / "ca.pem", say=said)
    http = RenewedHttp(tls.context, 20)
    with serving(tls=server) as one:
        first = await http.client()
        assert (await first.get(one.url)).status_code == 200
        assert await http.client() is first, "nothing has changed"
        whole = tmp_path / "ca.pem"
        whole.write_bytes(whole.read_bytes()[:100])  # it is being written
        assert await http.client() is first
        assert await http.client() is first
        assert len(said.reasons) == 1, "once"
        Authority(tmp_path).load(server)
        renewed = await http.client()
        assert renewed is not first
        assert (await renewed.get(one.url)).status_code == 200
    await http.close()


async def test_what_is_shown_is_replaced(tmp_path: Path) -> None:
    """By a server that asks for certificates of one CA, and then of another."""
    trust = Authority(tmp_path)
    server = trust.context()
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(trust.ca)
    mine = trust.client("control-plane")
    tls = ClientTls(trust.ca, mine.certificate, mine.key)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with serving(tls=server) as one:
        async with httpx.AsyncClient(verify=tls.context(), trust_env=False) as http:
            assert (await http.get(one.url)).status_code == 200
        stranger = other.client("control-plane")
        for path, new in ((mine.certificate, stranger.certificate), (mine.key, stranger.key)):
            path.write_bytes(new.read_bytes())
        async with httpx.AsyncClient(verify=tls.context(), trust_env=False) as http:
            with pytest.raises((httpx.TransportError, ssl.SSLError)):  # the alert may come with the answer
                await http.get(one.url)
        server.load_verify_locations(other.ca)
        async with httpx.AsyncClient(verify=tls.context(), trust_env=False) as http:
            assert (await http.get(one.url)).status_code == 200


async def test_the_list_of_the_system_is_read_again_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a bundle is mounted in its place."""
    trust = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trust.ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    server = trust.context()
    http = RenewedHttp(ClientTls(None).context, 20)
    with serving(tls=server) as one:
        assert (await (await http.client()).get(one.url)).status_code == 200
        Authority(tmp_path).load(server)
        assert (await (await http.client()).get(one.url)).status_code == 200
    await http.close()
