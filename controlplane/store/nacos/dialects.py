"""The two versions of Nacos's HTTP API, as far as the store uses it: waiting for a change, and listing items.

Nacos 2 has the paths below /v1. Nacos 3 has them too, unless compatibility is switched off, and new paths
below /v3, none of which waits for a change (https://nacos.io/docs/latest/manual/user/open-api/).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from controlplane.nacos import NacosConnection, http
from controlplane.nacos.errors import RequestFailed

WAIT = 10.0
"""Seconds for which a server leaves a request open until something changes; the least that Nacos allows."""

POLL = 1.0
"""Seconds between two requests where a server cannot wait."""

PAGE = 200
"""Items that are listed by one request."""

NOT_FOUND = 20004
"""Nacos 3's code for an item that does not exist."""

GONE = (404, 405, 410, 501)
"""Statuses of paths that a server does not have, or no longer."""


@dataclass(frozen=True)
class Call:
    """One request. `wait` is added to the usual time-out, in seconds."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0


class NotServed(Exception):
    """The server does not have the path of this dialect."""


Send = Callable[[Call], Awaitable[httpx.Response]]


class Version1:
    """The paths below /v1. Methods raise NacosError, NotServed, and ValueError, TypeError or KeyError for an
    answer that cannot be read.
    """

    def __init__(self, send: Send, connection: NacosConnection, group: str) -> None:
        self._send = send
        self._tenant, self._group = connection.tenant, group

    async def wait(self, item: str, md5: str) -> bool:
        """Wait until the MD5 of the item may differ from `md5`, or WAIT is over: then False."""
        asked = [item, self._group, md5, *([self._tenant] if self._tenant else [])]
        call = Call(
            "POST",
            "/v1/cs/configs/listener",
            form={"Listening-Configs": "\x02".join(asked) + "\x01"},
            headers={"Long-Pulling-Timeout": str(int(WAIT * 1000))},
            wait=WAIT,
        )
        return bool(_expect(await self._send(call)).text.strip())

    async def names(self) -> set[str]:
        """The ids of all items of the group."""
        place = {"group": self._group, "tenant": self._tenant}

        async def page(number: int) -> Any:
            return _json(await self._send(Call("GET", "/v1/cs/configs", _listing(place, number))))

        return {one["dataId"] for one in await _all(page) if one["group"] == self._group}


class Version3:
    """The paths below /v3. Methods are those of Version1."""

    def __init__(self, send: Send, connection: NacosConnection, group: str) -> None:
        self._send = send
        self._group = group
        self._place = {"groupName": group, "namespaceId": connection.namespace}

    async def wait(self, item: str, md5: str) -> bool:
        """Whether the MD5 of the item differs from `md5` after POLL seconds."""
        await asyncio.sleep(POLL)
        call = Call("GET", "/v3/client/cs/config", {**self._place, "dataId": item})
        told = _json(await self._send(call))
        return (told["data"]["md5"] if told["code"] != NOT_FOUND else "") != md5

    async def names(self) -> set[str]:
        """The ids of all items of the group; some servers permit only administrators to list them."""

        async def page(number: int) -> Any:
            call = Call("GET", "/v3/admin/cs/config/list", _listing(self._place, number))
            return _json(await self._send(call))["data"]

        return {one["dataId"] for one in await _all(page) if one["groupName"] == self._group}


def _listing(place: Mapping[str, str], page: int) -> dict[str, Any]:
    return {**place, "search": "accurate", "dataId": "", "pageNo": page, "pageSize": PAGE}


async def _all(page: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """The items of all pages. While others write, some may be missing or be there twice."""
    found: list[Any] = []
    number = pages = 1
    while number <= pages:
        told = await page(number)
        found += told["pageItems"]
        pages, number = int(told["pagesAvailable"]), number + 1
    return found


def _json(answer: httpx.Response) -> Any:
    return _expect(answer).json()


def _expect(answer: httpx.Response) -> httpx.Response:
    if answer.status_code in GONE:
        raise NotServed
    if answer.status_code != 200:
        said = f"Nacos answers with the status {answer.status_code} {http.beginning(answer)}"
        raise RequestFailed(said.rstrip(), answer.request.url.netloc.decode())
    return answer
