"""Nacos's configuration service: items of one group, and which of its servers is asked.

Items are read and written by gRPC, see `session.py`. Only what waits for a change is HTTP: a question that
the server keeps open needs no connection to be looked after, and its end shows that the server is away.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import httpx
import structlog

from controlplane.nacos import NacosConnection, http
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos.dialects import Call, NotServed, Version1, Version3, said
from controlplane.store.nacos.identity import Identity
from controlplane.store.nacos.session import Forbidden, NotSent, Session, connected

log = structlog.get_logger("laneway.store.nacos")

T = TypeVar("T")
Dialect = Version1 | Version3


class ConfigApi:
    """The configuration items of `group`. Raises StoreUnavailable for everything that goes wrong."""

    def __init__(self, connection: NacosConnection, group: str) -> None:
        self._connection = connection
        self._group = group
        namespace = connection.tenant
        self._dialects = (Version1(self._send, namespace, group), Version3(self._send, namespace, group))
        self._identity = Identity(connection, group)
        self._servers = list(connection.server_addresses)  # the one that answered last is the first
        self._http: httpx.AsyncClient | None = None

    async def wait(self, item: str, md5: str) -> bool:
        """Return when the MD5 of the item may not be `md5` (empty if absent), False if it is for a while."""
        return await self._try(lambda dialect: dialect.wait(item, md5))

    async def names(self) -> set[str]:
        """The ids of all items, out of the database. Not every server lets everybody ask for that."""
        return await self._try(lambda dialect: dialect.names())

    async def names_if_told(self) -> set[str]:
        """The ids of all items; none where Nacos does not let us list them."""
        try:
            return await self.names()
        except StoreUnavailable as error:
            log.info("the items in Nacos cannot be listed", why=str(error))
            return set()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """With the first server that can be reached. Raises NotSent where there is none."""
        problems: list[str] = []
        async with contextlib.AsyncExitStack() as stack:
            session = None
            for address in list(self._servers):
                try:
                    session = await stack.enter_async_context(
                        connected(self._connection, self._group, address, partial(self._headers, address))
                    )
                    break
                except NotSent as error:
                    problems.append(str(error))
                self._turn_from(address)
            if session is None:
                raise NotSent("no Nacos server can be used: " + "; ".join(problems))
            yield session

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _try(self, ask: Callable[[Dialect], Awaitable[T]]) -> T:
        for dialect in self._dialects:
            try:
                return await ask(dialect)
            except NotServed:
                continue
            except (ValueError, TypeError, KeyError) as error:
                raise StoreUnavailable(f"Nacos does not answer as expected: {error!r}") from error
        where = ", ".join(self._servers)
        raise StoreUnavailable(f"{where} has no configuration service below {self._connection.context_path}")

    async def _send(self, call: Call) -> httpx.Response:
        """The answer of the first server that gives one."""
        problems: list[str] = []
        for address in list(self._servers):
            try:
                answer = await self._ask(address, call)
            except httpx.HTTPError as error:
                problems.append(f"{address}: {_plain(error)}")
            else:
                if answer.status_code not in (502, 503, 504):
                    return answer
                problems.append(f"{address}: {said(answer)}")
            self._turn_from(address)
        raise StoreUnavailable("no Nacos server can be used: " + "; ".join(problems))

    async def _ask(self, address: str, call: Call) -> httpx.Response:
        connection = self._connection
        for again in (False, True):
            answer = await self._client().request(
                call.method,
                http.url(connection, address, call.path),
                params=call.params,
                data=call.form,
                headers={**call.headers, **await self._headers(address, again)},
                timeout=connection.request_timeout + call.wait,
            )
            if answer.status_code not in (401, 403):
                return answer
        raise StoreUnavailable(f"{address} refuses access: {said(answer)}")

    async def _headers(self, address: str, refused: bool) -> Mapping[str, str]:
        if refused:
            self._identity.forget()
        try:
            return await self._identity.headers(self._client(), address)
        except http.LoginRefused as error:
            user = self._connection.username
            raise Forbidden(f"{address} does not let the user {user!r} in: {error}") from None
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"{address}: no login is possible: {_plain(error)}") from None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = http.client(self._connection, self._connection.request_timeout)
        return self._http

    def _turn_from(self, address: str) -> None:
        """Ask the others first from now on."""
        self._servers.remove(address)
        self._servers.append(address)


def _plain(error: httpx.HTTPError) -> str:
    """What went wrong with a connection, in the words of the system where there are any."""
    if isinstance(error, httpx.TimeoutException):
        return "does not answer"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
