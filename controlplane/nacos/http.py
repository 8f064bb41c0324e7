"""Requests to Nacos's HTTP API: the client, the URLs, and the error that each failure becomes."""

from __future__ import annotations

import ssl

import httpx

from controlplane.nacos import tls
from controlplane.nacos.access import NacosConnection, base_url
from controlplane.nacos.errors import (
    ConnectionLost,
    NacosError,
    NoAnswer,
    ServerUnreachable,
    UnexpectedAnswer,
)
from controlplane.net.renewed_http import RenewedHttp


def url(connection: NacosConnection, address: str, path: str) -> str:
    """The URL of `path` below the context path of the server at `address`."""
    prefix = "" if connection.context_path == "/" else connection.context_path.rstrip("/")
    return base_url(connection, address) + prefix + path


def client(connection: NacosConnection, timeout: float) -> httpx.AsyncClient:
    """An HTTP client that trusts what `connection` says, uses no proxy and waits for `timeout` seconds.

    Raises TlsFailed where the CA file cannot be used.
    """
    return httpx.AsyncClient(verify=tls.context(connection) or False, timeout=timeout, trust_env=False)


def renewed(connection: NacosConnection, timeout: float) -> RenewedHttp:
    """The same for many requests: one that reads the CA file again when it changes."""
    return RenewedHttp(tls.Followed(connection).context, timeout)


def failed(error: httpx.HTTPError, address: str, seconds: float) -> NacosError:
    """The error for a request to `address` that got no answer within `seconds`, or no HTTP answer."""
    if isinstance(error, httpx.TimeoutException):
        return NoAnswer(seconds, address)
    system = _system_error(error)
    if isinstance(system, ssl.SSLError):
        return tls.failed(system, address)
    if isinstance(error, httpx.ConnectError):
        return ServerUnreachable(tls.system_text(system) if system else str(error), address)
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return UnexpectedAnswer(f"the answer is not HTTP ({error})", address)
    return ConnectionLost(tls.system_text(system) if system else str(error) or type(error).__name__, address)


def is_denied(answer: httpx.Response) -> bool:
    """Whether the server does not permit the request."""
    return answer.status_code in (401, 403)


def beginning(answer: httpx.Response) -> str:
    """The first 200 characters of a body, on one line, for an error."""
    return " ".join(answer.text.split())[:200]


def _system_error(error: BaseException) -> OSError | None:
    """The system's or the TLS library's error that made `error`, if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) or (isinstance(cause, OSError) and cause.errno):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
