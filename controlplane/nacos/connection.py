"""Where the Nacos servers are and how to be let in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NacosConnection:
    """Settings of the way to Nacos. Durations are seconds.

    `server_addresses` are `host:port` of the servers' HTTP port; `namespace` is an id, not a name.
    `tls` is for HTTP and gRPC; Nacos's own TLS is of gRPC alone, then the addresses begin with `http://`.
    """

    server_addresses: tuple[str, ...]
    namespace: str = "public"
    username: str = ""
    password: str = field(default="", repr=False)
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    tls: bool = False
    ca_file: Path | None = None
    context_path: str = "/nacos"
    request_timeout: float = 4.0


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
