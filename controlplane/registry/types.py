"""What a registry says, as immutable values that the rest of Laneway reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Health(StrEnum):
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Protocol(StrEnum):
    UNKNOWN = ""
    HTTP1 = "http1"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Instance:
    """One ip:port of a service.

    `tag` is None for base. `application` is what the metadata says, else the service's own name; a definition
    of kind Application overrides it in the plan. `held` is set where the last good state is served in place
    of what the registry says now (rule "losing a source"); a held instance counts as healthy.
    """

    address: str
    port: int
    tag: str | None = None
    application: str = ""
    weight: float = 1.0
    health: Health = Health.HEALTHY
    protocol: Protocol = Protocol.UNKNOWN
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    held: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance that was not taken, with the reason in plain words."""

    address: str
    port: int
    reason: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service under its canonical id `<source>/<namespace>/<group>/<name>[:<port name>]`.

    `former` holds (address, port) of instances that left less than 120 s ago: redirect capture still
    recognises the service by them. `updated` is seconds since the epoch. `warnings` are shown to users.
    """

    id: str
    source: str
    name: str
    instances: tuple[Instance, ...] = ()
    refused: tuple[Refused, ...] = ()
    former: tuple[tuple[str, int], ...] = ()
    held: bool = False
    updated: float = field(default=0.0, compare=False)
    warnings: tuple[str, ...] = ()
    protocol: Protocol = Protocol.UNKNOWN


Services = Mapping[str, Service]
"""Every known service by canonical id; a new mapping for every change, never mutated."""


class SourceState(StrEnum):
    """How far what is served of a source is what its registry has now."""

    WAITING = "waiting"
    """Not everything was heard yet; the control plane is not ready."""
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """The registry is heard, but some of what it says cannot be used."""
    STALE = "stale"
    """The registry cannot be heard; what it said last is served."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source stands, for users.

    `updated` and `unreachable_since` are seconds since the epoch, 0.0 before the first word and while the
    registry is heard. `held` counts instances that are served although the registry does not say so, and
    `held_services` the services that have some. `version` is "" where it is not known, `error` is "" if all
    is well.
    """

    name: str
    connected: bool
    synced: bool
    unreachable_since: float
    updated: float
    services: int
    instances: int
    held_services: int
    held: int
    version: str
    error: str

    @property
    def state(self) -> SourceState:
        if not self.synced:
            return SourceState.WAITING
        if self.unreachable_since:
            return SourceState.STALE
        return SourceState.INCOMPLETE if self.error else SourceState.COMPLETE
