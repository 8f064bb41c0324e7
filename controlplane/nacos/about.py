"""Facts that Nacos servers tell by HTTP only: version, clock, namespaces, services of other groups.

They are for information and hints. Not every server tells them, so nothing else depends on them.
"""

from __future__ import annotations

import contextlib
import email.utils
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from controlplane.nacos import http
from controlplane.nacos.access import NacosConnection, namespace_id
from controlplane.nacos.errors import NacosError, UnexpectedAnswer, UnknownNamespace
from controlplane.nacos.login import access_token

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds that a server has to answer."""

# Each version of Nacos has paths of its own: the first of these that answers is taken.
_STATE = ("/v3/admin/core/state", "/v1/console/server/state", "/v1/core/cluster/nodes")
_SERVICES = ("/v3/admin/ns/service/list", "/v1/ns/catalog/services")
_NAMESPACES = ("/v3/admin/core/namespace/list", "/v1/console/namespaces")


async def version(connection: NacosConnection) -> str:
    """`2.3.2`, or "" where no server tells. Raises TlsFailed where the CA file cannot be used."""
    for address in connection.server_addresses:
        if found := await _first(connection, address, _STATE, _version_in):
            return found
    return ""


async def clock(connection: NacosConnection, address: str) -> float:
    """The server's time in seconds since the epoch, to the second. Raises NacosError."""
    try:
        async with http.client(connection, PATIENCE) as client:
            answer = await client.get(http.url(connection, address, "/"))
    except httpx.HTTPError as error:
        raise http.failed(error, address, PATIENCE) from error
    try:
        return email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        raise UnexpectedAnswer("the answer has no date", address) from None


async def groups(connection: NacosConnection, address: str) -> Counter[str]:
    """How many services each group of the namespace has, of the first 1,000. Empty if the server
    does not tell.
    """
    query = {"namespaceId": connection.tenant, "pageNo": "1", "pageSize": "1000", "withInstances": "false"}
    return await _first(connection, address, _SERVICES, _groups_in, query) or Counter[str]()


async def namespaces(connection: NacosConnection) -> list[str]:
    """The ids of the namespaces that exist on the servers, sorted; empty if no server tells."""
    for address in connection.server_addresses:
        if found := await _first(connection, address, _NAMESPACES, _namespaces_in):
            return found
    return []


async def missing_namespace(connection: NacosConnection) -> UnknownNamespace | None:
    """The error for a namespace that does not exist on the servers; None if it exists, or no server tells.

    Most servers serve such a namespace as an empty one.
    """
    known = await namespaces(connection)
    if not known or connection.namespace in known:
        return None
    return UnknownNamespace(connection.namespace, known=known[:20])


async def _first(
    connection: NacosConnection,
    address: str,
    paths: Sequence[str],
    read: Callable[[Any], T],
    query: Mapping[str, str] | None = None,
) -> T | None:
    """What `read` finds in the first JSON answer of the server at `address` in which it finds anything."""
    params = dict(query or {})
    if connection.username:
        with contextlib.suppress(NacosError):  # some paths need no login
            params["accessToken"] = (await access_token(connection, address))[0]
    async with http.client(connection, PATIENCE) as client:
        for path in paths:
            try:
                answer = await client.get(http.url(connection, address, path), params=params)
                found = read(answer.json()) if answer.status_code == 200 else None
            except (httpx.HTTPError, ValueError, TypeError, AttributeError):
                continue
            if found:
                return found
    return None


def _groups_in(answer: Any) -> Counter[str]:
    data = answer.get("data", answer)
    listed = data.get("pageItems") or data.get("serviceList") or []
    return Counter(str(one.get("groupName", "")) for one in listed)


def _namespaces_in(answer: Any) -> list[str]:
    return sorted(namespace_id(one.get("namespace")) for one in answer.get("data") or [])


def _version_in(answer: Any) -> str:
    """The version somewhere in an answer about a server's state or the cluster's nodes."""
    if isinstance(answer, dict):
        if isinstance(answer.get("version"), str):
            return answer["version"]
        return next((v for part in answer.values() if (v := _version_in(part))), "")
    if isinstance(answer, list):
        return next((v for part in answer if (v := _version_in(part))), "")
    return ""
