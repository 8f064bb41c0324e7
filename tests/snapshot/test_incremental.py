"""What changes made of the snapshot step by step is what one makes from nothing, byte for byte.

Definitions of every kind, lanes that are switched and rolled out in steps, services and instances, and nodes
of every role come, change and go in any order. After each publication every view is compared with that of a
publisher which has only ever seen the present state: for a proxy that connects to another control plane, or
to this one after a restart, nothing may change. At the end all is taken away, and nothing may be left.

LANEWAY_SNAPSHOT_EXAMPLES makes a longer run (default: 60 sequences, and 400 in `make test-mesh`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck as Unhealthy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controlplane.model.definitions import AnyKind, Definitions, Key
from controlplane.model.problems import DefinitionError
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.rollout import Deployed, ending, first_step, second_step
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Service
from controlplane.snapshot.nodes import AnyNode, GrpcNode, SidecarNode
from controlplane.snapshot.publisher import Publisher
from controlplane.snapshot.view import NodeView
from controlplane.translate.outbound import outbound_routes
from controlplane.translate.sidecar import OwnService, Sidecar
from controlplane.xds.resource import CLUSTER, LISTENER, VIRTUAL_HOST
from controlplane.xds.resources import Collection
from tests.snapshot.strategies import (
    BEGINNING,
    HOSTS,
    IDS,
    LANES,
    NAMES,
    documents,
    few,
    keys,
    nodes,
    services,
    services_of,
)

EXAMPLES = int(os.environ.get("LANEWAY_SNAPSHOT_EXAMPLES", "60"))
EVERYTHING_ON_DEMAND, NOTHING_ON_DEMAND = -1, 1_000_000


@dataclass
class Connected:
    """A node with its view and what it has asked for."""

    node: AnyNode
    incremental: bool
    view: NodeView
    asked: set[str] = field(default_factory=set)


class Incremental(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.definitions = Definitions()
        self.deployed = Deployed()
        self.services: Mapping[str, Service] = {}
        self.names = ServiceNames()
        self.connected: list[Connected] = []
        self.published = True

    @initialize(
        limit=few((EVERYTHING_ON_DEMAND, NOTHING_ON_DEMAND)),
        found=st.tuples(*(services_of(id_) for id_ in IDS)),
        here=st.lists(st.tuples(nodes, st.booleans()), min_size=2, max_size=5),
        empty=few((True, False, False, False)),
    )
    def start(
        self, limit: int, found: tuple[Service, ...], here: list[tuple[AnyNode, bool]], empty: bool
    ) -> None:
        """Begin where something is defined, deployed and registered, so that few steps meet each other."""
        self.limit = limit
        self.publisher = Publisher(limit)
        if not empty:
            self.definitions = BEGINNING
            known = enabled_lanes(BEGINNING)
            self.deployed = Deployed(known, frozenset(known))
            self.services = {one.id: one for one in found}
        self.publish()
        for node, incremental in here:
            self.connect(node, incremental)
            if self.connected[-1].view.on_demand:
                self.ask_of(self.connected[-1], range(len(HOSTS)))

    def publish(self) -> None:
        self.names = ServiceNames(self.services)
        self.publisher.publish(self.definitions, self.deployed, self.services, self.names.resolve)
        self.published = True

    def changed(self, at_once: bool) -> None:
        """Something has changed that is published at once, or with the next change."""
        self.published = False
        if at_once:
            self.publish()

    # Definitions, as the store and the rollout bring them.

    @rule(puts=st.lists(documents, min_size=1, max_size=3), at_once=st.booleans())
    def put(self, puts: list[AnyKind], at_once: bool) -> None:
        for document in puts:
            try:
                self.definitions = self.definitions.put(document)
            except DefinitionError:
                continue
        self.changed(at_once)

    @rule(key=keys, at_once=st.booleans())
    def delete(self, key: Key, at_once: bool) -> None:
        try:
            self.definitions = self.definitions.change([], [key])
        except DefinitionError:
            return
        self.changed(at_once)

    @precondition(lambda self: self.definitions.lanes)
    @rule(data=st.data(), at_once=st.booleans())
    def switch(self, data: st.DataObject, at_once: bool) -> None:
        lane = data.draw(few(sorted(self.definitions.lanes.values(), key=lambda lane: lane.name)))
        try:
            self.definitions = self.definitions.put(lane.model_copy(update={"enabled": not lane.enabled}))
        except DefinitionError:
            return
        self.changed(at_once)

    @rule(drained=st.sets(few(LANES)))
    def first_step(self, drained: set[str]) -> None:
        wanted = enabled_lanes(self.definitions)
        self.deployed = first_step(self.deployed, wanted, drained & ending(self.deployed, wanted))
        self.publish()

    @rule()
    def second_step(self) -> None:
        self.deployed = second_step(self.deployed, enabled_lanes(self.definitions))
        self.publish()

    # What registries say.

    @rule(found=st.lists(services, min_size=1, max_size=2), at_once=st.booleans())
    def register(self, found: list[Service], at_once: bool) -> None:
        self.services = {**self.services, **{one.id: one for one in found}}
        self.changed(at_once)

    @precondition(lambda self: self.services)
    @rule(data=st.data(), at_once=st.booleans())
    def deregister(self, data: st.DataObject, at_once: bool) -> None:
        gone = data.draw(few(sorted(self.services)))
        self.services = {id_: one for id_, one in self.services.items() if id_ != gone}
        self.changed(at_once)

    # Nodes.

    @rule(node=nodes, incremental=st.booleans())
    def connect(self, node: AnyNode, incremental: bool) -> None:
        self.connected.append(Connected(node, incremental, self.publisher.view(node, incremental)))

    @precondition(lambda self: self.connected)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        gone = data.draw(few(range(len(self.connected))))
        self.connected.pop(gone).view.release()

    @precondition(lambda self: any(one.view.on_demand for one in self.connected))
    @rule(data=st.data(), asked=st.lists(few(range(len(HOSTS))), min_size=1, max_size=3))
    def ask(self, data: st.DataObject, asked: list[int]) -> None:
        self.ask_of(data.draw(few([one for one in self.connected if one.view.on_demand])), asked)

    def ask_of(self, one: Connected, asked: Iterable[int]) -> None:
        if isinstance(one.node, SidecarNode):
            names = {f"{outbound_routes(one.node.place.proxy)}/{HOSTS[number]}" for number in asked}
            one.view.wanted(VIRTUAL_HOST, names)
        else:
            names = {NAMES[number % len(NAMES)] for number in asked}
            one.view.wanted(LISTENER, names)
        one.asked |= names

    # What must hold.

    @invariant()
    def equals_one_made_from_nothing(self) -> None:
        if not self.published:
            return
        fresh = Publisher(self.limit)
        fresh.publish(self.definitions, self.deployed, self.services, self.names.resolve)
        again = [came_back(fresh, one) for one in self.connected]
        for one, view in zip(self.connected, again, strict=True):
            assert shown(one.view) == shown(view), one.node
            assert one.view.warnings() == view.warnings(), one.node
        # What is kept of services and lanes for whoever connects next.
        late = [
            publisher.view(SidecarNode("a", "t1", HERE, None), False) for publisher in (self.publisher, fresh)
        ]
        assert shown(late[0]) == shown(late[1])
        late[0].release()

    def teardown(self) -> None:
        if not hasattr(self, "publisher"):
            return
        while self.connected:
            self.connected.pop().view.release()
        self.definitions, self.deployed, self.services = Definitions(), Deployed(), {}
        self.publish()
        empty = Publisher(self.limit)
        empty.publish(self.definitions, self.deployed, self.services, self.names.resolve)
        assert census(self.publisher) == census(empty)


HERE = Sidecar("10.0.0.1", "10.0.0.1", "127.0.0.1", True, (OwnService("a", 80, 1080),))


def came_back(publisher: Publisher, one: Connected) -> NodeView:
    """The view of the same node at another publisher, which it tells what it has and what it asks for."""
    view = publisher.view(one.node, one.incremental)
    if isinstance(one.node, GrpcNode):
        view.wanted(LISTENER, one.asked)
    elif view.on_demand:
        view.wanted(CLUSTER, names(one.view.of(CLUSTER)))
        view.wanted(VIRTUAL_HOST, {*names(one.view.of(VIRTUAL_HOST)), *one.asked})
    return view


def names(parts: Iterable[Collection]) -> list[str]:
    return [name for part in parts for name in part.names()]


def shown(view: NodeView) -> dict[str, Any]:
    """By type: the version, and by name the bytes, the version and the aliases of every resource."""
    found: dict[str, Any] = {}
    for type_url, parts in view.collections.items():
        resources = [one for part in parts for one in part]
        assert len({one.name for one in resources}) == len(resources), "a name comes twice"
        found[type_url] = (
            view.version(type_url),
            {one.name: (one.body, one.version, one.aliases) for one in resources},
        )
    return found


def census(root: object) -> dict[str, int]:
    """The sizes of everything that is kept below `root`, by where it is; what is empty is left out."""
    found: dict[str, int] = {}
    seen: set[int] = set()

    def walk(value: object, path: str) -> None:
        if id(value) in seen or isinstance(value, str | bytes | int | float | type):
            return
        seen.add(id(value))
        if isinstance(value, Collection):
            found[path] = len(value)
        elif isinstance(value, Mapping):
            found[path] = found.get(path, 0) + len(value)
            for one in value.values():
                walk(one, f"{path}[]")
        elif isinstance(value, set | frozenset | list | tuple):
            found[path] = found.get(path, 0) + len(value)
            for one in value:
                walk(one, f"{path}[]")
        elif type(value).__module__.startswith("controlplane."):
            named = [one.name for one in fields(value)] if is_dataclass(value) else []
            slots = [slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ())]
            for name in {*getattr(value, "__dict__", {}), *slots, *named}:
                walk(getattr(value, name, None), f"{path}.{name}")

    walk(root, "")
    return {path: size for path, size in found.items() if size}


class Longer(Incremental):
    """The same, for `make test-mesh`."""


COMMON = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[Unhealthy.too_slow, Unhealthy.data_too_large, Unhealthy.filter_too_much],
)
TestIncremental = Incremental.TestCase
TestIncremental.settings = COMMON
TestLonger = pytest.mark.mesh(pytest.mark.timeout(600)(Longer.TestCase))
TestLonger.settings = settings(COMMON, max_examples=max(EXAMPLES, 400))
