"""Where the Nacos servers are, which namespace is used there, and the credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PUBLIC = "public"
"""The id that users write for Nacos's default namespace."""

HTTP_PORT = 8848
GRPC_PORT_OFFSET = 1000
"""The gRPC port of a Nacos server is its HTTP port plus this: https://nacos.io/docs/latest/overview/"""


@dataclass(frozen=True, slots=True)
class NacosConnection:
    """Settings that every connection to a cluster of Nacos servers needs. Durations are seconds.

    `server_addresses` are `host:port` of the servers' HTTP ports. `namespace` is the id of a namespace, not
    its name; an empty one means `public`. A user name with a password, or an access key with a secret key,
    are sent where they are set. `tls` means TLS on the HTTP and the gRPC port; Nacos's built-in TLS covers
    gRPC only, so addresses of such servers begin with `http://`. `ca_file` is a PEM file with the CA
    certificates to trust, None for those of the system. `request_timeout` bounds each request.
    """

    server_addresses: tuple[str, ...]
    namespace: str = PUBLIC
    username: str = ""
    password: str = field(default="", repr=False)
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    tls: bool = False
    ca_file: Path | None = None
    context_path: str = "/nacos"
    request_timeout: float = 4.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "namespace", namespace_id(self.namespace))

    @property
    def tenant(self) -> str:
        """The namespace as the gRPC protocol and the paths below /v1 take it: empty for `public`."""
        return "" if self.namespace == PUBLIC else self.namespace


def namespace_id(told: str | None) -> str:
    """The id of a namespace as users write it, from what a server or a setting says.

    Nacos 2 calls the default namespace "" or null, Nacos 3 calls it `public`.
    """
    return told or PUBLIC


def split_address(address: str) -> tuple[str, int]:
    """Host and HTTP port of `host[:port]`, with or without a scheme; the port is 8848 unless given."""
    bare = address.split("://", 1)[-1].rstrip("/")
    host, _, port = bare.partition(":")
    return host, int(port or HTTP_PORT)


def grpc_address(address: str) -> str:
    """`host:port` of the gRPC port of the server at `address`: `nacos:9848`."""
    host, port = split_address(address)
    return f"{host}:{port + GRPC_PORT_OFFSET}"


def base_url(connection: NacosConnection, address: str) -> str:
    """Scheme, host and HTTP port of the server at `address`: `https://nacos:8848`."""
    plain = not connection.tls or address.startswith("http://")
    host, port = split_address(address)
    return f"{'http' if plain else 'https'}://{host}:{port}"
