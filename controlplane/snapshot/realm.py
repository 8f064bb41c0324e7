"""What sidecars and gRPC clients get to whom the same applications are closed; mostly that is none.

Who may not call an application is served from a mesh in which its services are names alone: no cluster and no
endpoint of theirs is in any collection that such a client can ask. What is closed to nobody is encoded once,
for all of these meshes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from weakref import WeakSet

from controlplane.plan.callers import as_told
from controlplane.plan.planner import Plan, Resolve
from controlplane.plan.services import ServicePlan
from controlplane.snapshot.endpoints import Endpoints
from controlplane.snapshot.grpc_clients import GrpcClients
from controlplane.snapshot.lanes import KnownLanes, LanesChange
from controlplane.snapshot.mesh import Change, Mesh
from controlplane.snapshot.places import Address, Places
from controlplane.snapshot.sidecars import Sidecars
from controlplane.snapshot.view import NodeView
from controlplane.xds.resources import Clock


class Realm:
    """closed: the applications that its clients may not call. whole: the realm of those who may call all."""

    def __init__(
        self,
        clock: Clock,
        closed: frozenset[str],
        places: Places,
        lanes: KnownLanes,
        sent_at_once: int,
        whole: Realm | None = None,
    ) -> None:
        self.closed = closed
        self.mesh = Mesh(clock, None if whole is None else whole.mesh)
        self.endpoints = Endpoints(clock, None if whole is None else whole.endpoints)
        collection = self.endpoints.collection
        self.sidecars = Sidecars(self.mesh, collection, places, lanes, sent_at_once)
        self.grpc_clients = GrpcClients(self.mesh, lanes)
        self.views: WeakSet[NodeView] = WeakSet()
        """Of the clients that are connected."""
        self._lanes = lanes
        self._told: dict[str, ServicePlan] = {}

    def take(self, plan: Plan, resolve: Resolve, change: Change | None = None) -> Change:
        """Take over the services. change: what the plan changes, None where that is not known."""
        services = plan.services if not self.closed else self._as_told(plan.services, change)
        return self.mesh.publish(services, resolve, self._lanes.carriers)

    def publish(self, plan: Plan, change: Change, lanes: LanesChange, moved: Iterable[Address]) -> None:
        """Bring everything up to what was taken."""
        self.endpoints.publish(change)
        self.sidecars.publish(change, lanes, moved, plan.upstreams, plan.observing)
        self.grpc_clients.publish(change, lanes)

    def _as_told(
        self, services: Mapping[str, ServicePlan], change: Change | None
    ) -> Mapping[str, ServicePlan]:
        """The services as the clients are told of them: what stays the same is the same object."""
        before = self._told
        if change is None or change.came_or_went:
            self._told, changed = {}, services  # in the order of the plan
        else:
            self._told = dict(before)
            changed = {after.id: after for _, after in change.replaced if after is not None}
        for name, plan in changed.items():
            told, known = as_told(plan, self.closed), before.get(name)
            self._told[name] = told if told is plan or known is None or known != told else known
        return self._told
