"""Nacos's configuration service: the items of one group, at whichever server of the cluster can be used.

Items are read and written by gRPC, see `item_session.py`. Waiting for a change and listing are HTTP requests:
a request that the server leaves unanswered until something changes needs no checks of a connection, and its
end shows that the server is gone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import httpx
import structlog

from controlplane.nacos import NacosConnection, http
from controlplane.nacos.about import missing_namespace
from controlplane.nacos.errors import (
    FORBIDDEN,
    NacosError,
    RequestFailed,
    UnexpectedAnswer,
    none_of,
    refused,
)
from controlplane.nacos.login import Login, signature
from controlplane.nacos.session import connected
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos.dialects import Call, NotServed, Version1, Version3
from controlplane.store.nacos.item_session import ItemSession
from controlplane.store.nacos.unavailable import as_unavailable

log = structlog.get_logger("laneway.store.nacos")

T = TypeVar("T")
Dialect = Version1 | Version3

AWAY = (502, 503, 504)
"""Statuses of a proxy before a server that is away, and of a server that starts."""


class ConfigApi:
    """The configuration items of `group`. Methods raise StoreUnavailable for every error."""

    def __init__(self, connection: NacosConnection, group: str) -> None:
        self._connection = connection
        self._group = group
        self._dialects = (Version1(self._send, connection, group), Version3(self._send, connection, group))
        self._login = Login(connection)
        self._servers = list(connection.server_addresses)  # the one that answered last is the first
        self._http = http.renewed(connection, connection.request_timeout)

    async def wait(self, item: str, md5: str) -> bool:
        """Wait until the MD5 of the item may differ from `md5` ("" if it does not exist).

        Returns False if nothing changed within some seconds.
        """
        return await self._try(lambda dialect: dialect.wait(item, md5))

    async def names(self) -> set[str]:
        """The ids of all items, as the database has them. Some servers permit only administrators
        to list them.
        """
        return await self._try(lambda dialect: dialect.names())

    async def names_if_told(self) -> set[str]:
        """The ids of all items; empty where Nacos does not permit listing them."""
        try:
            return await self.names()
        except StoreUnavailable as error:
            log.info("Nacos does not list the items of definitions", reason=str(error))
            return set()

    async def missing_namespace(self) -> str:
        """What is wrong with the namespace where the servers say that it does not exist, else ""."""
        with as_unavailable():
            return str(await missing_namespace(self._connection) or "")

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[ItemSession]:
        """A session with the first server that can be used. Raises NotSent where there is none."""
        async with contextlib.AsyncExitStack() as stack:
            with as_unavailable():
                session = await self._first_session(stack)
            yield session

    async def _first_session(self, stack: contextlib.AsyncExitStack) -> ItemSession:
        problems: list[NacosError] = []
        for address in list(self._servers):
            try:
                session = await stack.enter_async_context(connected(self._connection, address))
            except NacosError as error:
                problems.append(error)
                self._turn_from(address)
            else:
                return ItemSession(self._connection, self._group, session, partial(self._headers, address))
        raise none_of(problems)

    async def close(self) -> None:
        """End the HTTP connections."""
        await self._http.close()

    async def _try(self, ask: Callable[[Dialect], Awaitable[T]]) -> T:
        """What `ask` returns for the first dialect that the servers speak. Raises StoreUnavailable."""
        with as_unavailable():
            for dialect in self._dialects:
                try:
                    return await ask(dialect)
                except NotServed:
                    continue
                except (ValueError, TypeError, KeyError) as error:
                    raise UnexpectedAnswer(f"an answer of Nacos cannot be read: {error!r}") from error
            path = self._connection.context_path
            raise UnexpectedAnswer(f"there is no configuration service below {path}", self._servers[0])

    async def _send(self, call: Call) -> httpx.Response:
        """The answer of the first server that gives one. Raises NacosError."""
        problems: list[NacosError] = []
        for address in list(self._servers):
            try:
                answer = await self._ask(address, call)
            except httpx.HTTPError as error:
                seconds = self._connection.request_timeout + call.wait
                problems.append(http.failed(error, address, seconds))
            else:
                if answer.status_code not in AWAY:
                    return answer
                said = f"Nacos answers with the status {answer.status_code} {http.beginning(answer)}"
                problems.append(RequestFailed(said.rstrip(), address))
            self._turn_from(address)
        raise none_of(problems)

    async def _ask(self, address: str, call: Call) -> httpx.Response:
        """An answer that is no refusal; after a refusal it logs in anew, once. Raises NacosError,
        httpx.HTTPError.
        """
        answer = await self._request(address, call, refused=False)
        if http.is_denied(answer):
            answer = await self._request(address, call, refused=True)
        if http.is_denied(answer):
            raise refused(self._connection, FORBIDDEN, http.beginning(answer), address)
        return answer

    async def _request(self, address: str, call: Call, refused: bool) -> httpx.Response:
        client = await self._http.client()
        return await client.request(
            call.method,
            http.url(self._connection, address, call.path),
            params=call.params,
            data=call.form,
            headers={**call.headers, **await self._headers(address, refused)},
            timeout=self._connection.request_timeout + call.wait,
        )

    async def _headers(self, address: str, refused: bool) -> Mapping[str, str]:
        """What proves to the server at `address` who asks. `refused`: it did not accept the last of them."""
        if refused:
            self._login.forget()
        if token := await self._login.token(address):
            return {"accessToken": token}
        if self._connection.access_key:
            return signature(self._connection, self._group, str(int(time.time() * 1000)))
        return {}

    def _turn_from(self, address: str) -> None:
        """Ask the others first from now on."""
        self._servers.remove(address)
        self._servers.append(address)
