"""How Laneway proves who it is: a login that is renewed in time, or an access key that signs each request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time

import httpx

from controlplane.nacos import http
from controlplane.nacos.access import NacosConnection
from controlplane.nacos.errors import LoginRefused, NacosError, none_of

TOKEN_SHARE = 0.8
"""Part of a token's life after which a new one is got."""

_PATHS = ("/v1/auth/users/login", "/v3/auth/user/login")
"""Nacos 3 has the first one, too, unless compatibility is switched off."""


class Login:
    """The access token of `connection.username`. All servers of a cluster accept it."""

    def __init__(self, connection: NacosConnection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def token(self, first: str = "") -> str:
        """A token that is good for a while; "" where there is no user name.

        The login is made at `first`, where that is given, or at another server if it cannot be used. Raises
        LoginRefused, ServerUnreachable.
        """
        if not self._connection.username:
            return ""
        async with self._lock:
            if not self._token or time.monotonic() > self._until:
                self._token, seconds = await self._log_in(first)
                self._until = time.monotonic() + seconds * TOKEN_SHARE
            return self._token

    def forget(self) -> None:
        """Log in anew for the next request: the server did not accept the token, however old it is."""
        self._token = ""

    async def _log_in(self, first: str) -> tuple[str, float]:
        addresses = self._connection.server_addresses
        problems: list[NacosError] = []
        for address in sorted(addresses, key=lambda one: one != first):
            try:
                return await access_token(self._connection, address)
            except LoginRefused:
                raise
            except NacosError as error:
                problems.append(error)
        raise none_of(problems)


async def access_token(connection: NacosConnection, address: str) -> tuple[str, float]:
    """A new token for `connection.username`, and the seconds for which it is good.

    Raises LoginRefused, or another NacosError where the server at `address` does not answer.
    """
    credentials = {"username": connection.username, "password": connection.password}
    seconds = connection.request_timeout
    try:
        async with http.client(connection, seconds) as client:
            answer = await client.post(http.url(connection, address, _PATHS[0]), data=credentials)
            if answer.status_code in (404, 410):
                answer = await client.post(http.url(connection, address, _PATHS[1]), data=credentials)
    except httpx.RemoteProtocolError as error:
        if "illegal status line" not in str(error):
            raise http.failed(error, address, seconds) from error
        # Nacos 2.3 answers a login that it refuses with the status 0, which is no status of HTTP.
        raise LoginRefused(connection.username, "an answer of status 0", address) from None
    except httpx.HTTPError as error:
        raise http.failed(error, address, seconds) from error
    try:
        told = answer.json()
        return str(told["accessToken"]), float(told["tokenTtl"])
    except (ValueError, TypeError, KeyError):
        said = http.beginning(answer) or f"status {answer.status_code}"
        raise LoginRefused(connection.username, said, address) from None


def signature(connection: NacosConnection, group: str, now: str) -> dict[str, str]:
    """The headers of a request for configuration items of `group`, signed by the access key.

    `now` is in milliseconds since the epoch. Nacos's Java client signs in the same way:
    com.alibaba.nacos.client.auth.ram.utils.SpasAdapter.getSignHeaders.
    """
    namespace = f"{connection.tenant}+" if connection.tenant else ""
    signed = hmac.new(
        connection.secret_key.encode(), f"{namespace}{group}+{now}".encode(), hashlib.sha1
    ).digest()
    return {
        "Spas-AccessKey": connection.access_key,
        "Timestamp": now,
        "Spas-Signature": base64.b64encode(signed).decode(),
    }
