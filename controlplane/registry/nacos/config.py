"""Where the Nacos servers are and what is read from them."""

from __future__ import annotations

import fnmatch
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NacosConfig:
    """Settings of the Nacos source. Durations are seconds.

    `server_addresses` are `host:port` of the servers' HTTP port; the SDK talks gRPC to that port + 1000.
    `services` are names or shell patterns, empty for all. `state_dir` holds the SDK's log and cache files; by
    default a directory below the system's temporary one, never the home.
    """

    server_addresses: tuple[str, ...]
    namespace: str = "public"
    groups: tuple[str, ...] = ("DEFAULT_GROUP",)
    services: tuple[str, ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    tls: bool = False
    ca_file: Path | None = None
    context_path: str = "/nacos"
    state_dir: Path | None = None
    discovery_interval: float = 3.0
    request_timeout: float = 4.0
    retry: float = 1.0
    resync: float = 30.0

    def wants(self, name: str) -> bool:
        """Whether a service of this name is read."""
        return not self.services or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.services)

    def directory(self) -> Path:
        """Where the SDK may write."""
        return self.state_dir or Path(tempfile.gettempdir()) / "laneway-nacos"
