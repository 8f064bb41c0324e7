"""What the edges of each gateway get."""

from __future__ import annotations

from typing import Any

from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.planner import Plan
from controlplane.plan.services import ServicePlan
from controlplane.snapshot.mesh import Mesh, resource
from controlplane.translate import edge, listeners, lua
from controlplane.xds.resources import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    Collection,
    View,
)


class _Edge:
    """Everything of one gateway."""

    def __init__(self) -> None:
        self.users = 0
        self.listeners = Collection(LISTENER)
        self.routes = Collection(ROUTE)
        self.clusters = Collection(CLUSTER)
        self.extensions = Collection(EXTENSION_CONFIG)
        self.built: Any = None

    def clear(self) -> None:
        for collection in (self.listeners, self.routes, self.clusters, self.extensions):
            collection.replace([])
        self.built = None


class Edges:
    """Collections by gateway; a gateway that is not defined has empty ones."""

    def __init__(self, mesh: Mesh, endpoints: Collection) -> None:
        self._mesh = mesh
        self._endpoints = endpoints
        self._edges: dict[str, _Edge] = {}

    def publish(self, plan: Plan) -> None:
        """Bring every gateway up to the plan."""
        for name in self._edges.keys() - plan.gateways.keys():
            self._edges[name].clear()
            if not self._edges[name].users:
                del self._edges[name]
        for name, gateway in plan.gateways.items():
            used = {
                r.service: plan.services[r.service]
                for r in gateway.routes
                if r.service is not None and r.service in plan.services
            }
            self._publish(self._edges.setdefault(name, _Edge()), gateway, used)

    def _publish(self, held: _Edge, gateway: GatewayPlan, used: dict[str, ServicePlan]) -> None:
        # Instances are no part of what is built here.
        inputs = (gateway, {id_: (self._mesh.clusters(p, mirror=False), p.lanes) for id_, p in used.items()})
        if held.built == inputs:
            return
        held.built = inputs
        held.clusters.replace(cluster for built, _ in inputs[1].values() for cluster in built)
        code = lua.edge_filter(gateway)
        held.extensions.put(resource(code.name, code))
        built = (listeners.edge_listener(gateway, at.address, at.port) for at in gateway.listeners)
        held.listeners.replace(resource(listener.name, listener) for listener in built)
        routes = edge.route_configuration(gateway, used)
        held.routes.put(resource(routes.name, routes))

    def view(self, gateway: str) -> View:
        """The view of an edge that connects; `release` it."""
        held = self._edges.setdefault(gateway, _Edge())
        held.users += 1
        return View(
            {
                CLUSTER: [held.clusters],
                ENDPOINT: [self._endpoints],
                LISTENER: [held.listeners],
                ROUTE: [held.routes],
                EXTENSION_CONFIG: [held.extensions],
            }
        )

    def release(self, gateway: str, defined: bool) -> None:
        """The stream of an edge has ended."""
        held = self._edges.get(gateway)
        if held is not None:
            held.users -= 1
            if not held.users and not defined:
                del self._edges[gateway]
