"""Endpoints of every service: one collection for all, to which clients subscribe by name."""

from __future__ import annotations

from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Instance, Protocol
from controlplane.snapshot.mesh import resource
from controlplane.translate.clusters import assignment
from controlplane.translate.names import base_cluster, member_cluster
from controlplane.xds.resources import Collection


def put_endpoints(collection: Collection, before: ServicePlan | None, after: ServicePlan) -> None:
    """Bring a service's endpoints up to its plan; encodes only those that changed."""
    old = _instances(before)
    new = _instances(after)
    for name, instances in new.items():
        if old.get(name) != instances:
            collection.put(resource(name, assignment(after, name, instances)))
    for name in old.keys() - new.keys():
        collection.remove(name)


def drop_endpoints(collection: Collection, gone: ServicePlan) -> None:
    """Forget the endpoints of a service."""
    for name in _instances(gone):
        collection.remove(name)


def _instances(plan: ServicePlan | None) -> dict[str, tuple[Instance, ...]]:
    if plan is None:
        return {}
    found = {base_cluster(plan.id): plan.base}
    if plan.protocol is not Protocol.TCP:
        found |= {member_cluster(plan.id, target): instances for target, instances in plan.targets.items()}
    return found
