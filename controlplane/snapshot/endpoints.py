"""Endpoints of every service: one collection for all, to which clients subscribe by name."""

from __future__ import annotations

from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Instance, Protocol
from controlplane.snapshot.mesh import Change, resource
from controlplane.translate.clusters import assignment
from controlplane.translate.names import base_cluster, member_cluster
from controlplane.xds.resource import ENDPOINT
from controlplane.xds.resources import Clock, Collection


class Endpoints:
    """The collection of endpoints; encodes only those that change."""

    def __init__(self, clock: Clock) -> None:
        self.collection = Collection(clock, ENDPOINT)

    def publish(self, change: Change) -> None:
        """Bring the endpoints up to the mesh."""
        for before, after in change.replaced:
            old, new = _instances(before), _instances(after)
            if after is not None:
                for name, instances in new.items():
                    if old.get(name) != instances:
                        self.collection.put(resource(name, assignment(after, name, instances)))
            for name in old.keys() - new.keys():
                self.collection.remove(name)


def _instances(plan: ServicePlan | None) -> dict[str, tuple[Instance, ...]]:
    if plan is None or plan.closed:
        return {}
    found = {base_cluster(plan.id): plan.base}
    if plan.protocol is not Protocol.TCP:
        found |= {member_cluster(plan.id, target): instances for target, instances in plan.targets.items()}
    return found
