"""What can go wrong between Laneway and Nacos: one set of errors for the registry and the store. Pure.

The text of each names the server's address, the cause and, after a semicolon, what an operator can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from controlplane.nacos.access import NacosConnection

FORBIDDEN = 403
NAMESPACE_UNKNOWN = 22001
"""Nacos's codes: no permission; a namespace that does not exist, from 3.1 on with
`nacos.core.namespace.validation.enabled` (com.alibaba.nacos.api.model.v2.ErrorCode).
"""


class NacosError(Exception):
    """A request to Nacos failed. `address` is `host:port` of the server, "" where no single one is meant."""

    default_remedy: ClassVar[str] = ""

    def __init__(self, cause: str, address: str = "", remedy: str | None = None) -> None:
        self.cause, self.address = cause, address
        self.remedy = self.default_remedy if remedy is None else remedy
        where = f"{address}: " if address else ""
        super().__init__(where + cause + (f"; {self.remedy}" if self.remedy else ""))


class ServerUnreachable(NacosError):
    """No connection could be made; nothing was sent."""

    default_remedy = "check that Nacos runs there and that this machine can reach the port"


class TlsFailed(ServerUnreachable):
    """No connection by TLS could be made, or the CA file cannot be used; nothing was sent."""

    default_remedy = "set NACOS_CA_FILE to the certificate of the CA that signed the server's certificate"


class LoginRefused(NacosError):
    """The server does not accept the user name and password."""

    default_remedy = "check NACOS_USERNAME and NACOS_PASSWORD"

    def __init__(self, username: str, said: str, address: str = "") -> None:
        super().__init__(f"Nacos does not let the user {username!r} in: {said}", address)


class AccessRefused(NacosError):
    """The server knows who asks, or wants to know it, and does not permit the request."""


class UnknownNamespace(NacosError):
    """The namespace does not exist on the server."""

    default_remedy = (
        "create it in Nacos, or set NACOS_NAMESPACE to the id (not the name) of a namespace that exists"
    )

    def __init__(self, namespace: str, address: str = "", known: Sequence[str] = ()) -> None:
        others = f"; the server has the namespaces {', '.join(known)}" if known else ""
        super().__init__(f"the namespace {namespace} does not exist{others}", address)


class ConnectionLost(NacosError):
    """A connection ended while it was used; a request that was under way may have been carried out."""

    default_remedy = "Laneway connects again by itself"


class NoAnswer(NacosError):
    """The server did not answer in time; it may carry the request out later."""

    default_remedy = "check the server's load and the network"

    def __init__(self, seconds: float, address: str = "") -> None:
        super().__init__(f"Nacos does not answer within {seconds:g} s", address)


class RequestFailed(NacosError):
    """The server answered with an error of its own."""

    default_remedy = "the server's log has the details"


class UnexpectedAnswer(NacosError):
    """The answer is not what Nacos's protocol prescribes."""

    default_remedy = "check that the address is the HTTP port of a Nacos server of version 2.1 or newer"


WITHOUT_EFFECT = (ServerUnreachable, LoginRefused, AccessRefused, UnknownNamespace)
"""After one of these the server has not carried the request out, and will not."""


def refused(connection: NacosConnection, code: int, said: str, address: str = "") -> NacosError:
    """The error for an answer with Nacos's error `code` and its message `said`."""
    if code == NAMESPACE_UNKNOWN:
        return UnknownNamespace(connection.namespace, address)
    if code == FORBIDDEN:
        return AccessRefused(
            f"Nacos refuses access: {code} {said}".rstrip(), address, _permission(connection)
        )
    return RequestFailed(f"Nacos answers with the error {code} {said}".rstrip(), address)


def _permission(connection: NacosConnection) -> str:
    if connection.username:
        return f"give the user {connection.username!r} permission for the namespace {connection.namespace}"
    if connection.access_key:
        return f"give the access key permission for the namespace {connection.namespace}"
    return "set NACOS_USERNAME and NACOS_PASSWORD"


def no_grpc(connection: NacosConnection, target: str, said: str = "") -> ServerUnreachable:
    """The error for a port that takes connections and does not speak Nacos's gRPC protocol."""
    remedy = "check that this is Nacos's gRPC port (HTTP port + 1000)"
    hint = "" if connection.tls else "; set NACOS_TLS if it wants TLS"
    return ServerUnreachable(
        "gRPC does not work on this port" + (f" ({said})" if said else ""), target, remedy + hint
    )


def none_of(errors: Sequence[NacosError]) -> NacosError:
    """The error for a cluster of which no server can be used: the cause of each, and the remedies once.

    An error that names no server, as of the CA file, concerns all of them and stands for itself.
    """
    for one in errors:
        if not one.address:
            return one
    causes = "; ".join(f"{one.address}: {one.cause}" for one in errors)
    remedies = dict.fromkeys(one.remedy for one in errors if one.remedy)
    return ServerUnreachable(f"no Nacos server can be used: {causes}", remedy="; ".join(remedies))
