"""Where the Nacos servers are and how to be let in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class NacosConnection:
    """Settings of the way to Nacos. Durations are seconds.

    `server_addresses` are `host:port` of the servers' HTTP port; `namespace` is an id, not a name.
    `tls` is for HTTP and gRPC; Nacos's own TLS is of gRPC alone, then the addresses begin with `http://`.
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
        object.__setattr__(self, "namespace", named(self.namespace))

    @property
    def tenant(self) -> str:
        """The namespace as Nacos 2 and the gRPC protocol have it: empty for the public one."""
        return "" if self.namespace == PUBLIC else self.namespace


def named(namespace: str | None) -> str:
    """A namespace by the id that users write: the public one, which has none, is `public`."""
    return namespace or PUBLIC


def split_address(address: str) -> tuple[str, int]:
    """Host and HTTP port of `host[:port]`, with or without `http://`."""
    bare = address.split("://", 1)[-1].rstrip("/")
    host, _, port = bare.partition(":")
    return host, int(port or 8848)


def base_url(connection: NacosConnection, address: str) -> str:
    """Scheme, host and HTTP port of a server: `https://nacos:8848`."""
    plain = not connection.tls or address.startswith("http://")
    host, port = split_address(address)
    return f"{'http' if plain else 'https'}://{host}:{port}"
