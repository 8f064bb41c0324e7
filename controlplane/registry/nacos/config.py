"""Which services are read from Nacos, and how often it is asked."""

from __future__ import annotations

import fnmatch
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from controlplane.nacos import NacosConnection


@dataclass(frozen=True, slots=True)
class NacosConfig(NacosConnection):
    """Settings of the Nacos source. Durations are seconds.

    The SDK talks gRPC to the HTTP port + 1000. `services` are names or shell patterns, empty for all.
    `state_dir` holds the SDK's log and cache files; by default a directory below the system's temporary one,
    never the home.
    """

    groups: tuple[str, ...] = ("DEFAULT_GROUP",)
    services: tuple[str, ...] = ()
    state_dir: Path | None = None
    discovery_interval: float = 3.0
    retry: float = 1.0
    resync: float = 30.0

    def wants(self, name: str) -> bool:
        """Whether a service of this name is read."""
        return not self.services or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.services)

    def directory(self) -> Path:
        """Where the SDK may write."""
        return self.state_dir or Path(tempfile.gettempdir()) / f"laneway-nacos-{os.getuid()}"
