"""Which services are read from Nacos, and how often."""

from __future__ import annotations

import fnmatch
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from controlplane.nacos import NacosConnection


@dataclass(frozen=True, slots=True)
class NacosConfig(NacosConnection):
    """Settings of Nacos as a registry. Durations are seconds.

    `groups` are the groups of the namespace that are read; `services` are names or shell patterns of
    services, empty for all. `state_dir` is for the log and cache files of the SDK; None means a directory
    below the system's temporary one. Services are listed every `discovery_interval`, a lost connection is
    made again after `retry`, and each service is queried once in `resync`, in case a push was lost.
    """

    groups: tuple[str, ...] = ("DEFAULT_GROUP",)
    services: tuple[str, ...] = ()
    state_dir: Path | None = None
    discovery_interval: float = 3.0
    retry: float = 1.0
    resync: float = 30.0

    def wants(self, name: str) -> bool:
        """Whether the service of this name is one of `services`."""
        return not self.services or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.services)

    def directory(self) -> Path:
        """The directory in which the SDK may write."""
        return self.state_dir or Path(tempfile.gettempdir()) / f"laneway-nacos-{os.getuid()}"
