"""The application and tag that the registry has for an ip:port."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Service, Services
from controlplane.snapshot.mesh import Change
from controlplane.snapshot.nodes import SidecarNode

Address = tuple[str, int]
"""IP address and port."""
Place = tuple[str, str | None]
"""Application and tag."""


class Places:
    """Applications and tags by address. Of several services at one address, the first by id counts."""

    def __init__(self) -> None:
        self._claims: dict[Address, tuple[tuple[str, Place], ...]] = {}

    def publish(self, change: Change, services: Services) -> set[Address]:
        """Update for a change of the mesh. Returns the addresses that now have another application or tag."""
        changed: set[Address] = set()
        for before, after in change.replaced:
            now: dict[Address, Place] = {} if after is None else _places(after, services[after.id])
            if before is not None:
                gone = (address for address in before.addresses if address not in now)
                changed.update(address for address in gone if self._claim(before.id, address, None))
            if after is not None:
                changed.update(at for at, place in now.items() if self._claim(after.id, at, place))
        return changed

    def at(self, address: str, ports: Iterable[int]) -> Place | None:
        """What the registry has at the first of `ports` that is registered."""
        found = (self._claims.get((address, port)) for port in ports)
        return next((claims[0][1] for claims in found if claims is not None), None)

    def warnings(self, node: SidecarNode) -> list[str]:
        """Sentences on the differences between a sidecar's metadata and the registry."""
        found: list[str] = []
        for own in node.place.services:
            registered = self.at(node.place.address, [own.port])
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

    def _claim(self, service: str, address: Address, place: Place | None) -> bool:
        """Set or remove what `service` says about an address. True if the effective value changed."""
        before = self._claims.get(address, ())
        others = tuple(claim for claim in before if claim[0] != service)
        now = others if place is None else tuple(sorted((*others, (service, place)), key=lambda one: one[0]))
        if now:
            self._claims[address] = now
        else:
            self._claims.pop(address, None)
        return before[:1] != now[:1]


def _places(plan: ServicePlan, service: Service) -> dict[Address, Place]:
    found: dict[Address, Place] = {}
    for instance in service.instances:
        # A document of kind Application gives a service its application, whatever the instances say.
        named = instance.application or service.name
        application = plan.applications[0] if len(plan.applications) == 1 else named
        found[instance.address, instance.port] = (application, instance.tag)
    return found
