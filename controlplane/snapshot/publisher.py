"""The plan that is served, and the views of the proxies that are connected.

Everything here runs in the event loop's thread and without awaiting, so that one change is one push.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from controlplane.model.definitions import Definitions
from controlplane.plan.planner import Plan, Planner, Resolve
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Services
from controlplane.snapshot import agreement
from controlplane.snapshot.edges import Edges, Secret
from controlplane.snapshot.endpoints import Endpoints
from controlplane.snapshot.grpc_clients import GrpcClients
from controlplane.snapshot.lanes import KnownLanes
from controlplane.snapshot.mesh import Mesh
from controlplane.snapshot.nodes import (
    AnyNode,
    EdgeNode,
    GrpcNode,
    NodeError,
    SidecarNode,
    build_version,
    parse_node,
)
from controlplane.snapshot.places import Places
from controlplane.snapshot.sidecars import Sidecars
from controlplane.snapshot.view import NodeView
from controlplane.xds.node import InvalidNode, Node
from controlplane.xds.resources import Clock

SENT_AT_ONCE = 2_000
"""A scope with more clusters than this is loaded on demand; so many take some 110 MiB in an Envoy."""


class Publisher:
    """Brings every collection up to the plan. `plan` is the plan that is served, `clock` that of all views.

    `base_tags` are values of a node's tag that mean base. `secret`: the certificate under a name.
    """

    def __init__(
        self,
        sent_at_once: int = SENT_AT_ONCE,
        base_tags: Collection[str] = (),
        secret: Secret = lambda _: None,
    ) -> None:
        self._base_tags = base_tags
        self.plan = Plan()
        self.clock = Clock()
        self._planner = Planner()
        self._mesh = Mesh(self.clock)
        self._lanes = KnownLanes()
        self._places = Places()
        self._endpoints = Endpoints(self.clock)
        endpoints = self._endpoints.collection
        self._edges = Edges(self._mesh, endpoints, secret)
        self._sidecars = Sidecars(self._mesh, endpoints, self._places, self._lanes, sent_at_once)
        self._grpc_clients = GrpcClients(self._mesh, self._lanes)

    def publish(
        self,
        definitions: Definitions,
        deployed: Deployed,
        services: Services,
        resolve: Resolve,
        resting: Collection[str] = frozenset(),
    ) -> None:
        """Bring everything up to the given state. The cost is that of the difference to the former state.

        `resting`: lanes that their times close.
        """
        self.plan = self._planner.plan(definitions, deployed, services, resolve)
        lanes = self._lanes.publish(definitions, deployed.known, resting)
        change = self._mesh.publish(self.plan.services, resolve, self._lanes.carriers)
        moved = self._places.publish(change, services)
        self._endpoints.publish(change)
        self._edges.publish(self.plan, change)
        self._sidecars.publish(change, lanes, moved, self.plan.upstreams, self.plan.observing)
        self._grpc_clients.publish(change, lanes)

    def watch(self, tokens: Mapping[str, frozenset[str]], applications: frozenset[str]) -> None:
        """Have proxies report single requests: edges those that bring one of the `tokens` of their gateway,
        sidecars of `applications` all. What was watched before, and is not named, is reported no more.
        """
        self._edges.watch(tokens)
        self._sidecars.watch(applications)

    def renew_secrets(self) -> None:
        """What `secret` returns may have changed."""
        self._edges.renew()

    def patch_failures(self) -> dict[str, tuple[str, ...]]:
        """By gateway: what is said of patches that are left out, because what they change is not there."""
        return self._edges.patch_failures()

    def classify(self, node: Node) -> NodeView:
        """The view of a node that connects. Raises InvalidNode or DeniedNode with a text that says what to
        change.
        """
        try:
            version = build_version(node.agent, node.version)
            parsed = parse_node(node.cluster, node.metadata, version, self._base_tags)
        except NodeError as error:
            raise InvalidNode(str(error)) from None
        if isinstance(parsed, SidecarNode):
            agreement.check(node, parsed, self._places, self._mesh)
        return self.view(parsed, node.incremental, node.identity is not None)

    def view(self, node: AnyNode, incremental: bool = True, known: bool = False) -> NodeView:
        """The view of a node, to be released. `incremental`: its stream speaks the delta variant. known: a
        certificate says who it is.
        """
        if isinstance(node, EdgeNode):
            return self._edges.view(node, known)
        if isinstance(node, GrpcNode):
            return self._grpc_clients.view(node)
        return self._sidecars.view(node, incremental)
