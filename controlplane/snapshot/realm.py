"""What sidecars and gRPC clients get to whom the same applications are closed; mostly that is none.

Who may not call an application is served from a mesh in which its services are names alone: no cluster and no
endpoint of theirs is in any collection that such a client can ask. So each set of closed applications that a
connected client has costs what the services cost.
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
    """closed: the applications that its clients may not call."""

    def __init__(
        self, clock: Clock, closed: frozenset[str], places: Places, lanes: KnownLanes, sent_at_once: int
    ) -> None:
        self.closed = closed
        self.mesh = Mesh(clock)
        self.endpoints = Endpoints(clock)
        collection = self.endpoints.collection
        self.sidecars = Sidecars(self.mesh, collection, places, lanes, sent_at_once)
        self.grpc_clients = GrpcClients(self.mesh, lanes)
        self.views: WeakSet[NodeView] = WeakSet()
        """Of the clients that are connected."""
        self._lanes = lanes
        self._told: dict[str, tuple[ServicePlan, ServicePlan]] = {}

    def take(self, plan: Plan, resolve: Resolve) -> Change:
        """Take over the services."""
        return self.mesh.publish(self._as_told(plan.services), resolve, self._lanes.carriers)

    def publish(self, plan: Plan, change: Change, lanes: LanesChange, moved: Iterable[Address]) -> None:
        """Bring everything up to what was taken."""
        self.endpoints.publish(change)
        self.sidecars.publish(change, lanes, moved, plan.upstreams, plan.observing)
        self.grpc_clients.publish(change, lanes)

    def _as_told(self, services: Mapping[str, ServicePlan]) -> Mapping[str, ServicePlan]:
        """The services as the clients are told of them: what stays the same is the same object."""
        if not self.closed:
            return services
        before, self._told = self._told, {}
        for name, plan in services.items():
            known = before.get(name)
            if known is None or known[0] is not plan:
                told = as_told(plan, self.closed)
                known = plan, known[1] if known is not None and known[1] == told else told
            self._told[name] = known
        return {name: told for name, (_, told) in self._told.items()}
