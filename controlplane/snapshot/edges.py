"""What the edges of each gateway get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, TypeVar

import structlog
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf.message import Message

from controlplane.plan.callers import as_told, gateway_caller
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.planner import Plan
from controlplane.plan.services import ServicePlan
from controlplane.secrets.pair import Pair
from controlplane.snapshot.mesh import Change, Mesh, resource
from controlplane.snapshot.nodes import EdgeNode
from controlplane.snapshot.view import NodeView
from controlplane.translate import edge, front, listeners, lua, observing, reports
from controlplane.translate.patches import Failure, patched
from controlplane.xds.bounds import shown
from controlplane.xds.resource import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE, SECRET, Resource
from controlplane.xds.resources import Clock, Collection

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)


def said(failure: Failure) -> str:
    """A sentence for users."""
    where = f"envoy_patches[{failure.patch}]"
    if failure.operation is not None:
        where += f".operations[{failure.operation}]"
    return f"{where} is not applied: {failure.reason}"


Secret = Callable[[str], Pair | None]
"""The certificate that the control plane holds under a name, if it can be used."""
Variant = tuple[str, bool]
"""Edges with the same listeners: the cluster over which they report, and whether a certificate says that they
are of the gateway, so that they are sent secrets.
"""


def _held(name: str, pair: Pair) -> Resource:
    """The resource; its version derives from what is public."""
    message = front.held_secret(name, pair)
    return Resource(message.name, message.SerializeToString(deterministic=True), pair.version)


class _Gateway:
    """The resources of one gateway. `plan` is None while it is not defined; `users` are its edges."""

    def __init__(self, clock: Clock, secret: Secret) -> None:
        self.users: Counter[Variant] = Counter()
        self.plan: GatewayPlan | None = None
        self.named: frozenset[str] = frozenset()
        """The services that its routes name."""
        self.tokens: frozenset[str] = frozenset()
        """Edges report the requests that bring one of these."""
        self._clock = clock
        self._secret = secret
        self._listeners: dict[Variant, Collection] = {}
        self.routes = Collection(clock, ROUTE)
        self.clusters = Collection(clock, CLUSTER)
        self.clusters.tried = False  # as long as no patch changes them
        self.extensions = Collection(clock, EXTENSION_CONFIG)
        self.secrets = Collection(clock, SECRET)
        self.held = Collection(clock, SECRET)
        """Certificates with their keys: only for edges whose certificate is of this gateway."""
        self._failures: dict[str, list[Failure]] = {}  # by the kind of resource
        self._built: Any = None
        self._patched_before = False
        self.closed: frozenset[str] = frozenset()
        """The applications that the gateway may not call."""

    @property
    def failures(self) -> list[str]:
        """What is said of patches that are left out, in their order."""
        found = [one for failures in self._failures.values() for one in failures]
        return [said(one) for one in sorted(found, key=lambda one: one.patch)]

    def clear(self) -> None:
        """Empty the collections: the gateway is no longer defined."""
        shared = (self.routes, self.clusters, self.extensions, self.secrets, self.held)
        for collection in (*shared, *self._listeners.values()):
            collection.replace([])
        self.plan = self._built = None
        self._failures.clear()
        self.named = frozenset()

    def build(
        self,
        plan: GatewayPlan,
        services: Mapping[str, ServicePlan],
        mesh: Mesh,
        closed: frozenset[str],
    ) -> None:
        """Bring the collections up to the plan. Instances do not matter here: endpoints are a collection of
        their own.
        """
        self.plan, self.closed = plan, closed
        self.named = frozenset(route.service for route in plan.routes if route.service is not None)
        known = sorted(service for service in self.named if service in services)
        used = {service: as_told(services[service], closed) for service in known}
        clusters = {service: mesh.clusters(one, mirror=False) for service, one in used.items()}
        parts = {name: (clusters[name], one.lanes, one.upstream, one.closed) for name, one in used.items()}
        inputs = plan, parts
        if self._built == inputs:
            return
        self._built = inputs
        self._failures.clear()
        further = [resource(one.name, one) for one in observing.collectors(plan.observing)]
        encoded = [*(cluster for built in clusters.values() for cluster in built), *further]
        self.clusters.replace(self._patched_clusters(plan, encoded))
        code = lua.edge_filter(plan)
        self.extensions.replace([resource(code.name, code), *self._watches()])
        self.secrets.replace(resource(one.name, one) for one in front.secrets(plan))
        self.renew()
        for variant, collection in self._listeners.items():
            collection.replace(self._listening(plan, variant))
        routes = self._patched("route_configuration", plan, [edge.route_configuration(plan, used)])
        self.routes.replace(resource(one.name, one) for one in routes)

    def names(self) -> set[str]:
        """The secrets that the gateway names."""
        every = self.plan.listeners if self.plan is not None else ()
        return {name for listener in every for _, name in listener.secrets}

    def renew(self) -> None:
        """Take over the certificates that the control plane holds now. One that cannot be read is not there:
        edges keep what they have.
        """
        pairs = {name: pair for name in sorted(self.names()) if (pair := self._secret(name)) is not None}
        self.held.replace(_held(name, pair) for name, pair in pairs.items())

    def _patched(self, kind: str, plan: GatewayPlan, resources: list[M]) -> list[M]:
        if not plan.patches:
            return resources
        found, self._failures[kind] = patched(kind, resources, plan.patches)
        return found

    def _patched_clusters(self, plan: GatewayPlan, encoded: list[Resource]) -> list[Resource]:
        """The clusters of this gateway alone: those of the mesh stay as they are."""
        patches = [one for one in plan.patches if one.resource == "cluster"]
        self.clusters.tried = bool(patches) or self._patched_before
        self._patched_before = bool(patches)
        if not patches:
            return encoded
        read = [cluster_pb2.Cluster.FromString(one.body) for one in encoded]
        return [resource(one.name, one) for one in self._patched("cluster", plan, read)]

    def listeners(self, variant: Variant) -> Collection:
        """The listeners of the edges of a variant."""
        found = self._listeners.get(variant)
        if found is None:
            found = self._listeners[variant] = Collection(self._clock, LISTENER)
            if self.plan is not None:
                found.replace(self._listening(self.plan, variant))
                self._put_watches()
        return found

    def forget(self, variant: Variant) -> None:
        """There is no edge of the variant."""
        self._listeners.pop(variant, None)

    def watch(self, tokens: frozenset[str]) -> None:
        """Have the edges report the requests that bring one of `tokens`."""
        if tokens == self.tokens:
            return
        self.tokens = tokens
        if self.plan is not None:
            self._put_watches()

    def _put_watches(self) -> None:
        for watch in self._watches():
            self.extensions.put(watch)

    def _watches(self) -> Iterator[Resource]:
        """What is watched, if any edge can report it."""
        if any(cluster for cluster, _ in self._listeners):
            config = reports.edge_watch(self.tokens)
            yield resource(config.name, config)

    def _listening(self, plan: GatewayPlan, variant: Variant) -> list[Resource]:
        made = self._patched("listener", plan, list(listeners.edge_listeners(plan, *variant)))
        return [resource(one.name, one) for one in made]


class EdgeView(NodeView):
    """The view of one edge."""

    def __init__(
        self,
        node: EdgeNode,
        gateway: _Gateway,
        endpoints: Collection,
        released: Callable[[EdgeView], None],
        known: bool,
    ) -> None:
        """known: its certificate says that it is of the gateway."""
        self.variant = node.reports, known
        super().__init__(
            node,
            endpoints.clock,
            {
                CLUSTER: [gateway.clusters],
                ENDPOINT: [endpoints],
                LISTENER: [gateway.listeners(self.variant)],
                ROUTE: [gateway.routes],
                EXTENSION_CONFIG: [gateway.extensions],
                SECRET: [gateway.secrets, gateway.held] if known else [gateway.secrets],
            },
        )
        self.name = node.gateway
        self._known = known
        self._strange: frozenset[str] = frozenset()
        self._gateway = gateway
        self._released = released

    def warnings(self) -> list[str]:
        if self._gateway.plan is None:
            return [f"gateway {self.name} is not defined; the edge waits with an empty configuration"]
        found = self._gateway.failures
        named = self._gateway.names()
        if named and not self._known:
            found.append(
                f"listeners with the secrets {', '.join(sorted(named))} are left out: secrets are sent only "
                "over mTLS, and the edge shows no certificate"
            )
        if strange := self._strange - {front.held_name(name) for name in named}:
            asked = ", ".join(map(shown, sorted(strange)[:5]))
            found.append(f"the edge asks for {asked}, which its gateway does not name")
        return found

    def admit(self, type_url: str, names: Set[str]) -> None:
        if not self._known:
            super().admit(type_url, names)
            return
        # An edge that comes back asks for what its listeners named before: that must not end its stream.
        named = {front.held_name(name) for name in self._gateway.names()}
        strange = frozenset(name for name in names if name.startswith(front.HELD) and name not in named)
        if strange - self._strange:
            log.warning(
                "an edge asks for secrets that its gateway does not name, and is told that there are none",
                gateway=self.name,
                secrets=[shown(name) for name in sorted(strange)[:5]],
            )
        self._strange = strange

    def release(self) -> None:
        self._released(self)


class Edges:
    """Collections by gateway; a gateway that is not defined has empty ones."""

    def __init__(self, mesh: Mesh, secret: Secret) -> None:
        self._secret = secret
        self._mesh = mesh
        self._gateways: dict[str, _Gateway] = {}

    def publish(self, plan: Plan, change: Change) -> None:
        """Update the gateways whose plan or whose services have changed."""
        for name in self._gateways.keys() - plan.gateways.keys():
            self._gateways[name].clear()
            if not self._gateways[name].users:
                del self._gateways[name]
        for name, gateway in plan.gateways.items():
            held = self._gateways.setdefault(name, _Gateway(self._mesh.clock, self._secret))
            closed = plan.callers.closed_to(gateway_caller(name))
            same = held.plan is gateway and held.closed == closed
            if not same or not held.named.isdisjoint(change.touched):
                held.build(gateway, plan.services, self._mesh, closed)

    def patch_failures(self) -> dict[str, tuple[str, ...]]:
        """By gateway: what is said of patches that are left out."""
        return {name: tuple(failures) for name, held in self._gateways.items() if (failures := held.failures)}

    def view(self, node: EdgeNode, known: bool, endpoints: Collection) -> EdgeView:
        """The view of an edge that connects. known: its certificate says that it is of the gateway.
        endpoints: those of all services that it may call.
        """
        held = self._gateways.setdefault(node.gateway, _Gateway(self._mesh.clock, self._secret))
        held.users[node.reports, known] += 1
        return EdgeView(node, held, endpoints, self._release, known)

    def renew(self) -> None:
        """The secrets of gateways may have other content than before."""
        for held in self._gateways.values():
            held.renew()

    def _release(self, view: EdgeView) -> None:
        held = self._gateways[view.name]
        held.users[view.variant] -= 1
        if not held.users[view.variant]:
            del held.users[view.variant]
            held.forget(view.variant)
        if not held.users and held.plan is None:
            del self._gateways[view.name]

    def watch(self, tokens: Mapping[str, frozenset[str]]) -> None:
        """Have edges report the requests that bring one of the tokens of their gateway, and no others."""
        for name, held in self._gateways.items():
            held.watch(tokens.get(name, frozenset()))
