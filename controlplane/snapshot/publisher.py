"""The plan that is served, and the views of the proxies that are connected.

Everything here runs in the event loop's thread and without awaiting, so that one change is one push.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from controlplane.model.definitions import Definitions
from controlplane.plan.callers import gateway_caller
from controlplane.plan.planner import Plan, Planner, Resolve
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Services
from controlplane.snapshot import agreement
from controlplane.snapshot.edges import Edges, Secret
from controlplane.snapshot.lanes import KnownLanes, LanesChange
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
from controlplane.snapshot.realm import Realm
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
        self._lanes = KnownLanes()
        self._places = Places()
        self._sent_at_once = sent_at_once
        self._resolve: Resolve | None = None
        self._watched: frozenset[str] = frozenset()
        self._realms: dict[frozenset[str], Realm] = {}
        self._open = self._realm(frozenset())
        self._edges = Edges(self._open.mesh, secret)

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
        lanes = self._lanes.publish(definitions, deployed.known, resting, deployed.base)
        self._resolve = resolve
        change = self._open.take(self.plan, resolve)
        moved = self._places.publish(change, services)
        self._open.publish(self.plan, change, lanes, moved)
        self._edges.publish(self.plan, change)
        for closed, realm in tuple(self._realms.items()):
            if not closed:
                continue
            if realm.views:
                realm.publish(self.plan, realm.take(self.plan, resolve, change), lanes, moved)
            else:
                del self._realms[closed]

    def stale(self) -> list[NodeView]:
        """The views of clients to whom other applications are closed now than when they connected: their
        streams have to end, so that they come back for another one.
        """
        return [
            view
            for closed, realm in self._realms.items()
            for view in realm.views
            if self.plan.callers.closed_to(_caller(view.node)) != closed
        ]

    def _realm(self, closed: frozenset[str]) -> Realm:
        found = self._realms.get(closed)
        if found is None:
            whole = self._open if closed else None
            found = Realm(self.clock, closed, self._places, self._lanes, self._sent_at_once, whole)
            self._realms[closed] = found
            if self._resolve is not None:
                change = found.take(self.plan, self._resolve)
                found.publish(self.plan, change, LanesChange(False, frozenset(), frozenset()), ())
            found.sidecars.watch(self._watched)
        return found

    def watch(self, tokens: Mapping[str, frozenset[str]], applications: frozenset[str]) -> None:
        """Have proxies report single requests: edges those that bring one of the `tokens` of their gateway,
        sidecars of `applications` all. What was watched before, and is not named, is reported no more.
        """
        self._edges.watch(tokens)
        self._watched = applications
        for realm in self._realms.values():
            realm.sidecars.watch(applications)

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
            agreement.check(node, parsed, self._places, self._open.mesh)
        return self.view(parsed, node.incremental, node.identity is not None)

    def view(self, node: AnyNode, incremental: bool = True, known: bool = False) -> NodeView:
        """The view of a node, to be released. `incremental`: its stream speaks the delta variant. known: a
        certificate says who it is.
        """
        realm = self._realm(self.plan.callers.closed_to(_caller(node)))
        if isinstance(node, EdgeNode):
            made: NodeView = self._edges.view(node, known, realm.endpoints.collection)
        elif isinstance(node, GrpcNode):
            made = realm.grpc_clients.view(node)
        else:
            made = realm.sidecars.view(node, incremental)
        realm.views.add(made)
        return made


def _caller(node: AnyNode) -> str:
    """Who calls: with certificates that is what they say, whatever else stands in the node's metadata."""
    return gateway_caller(node.gateway) if isinstance(node, EdgeNode) else node.application
