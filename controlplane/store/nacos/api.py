"""Nacos's configuration service: items of one group; which server is asked, and as whom."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from controlplane.nacos import NacosConnection, http
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos.dialects import Call, NotServed, Version1, Version3, said

T = TypeVar("T")
Dialect = Version1 | Version3

TOKEN_SHARE = 0.8
"""Part of a token's life after which a new one is got."""


class NotSent(StoreUnavailable):
    """No server took the request: it had no effect."""


class ConfigApi:
    """The configuration items of `group`. Raises StoreUnavailable for everything that goes wrong."""

    def __init__(self, connection: NacosConnection, group: str) -> None:
        self._connection = connection
        self._group = group
        namespace = "" if connection.namespace == "public" else connection.namespace
        self._dialects = (Version1(self._send, namespace, group), Version3(self._send, namespace, group))
        self._servers = list(connection.server_addresses)
        self._client: httpx.AsyncClient | None = None
        self._token = ""
        self._token_until = 0.0

    async def get(self, item: str) -> str | None:
        """The content of an item, None if there is none. It may be older than the last write: servers answer
        out of a cache that follows their database within a second or so.
        """
        return await self._try(lambda dialect: dialect.get(item))

    async def publish(self, item: str, content: str, kind: str, cas: str | None = None) -> bool:
        """Write an item; with `cas` only if its MD5 is that, or if there is none.

        False if the server refuses the comparison. True does not mean that it held: Nacos 2.1 says so always.
        """
        return await self._try(lambda dialect: dialect.publish(item, content, kind, cas))

    async def delete(self, item: str) -> None:
        """Remove an item; one that is not there is no error."""
        await self._try(lambda dialect: dialect.delete(item))

    async def wait(self, item: str, md5: str) -> bool:
        """Return when the item's MD5 may not be `md5` (of an absent one: empty), False after WAIT seconds."""
        return await self._try(lambda dialect: dialect.wait(item, md5))

    async def names(self) -> set[str]:
        """The ids of all items, out of the database. Not every server lets everybody ask for that."""
        return await self._try(lambda dialect: dialect.names())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _try(self, ask: Callable[[Dialect], Awaitable[T]]) -> T:
        for dialect in self._dialects:
            try:
                return await ask(dialect)
            except NotServed:
                continue
        where = ", ".join(self._servers)
        raise StoreUnavailable(f"{where} has no configuration service below {self._connection.context_path}")

    async def _send(self, call: Call) -> httpx.Response:
        """The answer of the first server that gives one; the one that did is asked first from then on."""
        problems: list[str] = []
        sent = False
        for address in list(self._servers):
            try:
                answer = await self._ask(address, call)
            except httpx.HTTPError as error:
                sent = sent or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                problems.append(f"{address}: {_plain(error)}")
            except http.LoginRefused as error:
                user = self._connection.username
                raise NotSent(f"{address} does not let the user {user!r} in: {error}") from None
            else:
                if answer.status_code not in (502, 503, 504):
                    return answer
                sent = True
                problems.append(f"{address}: {said(answer)}")
            self._servers.remove(address)
            self._servers.append(address)
        raise (StoreUnavailable if sent else NotSent)("no Nacos server can be used: " + "; ".join(problems))

    async def _ask(self, address: str, call: Call) -> httpx.Response:
        connection = self._connection
        if self._client is None:
            self._client = http.client(connection, connection.request_timeout)
        for again in (True, False):
            answer = await self._client.request(
                call.method,
                http.url(connection, address, call.path),
                params=call.params,
                data=call.form,
                headers={**call.headers, **await self._identity(address)},
                timeout=connection.request_timeout + call.wait,
            )
            if answer.status_code not in (401, 403):
                return answer
            if not again or not connection.username:
                raise NotSent(f"{address} refuses access: {said(answer)}")
            self._token = ""  # servers forget their tokens when they are started again
        raise AssertionError

    async def _identity(self, address: str) -> dict[str, str]:
        """Headers that say who asks."""
        connection = self._connection
        if connection.username:
            assert self._client is not None
            if not self._token or time.monotonic() > self._token_until:
                self._token, seconds = await http.access_token(self._client, connection, address)
                self._token_until = time.monotonic() + seconds * TOKEN_SHARE
            return {"Authorization": f"Bearer {self._token}"}
        if connection.access_key:
            return signature(connection, self._group, str(int(time.time() * 1000)))
        return {}


def signature(connection: NacosConnection, group: str, now: str) -> dict[str, str]:
    """The headers by which an access key signs, as Nacos's own clients do; `now` in milliseconds."""
    namespace = "" if connection.namespace == "public" else f"{connection.namespace}+"
    signed = hmac.new(
        connection.secret_key.encode(), f"{namespace}{group}+{now}".encode(), hashlib.sha1
    ).digest()
    return {
        "Spas-AccessKey": connection.access_key,
        "Timestamp": now,
        "Spas-Signature": base64.b64encode(signed).decode(),
    }


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
