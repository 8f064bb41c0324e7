"""The interface between registry sources and the catalog.

A source reports facts: the instances of each service as its registry has them, and whether the registry can
be reached. The catalog decides what is served while it cannot (`hold.py`). A source calls its sink in the
event loop in which it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RawInstance:
    """One instance as a registry reports it, not yet checked.

    `protocol` is "" where the registry does not state one; the tag and the application are in `metadata`.
    `zone` is where it runs, "" if that is not known. An instance that is a `last_resort` is used only if no
    other of its application and tag is left. `refused` says why it cannot be used, "" if it can.
    """

    address: str
    port: int
    weight: float = 1.0
    healthy: bool = True
    enabled: bool = True
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    protocol: str = ""
    zone: str = ""
    last_resort: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class RawService:
    """All instances of one service as a registry reports them.

    `protocol` is that of the whole service, "" where the registry does not state one. `aliases` are other
    spellings of the last part of its id, for definitions. `hosts` are further hosts by which callers mean it.
    """

    name: str
    instances: tuple[RawInstance, ...] = ()
    protocol: str = ""
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Sink(Protocol):
    """Receives the reports of a source. No method raises."""

    def update(self, service_id: str, service: RawService) -> None:
        """The service has these instances now, and no others."""
        ...

    def remove(self, service_id: str) -> None:
        """The registry no longer has the service."""
        ...

    def synced(self) -> None:
        """All services of the registry have been reported at least once. Further calls have no effect."""
        ...

    def unreachable(self, reason: str) -> None:
        """The registry cannot be reached, for this `reason`; reports may be out of date. May be
        called again.
        """
        ...

    def reconnected(self) -> None:
        """The registry can be reached again; it may lack instances until its clients have registered again.

        Before the first `synced`, or without an `unreachable` before it, this has no effect.
        """
        ...

    def problem(self, text: str) -> None:
        """Something that the registry reports cannot be used; `text` is shown in the status, "" ends that."""
        ...

    def pod(self, address: str, metadata: Mapping[str, str] | None) -> None:
        """Whatever runs at this IP address is in a pod with this metadata; None: no pod has the address.

        It counts for the instances of all sources.
        """
        ...

    def version(self, text: str) -> None:
        """The product and version of the registry, for the status: `Nacos 2.3.2`."""
        ...


class Source(Protocol):
    """Watches one registry."""

    @property
    def name(self) -> str:
        """The first part of the ids of its services, such as `file` or `nacos`."""
        ...

    async def run(self, sink: Sink) -> None:
        """Report to `sink` until cancelled. After an exception, the catalog shows it and runs the
        source again.
        """
        ...
