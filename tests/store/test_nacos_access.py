"""The store in Nacos where not everybody is let in, or old paths are switched off."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.nacos import NacosConnection
from controlplane.nacos.login import signature
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos import NacosStore
from tests import nacos_server
from tests.nacos_server import NacosServer
from tests.store.nacos_tools import connection, names, opened, until
from tests.store.test_stores import GATEWAY, ROUTE

PASSWORD = "for-tests-only"


@pytest.fixture(scope="module", params=nacos_server.VERSIONS)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NacosServer]:
    """A server that wants a password."""
    with nacos_server.for_test(request.param, tmp_path_factory.mktemp("nacos"), auth=True) as server:
        server.set_password(PASSWORD)
        yield server


@pytest.mark.nacos
@pytest.mark.timeout(240)
async def test_a_user_is_let_in_and_nobody_else(guarded: NacosServer) -> None:
    at = connection(guarded.address, username="nacos", password=PASSWORD)
    async with opened(at) as one, opened(at) as other:
        await one.change(lambda now: now.put(GATEWAY))
        await until(other, lambda now: now.revision == 1)
        for store in (one, other):  # as after a restart of a server that does not know it any more
            store._api._login._token = "stale"
        await one.change(lambda now: now.put(ROUTE))
        await until(other, lambda now: now.revision == 2)
    assert await names(at) == one._index.items()
    for username, password, said in (
        ("nacos", "wrong", "does not let the user 'nacos' in"),
        ("nobody", "wrong", "does not let the user 'nobody' in"),
        ("", "", "refuses access"),
    ):
        store = NacosStore(
            connection(guarded.address, namespace=at.namespace, username=username, password=password)
        )
        with pytest.raises(StoreUnavailable, match=said) as refused:
            await store.open()
        assert "wrong" not in str(refused.value)
        await store.close()


@pytest.mark.nacos
@pytest.mark.timeout(240)
async def test_nacos_3_without_compatibility(tmp_path: Path) -> None:
    off = ("nacos.core.api.compatibility.client.enabled=false",)
    with nacos_server.for_test(nacos_server.VERSIONS[1], tmp_path / "nacos", properties=off) as server:
        for namespace in ("public", "prod-7f3a"):
            at = connection(server.address, namespace=namespace)
            async with opened(at) as one, opened(at) as other:
                await one.change(lambda now: now.put(GATEWAY))
                assert await until(other, lambda now: now.revision == 1) == one.current
                await other.change(lambda now: now.put(ROUTE))
                assert await until(one, lambda now: now.revision == 2) == other.current
                assert (one.problem, other.problem) == ("", "")
            assert await names(at) == other._index.items()


@pytest.mark.nacos
async def test_the_public_namespace_is_one_like_others(nacos_address: str) -> None:
    at = connection(nacos_address, namespace="public")
    async with opened(at) as one, opened(at) as other:
        number = one.current.revision + 1
        await one.change(lambda now: now.delete("Gateway", "edge") if now.gateways else now.put(GATEWAY))
        assert await until(other, lambda now: now.revision == number) == one.current


def test_an_access_key_signs_namespace_group_and_time() -> None:
    at = NacosConnection(("x",), "prod-7f3a", access_key="key", secret_key="secret")
    headers = signature(at, "LANEWAY", "1795501583000")
    signed = hmac.new(b"secret", b"prod-7f3a+LANEWAY+1795501583000", hashlib.sha1).digest()
    assert headers == {
        "Spas-AccessKey": "key",
        "Timestamp": "1795501583000",
        "Spas-Signature": base64.b64encode(signed).decode(),
    }
    public = signature(NacosConnection(("x",), access_key="key", secret_key="secret"), "LANEWAY", "1")
    signed = hmac.new(b"secret", b"LANEWAY+1", hashlib.sha1).digest()
    assert public["Spas-Signature"] == base64.b64encode(signed).decode()


async def test_who_does_not_exist_is_told_so() -> None:
    store = NacosStore(NacosConnection(("127.0.0.1:9",)))
    with pytest.raises(
        StoreUnavailable, match=r"no Nacos server can be used: 127\.0\.0\.1:1009: Connection refused"
    ):
        await store.open()
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        await store.change(lambda now: now.put(GATEWAY))
    await store.close()
