"""One instance of a mesh: what the registry, its application and its sidecar need to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.cli.processes import Child

CARRIERS = ("x-lane", "baggage")


@dataclass
class Pod:
    """One instance: an application, with a sidecar Envoy in front of it unless `sidecar` is false."""

    name: str
    service: str
    application: str
    address: str
    tag: str = ""
    next: str = ""  # the service that it calls
    carriers: Sequence[str] = CARRIERS
    sidecar: bool = True
    port: int = 20001
    app_port: int = 30001
    health: str = "healthy"
    registered: bool = True
    protocol: str = "http1"  # of its service
    metadata: dict[str, Any] = field(default_factory=dict)
    listed: str = ""  # its address as the registry has it, where that is written in another way
    keep_alive: float | None = None  # seconds after which its application closes an idle connection
    egress: str = ""  # where its sidecar's proxy listens, where that is not its own address
    behaviour: dict[str, Any] = field(default_factory=dict)  # more of its application's, see app.py
    app: Child | None = None
    envoy: Child | None = None

    @property
    def egress_address(self) -> str:
        return self.egress or self.address

    def instance(self) -> dict[str, Any]:
        metadata = {"app": self.application, **self.metadata}
        if self.tag:
            metadata["alicloud.service.tag"] = self.tag
        return {
            "address": self.listed or self.address,
            "port": self.port,
            "weight": 1,
            "health": self.health,
            "metadata": metadata,
        }

    def entry(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": self.address,
            "port": self.app_port if self.sidecar else self.port,
            "next": f"http://{self.next}/{self.name.lower()}" if self.next else "",
            "proxy": [self.egress_address, 15001],
            "carriers": list(self.carriers),
            "keep_alive": self.keep_alive,
            **self.behaviour,
        }
