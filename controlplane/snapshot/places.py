"""Which application and tag the registry has for an ip:port, and where proxies say something else."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Service
from controlplane.snapshot.nodes import SidecarNode

Place = tuple[str, str | None]
"""Application and tag."""


class Places:
    """Kept up to date one service at a time."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], Place] = {}

    def update(self, before: Iterable[ServicePlan], after: Iterable[tuple[ServicePlan, Service]]) -> None:
        """Services whose plans were `before` are `after` now."""
        for plan in before:
            for place in plan.addresses:
                self._places.pop(place, None)
        for plan, service in after:
            for instance in service.instances:
                # A definition of kind Application gives a service one application, whatever instances say.
                named = instance.application or service.name
                application = plan.applications[0] if len(plan.applications) == 1 else named
                self._places[instance.address, instance.port] = (application, instance.tag)

    def at(self, address: str, ports: Iterable[int]) -> Place | None:
        """What the registry has at the first of `ports` that it knows."""
        found = (self._places.get((address, port)) for port in ports)
        return next((place for place in found if place is not None), None)

    def warnings(self, node: SidecarNode) -> list[str]:
        """Where a sidecar's metadata and the registry differ, in plain words."""
        found: list[str] = []
        for own in node.place.services:
            registered = self._places.get((node.place.address, own.port))
            if registered is None:
                found.append(
                    f"{node.place.address}:{own.port} is not in the registry; served from the node's metadata"
                )
                continue
            application, tag = registered
            if application != node.application:
                found.append(
                    f"the registry says application {application}, node.cluster says {node.application}"
                )
            if (tag or None) != node.tag:
                found.append(f"the registry says tag {tag}, the node says {node.tag}; the registry's counts")
        return found
