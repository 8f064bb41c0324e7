"""What else a Nacos server has, by its HTTP API: hints for those who look in the wrong place."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import httpx

from controlplane.nacos import NacosConnection, http
from controlplane.nacos.connection import named

_SERVICES = ("/v3/admin/ns/service/list", "/v1/ns/catalog/services")
_NAMESPACES = ("/v3/admin/core/namespace/list", "/v1/console/namespaces")


async def groups(config: NacosConnection, address: str) -> Counter[str]:
    """How many services each group of the namespace has, of the first 1,000. Empty if that is not told."""
    query = {"namespaceId": config.tenant, "pageNo": "1", "pageSize": "1000", "withInstances": "false"}
    found = await _first(config, address, _SERVICES, query)
    data = found.get("data", found)
    listed = data.get("pageItems") or data.get("serviceList") or []
    return Counter(str(one.get("groupName", "")) for one in listed)


async def namespaces(config: NacosConnection, address: str) -> list[str]:
    """The ids of the namespaces that were made on the server; empty where that cannot be told."""
    found = await _first(config, address, _NAMESPACES, {})
    return sorted(named(one.get("namespace")) for one in found.get("data") or [])


async def _first(
    config: NacosConnection, address: str, paths: tuple[str, ...], query: dict[str, str]
) -> dict[str, Any]:
    """The first answer that is a JSON object: each version of Nacos has paths of its own."""
    async with http.client(config) as client:
        if config.username:
            with contextlib.suppress(httpx.HTTPError, http.LoginRefused):
                query = query | {"accessToken": (await http.access_token(client, config, address))[0]}
        for path in paths:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                answer = await client.get(http.url(config, address, path), params=query)
                if answer.status_code == 200 and isinstance(answer.json(), dict):
                    return answer.json()
    return {}
