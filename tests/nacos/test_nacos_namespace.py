"""A namespace that does not exist, at a real server that checks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.nacos import NacosConnection
from controlplane.nacos.errors import UnknownNamespace
from controlplane.registry.nacos.sdk import NamingClient
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos import NacosStore
from tests import nacos_server
from tests.registry.nacos_tools import config

CHECKED = ("nacos.core.namespace.validation.enabled=true",)


@pytest.mark.nacos
@pytest.mark.timeout(240)
async def test_nacos_3_refuses_an_unknown_namespace(tmp_path: Path) -> None:
    with nacos_server.for_test(nacos_server.VERSIONS[1], tmp_path / "nacos", properties=CHECKED) as server:
        client = NamingClient(config(server.address, tmp_path, namespace="nowhere"))
        await client.open()
        with pytest.raises(UnknownNamespace, match="the namespace nowhere does not exist; create it"):
            await client.list_services("DEFAULT_GROUP")
        await client.close()
        store = NacosStore(NacosConnection((server.address,), "nowhere"))
        with pytest.raises(StoreUnavailable, match="the namespace nowhere does not exist; create it"):
            await store.open()
        await store.close()
        public = NacosStore(NacosConnection((server.address,)))
        await public.open()
        await public.close()
