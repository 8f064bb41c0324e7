"""Items of Nacos's configuration service, read and written over one session of its gRPC protocol.

Over HTTP, Nacos 2.1 takes a comparison and does not make it, and reading many items takes several times as
long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from controlplane.nacos import NacosConnection
from controlplane.nacos.errors import FORBIDDEN, NoAnswer, refused
from controlplane.nacos.session import Answer, Session
from controlplane.store.nacos.unavailable import as_unavailable

NOT_FOUND, BEING_WRITTEN, FAILED = 300, 400, 500
"""Nacos's codes: no such item; an item whose copy in the server's cache is being replaced; a comparison that
failed, or an error in the server.
"""

FAILURES = 5
"""How often a request is sent again after an error: Nacos 2.1 has dead locks in its embedded database."""

PAUSE = 0.01
"""Seconds until a request is sent again: this while an item is replaced, up to FAILURES times this after an
error.
"""

Headers = Callable[[bool], Awaitable[Mapping[str, str]]]
"""Gives the headers that prove who asks; called with True if the server did not accept the last ones."""


class ItemSession:
    """The items of `group` at one server.

    Methods raise StoreUnavailable: NotSent where the request had no effect, else a write may have been made.
    """

    def __init__(self, connection: NacosConnection, group: str, session: Session, headers: Headers) -> None:
        self._connection = connection
        self._session = session
        self._headers = headers
        self._place = {"group": group, "tenant": connection.tenant, "module": "config"}

    async def get(self, item: str) -> str | None:
        """The content of an item, None if there is none. It may be older than the last write: servers answer
        out of a cache that follows their database within a second or so.
        """
        with as_unavailable():
            answer = await self._request("ConfigQueryRequest", {"dataId": item})
            if answer.code == NOT_FOUND and not answer.is_error:
                return None
            self._expect(answer)
            return str(answer.told.get("content", ""))

    async def publish(self, item: str, content: str, kind: str, cas: str | None = None) -> bool:
        """Write an item of type `kind` (`yaml`, `json`); with `cas` only if the MD5 of its content is that.

        False if the server refuses the comparison. True does not mean that it held: Nacos 2.1 says so always.
        """
        body: dict[str, Any] = {"dataId": item, "content": content, "additionMap": {"type": kind}}
        with as_unavailable():
            answer = await self._request(
                "ConfigPublishRequest", body if cas is None else {**body, "casMd5": cas}
            )
            if cas is not None and _is_refusal(answer):
                return False
            self._expect(answer)
            return True

    async def delete(self, item: str) -> None:
        """Remove an item; one that is not there is no error."""
        with as_unavailable():
            self._expect(await self._request("ConfigRemoveRequest", {"dataId": item}))

    async def _request(self, kind: str, body: Mapping[str, Any]) -> Answer:
        """The answer, which may be an error of the request's own kind. Raises NacosError."""
        seconds = self._connection.request_timeout
        try:
            async with asyncio.timeout(seconds):
                answer = await self._settled(kind, body, await self._headers(False))
                if answer.code == FORBIDDEN:
                    answer = await self._settled(kind, body, await self._headers(True))
                return answer
        except TimeoutError:
            raise NoAnswer(seconds, self._session.address) from None

    async def _settled(self, kind: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """The answer, asking again while it only says that the server is not ready for it."""
        failures = 0
        while True:
            answer = await self._session.request(kind, {**self._place, **body}, headers)
            pause = PAUSE
            if answer.code == FAILED and not _is_refusal(answer) and failures < FAILURES:
                failures += 1
                pause = FAILURES * PAUSE * random.random()
            elif not (answer.code == BEING_WRITTEN and answer.kind == "ConfigQueryResponse"):
                return answer
            await asyncio.sleep(pause)

    def _expect(self, answer: Answer) -> None:
        """Raises NacosError if the answer is no success."""
        if answer.is_error or not answer.told.get("success"):
            raise refused(self._connection, answer.code, answer.message, self._session.address)


def _is_refusal(answer: Answer) -> bool:
    return "Cas publish fail" in answer.message
