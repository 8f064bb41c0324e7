"""Who asks: a login that is renewed, or an access key that signs each request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import httpx

from controlplane.nacos import NacosConnection, http

TOKEN_SHARE = 0.8
"""Part of a token's life after which a new one is got."""


class Identity:
    """The headers, over HTTP and gRPC alike, that let requests for items of `group` in."""

    def __init__(self, connection: NacosConnection, group: str) -> None:
        self._connection = connection
        self._group = group
        self._token = ""
        self._until = 0.0

    async def headers(self, client: httpx.AsyncClient, address: str) -> dict[str, str]:
        """Raises http.LoginRefused, or httpx.HTTPError where the server cannot be reached for a login."""
        connection = self._connection
        if connection.username:
            if not self._token or time.monotonic() > self._until:
                self._token, seconds = await http.access_token(client, connection, address)
                self._until = time.monotonic() + seconds * TOKEN_SHARE
            return {"accessToken": self._token}
        if connection.access_key:
            return signature(connection, self._group, str(int(time.time() * 1000)))
        return {}

    def forget(self) -> None:
        """The token does not let in any more, whatever it said: the next headers have a new one."""
        self._token = ""


def signature(connection: NacosConnection, group: str, now: str) -> dict[str, str]:
    """The headers by which an access key signs, as Nacos's own clients do; `now` in milliseconds."""
    namespace = f"{connection.tenant}+" if connection.tenant else ""
    signed = hmac.new(
        connection.secret_key.encode(), f"{namespace}{group}+{now}".encode(), hashlib.sha1
    ).digest()
    return {
        "Spas-AccessKey": connection.access_key,
        "Timestamp": now,
        "Spas-Signature": base64.b64encode(signed).decode(),
    }
