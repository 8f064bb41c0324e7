"""Services and instances, as immutable values that the rest of Laneway reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Health(StrEnum):
    """Whether an instance may get traffic while a healthy one is left."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Protocol(StrEnum):
    """The protocol of a service or an instance; UNKNOWN where the registry does not state one."""

    UNKNOWN = ""
    HTTP1 = "http1"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Instance:
    """One ip:port of a service.

    `tag` is None for base. `application` is that of the metadata, else the name of the service; a definition
    of kind Application overrides it in the plan. `held` is set where the last good state is served in place
    of what the registry reports (see `hold.py`); a held instance counts as healthy. `zone` is where it runs,
    "" if that is not known.
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
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance that is not used, with the reason for users."""

    address: str
    port: int
    reason: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service under its canonical id `<source>/<namespace>/<group>/<name>[:<port name>]`.

    `former` has (address, port) of instances that left less than 120 s ago: redirect capture still recognises
    the service by them. `held` tells whether any instance is held. `updated` is the time of the last change
    in seconds since the epoch. `warnings` are shown to users. `aliases` are other spellings of the last part
    of the id, `hosts` further hosts by which callers mean the service.
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
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


Services = Mapping[str, Service]
"""All services by canonical id. Every change makes a new mapping; none is changed in place."""


class SourceState(StrEnum):
    """Whether the services of a source are those that its registry has now."""

    WAITING = "waiting"
    """The registry has not reported all of its services yet; the control plane is not ready."""
    COMPLETE = "complete"
    """The services are those that the registry has."""
    INCOMPLETE = "incomplete"
    """The registry can be reached, but some of what it reports cannot be used."""
    STALE = "stale"
    """The registry cannot be reached; its last report is served."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The state of a source, for users.

    `connected` tells whether its registry can be reached, `synced` whether it has reported all of its
    services. `unreachable_since` and `updated` (the last report) are in seconds since the epoch, 0.0 if there
    is none. `held` counts instances that are served although the registry does not report them, and
    `held_services` the services that have some. `version` is "" where it is not known, `error` is "" if
    nothing is wrong.
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
        """What the other fields mean, in one word."""
        if not self.synced:
            return SourceState.WAITING
        if self.unreachable_since:
            return SourceState.STALE
        return SourceState.INCOMPLETE if self.error else SourceState.COMPLETE
