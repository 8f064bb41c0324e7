"""What only Nacos's HTTP API tells: version, clock, whether a login works."""

from __future__ import annotations

import contextlib
import email.utils
from typing import Any

import httpx

from controlplane.nacos import tls
from controlplane.nacos.connection import NacosConnection, base_url

_STATE_PATHS = ("/v3/admin/core/state", "/v1/console/server/state", "/v1/core/cluster/nodes")


def url(config: NacosConnection, address: str, path: str) -> str:
    """The URL of `path` below the context path of the server at `address`."""
    prefix = "" if config.context_path == "/" else config.context_path.rstrip("/")
    return base_url(config, address) + prefix + path


def client(config: NacosConnection, timeout: float = 3.0) -> httpx.AsyncClient:
    """An HTTP client that trusts what `config` says, uses no proxy, and waits for `timeout` seconds.

    Raises OSError where the CA file cannot be used.
    """
    return httpx.AsyncClient(verify=tls.trust(config) or False, timeout=timeout, trust_env=False)


async def version(config: NacosConnection) -> str:
    """`2.3.2`, or "" where no server tells."""
    async with client(config) as http:
        for address in config.server_addresses:
            token: dict[str, str] = {}
            if config.username:
                with contextlib.suppress(httpx.HTTPError, LoginRefused):
                    token["accessToken"] = (await access_token(http, config, address))[0]
            for path in _STATE_PATHS:
                try:
                    answer = await http.get(url(config, address, path), params=token)
                    found = _version_in(answer.json()) if answer.status_code == 200 else ""
                except (httpx.HTTPError, ValueError):
                    continue
                if found:
                    return found
    return ""


def _version_in(answer: Any) -> str:
    """The version somewhere in an answer about a server's state or the cluster's nodes."""
    if isinstance(answer, dict):
        if isinstance(answer.get("version"), str):
            return answer["version"]
        return next((v for part in answer.values() if (v := _version_in(part))), "")
    if isinstance(answer, list):
        return next((v for part in answer if (v := _version_in(part))), "")
    return ""


async def clock(config: NacosConnection, address: str) -> float:
    """The server's time in seconds since the epoch, to the second. Raises httpx.HTTPError or ValueError."""
    async with client(config) as http:
        answer = await http.get(url(config, address, "/"))
    if "date" not in answer.headers:
        raise ValueError("the answer has no date; is this a Nacos server?")
    return email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()


class LoginRefused(Exception):
    """What the server says to a name and password that it does not accept."""


async def access_token(client: httpx.AsyncClient, config: NacosConnection, address: str) -> tuple[str, float]:
    """A token for `config.username` and the seconds that it is good for.

    Raises LoginRefused, or httpx.HTTPError where the server cannot be reached.
    """
    credentials = {"username": config.username, "password": config.password}
    try:
        answer = await client.post(url(config, address, "/v1/auth/users/login"), data=credentials)
        if answer.status_code in (404, 410):  # Nacos 3
            answer = await client.post(url(config, address, "/v3/auth/user/login"), data=credentials)
    except httpx.RemoteProtocolError as error:
        if "illegal status line" not in str(error):
            raise
        # Nacos 2.3 answers to what it refuses with the status 0.
        raise LoginRefused("an answer of status 0") from None
    try:
        told = answer.json()
        return str(told["accessToken"]), float(told["tokenTtl"])
    except (ValueError, TypeError, KeyError):
        raise LoginRefused(answer.text[:200].strip() or f"status {answer.status_code}") from None


async def login(config: NacosConnection, address: str) -> str:
    """ "" if the name and password are accepted, else what the server says. Raises httpx.HTTPError."""
    async with client(config) as http:
        try:
            await access_token(http, config, address)
        except LoginRefused as error:
            return str(error)
    return ""
