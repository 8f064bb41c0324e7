"""How the Nacos source is let in: TLS, access keys, and what is said where it is not; over a server of the
test's own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from pathlib import Path

import pytest

from controlplane.nacos.errors import NacosError
from controlplane.registry.nacos.sdk import NamingClient
from controlplane.registry.types import SourceState
from tests.certificates import certificate
from tests.fake_nacos import FakeNacos
from tests.nacos_relay import NacosRelay
from tests.registry.nacos_tools import config, watching

SERVICES = {"sc-A": [{"ip": "127.0.0.1", "port": 1, "metadata": {"lane": "gray"}}]}


async def test_an_access_key_signs_each_request(tmp_path: Path) -> None:
    """As Nacos's Java client does: HMAC-SHA1 of `<milliseconds>@@<group>@@<service>`."""
    async with FakeNacos(SERVICES) as nacos:
        at = config(nacos.address, tmp_path, access_key="key", secret_key="secret")
        async with watching(at) as watch:
            await watch.until(lambda: bool(watch.service("sc-A")))
        signed = {one.metadata.type: one.metadata.headers for one in nacos.asked if one.metadata.headers}
    for kind, name in (
        ("ServiceListRequest", "DEFAULT_GROUP@@"),
        ("SubscribeServiceRequest", "DEFAULT_GROUP@@sc-A"),
    ):
        headers = signed[kind]
        at_time, _, resource = headers["data"].partition("@@")
        assert (headers["ak"], resource) == ("key", name)
        assert abs(int(at_time) / 1000 - time.time()) < 60
        mac = hmac.new(b"secret", headers["data"].encode(), hashlib.sha1).digest()
        assert headers["signature"] == base64.b64encode(mac).decode()
    assert "secret" not in str(signed)


async def test_tls_with_the_right_ca(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "nacos")
    async with FakeNacos(SERVICES) as nacos, NacosRelay(nacos.address, pem) as relay:
        at = config(relay.address, tmp_path, tls=True, ca_file=pem)
        async with watching(at) as watch:
            await watch.until(lambda: bool(watch.service("sc-A")))
            assert [i.tag for i in watch.service("sc-A")] == ["gray"]
        assert min(relay.connections.values()) > 0


async def said(**settings: object) -> str:
    """Why a client cannot be opened."""
    client = NamingClient(config(**settings))  # type: ignore[arg-type]
    try:
        with pytest.raises(NacosError) as refused:
            await client.open()
    finally:
        await client.close()
    return str(refused.value)


async def test_tls_that_does_not_work_says_why(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "nacos")
    other = certificate(tmp_path, "other")
    elsewhere = certificate(tmp_path, "elsewhere", "127.0.0.9")
    async with FakeNacos() as nacos, NacosRelay(nacos.address, pem) as relay:
        grpc_port = f"127.0.0.1:{int(relay.address.partition(':')[2]) + 1000}"
        wrong_ca = await said(address=relay.address, state=tmp_path, tls=True, ca_file=other)
        assert f"{grpc_port}: its certificate is not trusted (self-signed certificate)" in wrong_ca
        no_ca = await said(address=relay.address, state=tmp_path, tls=True)
        assert "its certificate is not trusted" in no_ca
        absent = await said(address=relay.address, state=tmp_path, tls=True, ca_file=tmp_path / "no.pem")
        assert absent == (
            f"the CA file {tmp_path}/no.pem cannot be used: No such file or directory; "
            "set NACOS_CA_FILE to a PEM file that this user can read"
        )
        plain_port = await said(address=nacos.address, state=tmp_path, tls=True, ca_file=pem)
        assert plain_port.endswith("check that this port speaks TLS, else unset NACOS_TLS")
        plain_client = await said(address=relay.address, state=tmp_path)
        assert plain_client.endswith("set NACOS_TLS if it wants TLS")
    async with FakeNacos() as nacos, NacosRelay(nacos.address, elsewhere) as relay:
        other_host = await said(address=relay.address, state=tmp_path, tls=True, ca_file=elsewhere)
        assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in other_host


async def test_a_namespace_that_does_not_exist_is_shown(tmp_path: Path) -> None:
    async with FakeNacos() as nacos:
        nacos.namespaces = ["", "prod-7f3a"]
        at = config(nacos.address, tmp_path, namespace="prod")
        async with watching(at) as watch:
            await watch.catalog.wait_synced()
            (status,) = watch.catalog.status()
            assert status.state is SourceState.INCOMPLETE
            assert status.error.startswith(
                "the namespace prod does not exist; the server has the namespaces prod-7f3a, public; "
            )
            nacos.services |= SERVICES  # as when the server only did not tell of the namespace
            await watch.until(lambda: bool(watch.service("sc-A")))
            async with asyncio.timeout(20):
                while watch.catalog.status()[0].error:  # noqa: ASYNC110 - no event tells of the status
                    await asyncio.sleep(0.01)
