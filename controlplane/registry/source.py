"""What a registry source says to the catalog, and through which interface.

A source reports facts: the instances of a service as its registry has them, and whether it can still hear
that registry. What is served when the registry falters is not its business but the catalog's (`hold.py`). All
calls of a sink are made in the event loop that runs the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RawInstance:
    """One instance as a registry has it, not yet checked. `protocol` and `tag` in `metadata` are text."""

    address: str
    port: int
    weight: float = 1.0
    healthy: bool = True
    enabled: bool = True
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class RawService:
    """All instances of one service as a registry has them now.

    `protocol` is what the registry says of the whole service; empty where it says nothing.
    """

    name: str
    instances: tuple[RawInstance, ...] = ()
    protocol: str = ""


class Sink(Protocol):
    """Where a source reports to. No call raises."""

    def update(self, service_id: str, service: RawService) -> None:
        """The service has exactly these instances now."""
        ...

    def remove(self, service_id: str) -> None:
        """The registry does not have the service any more."""
        ...

    def synced(self) -> None:
        """Everything that the registry has was reported at least once. Further calls change nothing."""
        ...

    def unreachable(self, reason: str) -> None:
        """The registry cannot be heard; what was reported may be out of date. May be called again."""
        ...

    def reconnected(self) -> None:
        """The registry can be heard again: it may be incomplete until its clients have come back.

        Without `unreachable` before, or before the first `synced`, it means a start and holds nothing.
        """
        ...

    def problem(self, text: str) -> None:
        """Something is wrong that does not concern reachability, shown in the status; "" takes it back."""
        ...

    def version(self, text: str) -> None:
        """What the registry is, for the status: `Nacos 2.3.2`."""
        ...


class Source(Protocol):
    """A registry that is watched."""

    @property
    def name(self) -> str:
        """First part of the ids of its services: `file`, `nacos`."""
        ...

    async def run(self, sink: Sink) -> None:
        """Report to `sink` until cancelled. An exception is shown, and the source is run again."""
        ...
