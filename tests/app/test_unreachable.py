"""What is said of lanes whose instances are registered and do not answer."""

from __future__ import annotations

import pytest

from controlplane.app.unreachable import Unreachable
from controlplane.model.definitions import Definitions
from controlplane.model.kinds import Key
from controlplane.model.parsing import parse_documents
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.planner import Plan, Planner
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Health, Instance, Service
from controlplane.traffic import series
from controlplane.traffic.figures import Traffic
from controlplane.traffic.meter import Meter
from controlplane.traffic.series import Key as Of
from controlplane.traffic.table import Table

DOCUMENTS = b"""
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [app]}
---
{kind: Lane, group: g, name: gray, tag: gray,
 rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}}
"""
SLOT = 1_000
GRAY = Key("Lane", "g", "gray")


class World:
    def __init__(self, *instances: Instance) -> None:
        self.now = float(SLOT * series.SLOT + series.SLOT)
        self.table = Table()
        meter = Meter(self.table, lambda *_: None, ("", "", ""), lambda: self.now)
        self.unreachable = Unreachable(Traffic(self.table, meter))
        self.definitions = Definitions().apply(parse_documents(DOCUMENTS)).definitions
        self.plan = self.planned(*instances)

    def planned(self, *instances: Instance) -> Plan:
        known = enabled_lanes(self.definitions)
        services = {"file///s": Service("file///s", "file", "s", instances=instances)}
        return Planner().plan(
            self.definitions, Deployed(known, frozenset(known)), services, lambda name: name
        )

    def count(self, requests: int, fallbacks: int, tag: str = "base") -> None:
        counted = [(series.REQUESTS, requests), (series.FALLBACKS, fallbacks)]
        self.table.of(Of("outbound", "", "", "file///s", "app", "gray", tag)).add(SLOT, counted)

    def said(self) -> tuple[str, ...]:
        return self.unreachable.texts(self.plan, self.definitions).get(GRAY, ())


def instance(tag: str | None, health: Health = Health.HEALTHY, number: int = 1) -> Instance:
    return Instance("10.0.0.1", number, tag=tag, application="app", health=health)


@pytest.mark.parametrize(
    ("requests", "fallbacks", "said"),
    [(20, 20, True), (5, 5, True), (4, 4, False), (1000, 9, False), (1000, 10, True), (20, 0, False)],
)
def test_fallbacks_that_are_no_accident(requests: int, fallbacks: int, said: bool) -> None:
    world = World(instance(None), instance("gray", number=2))
    world.count(requests, fallbacks)
    text = "observed in the last minute: base answered for file///s, although 10.0.0.1:2 is registered"
    assert world.said() == ((text,) if said else ())


@pytest.mark.parametrize("tagged", [(), (instance("gray", Health.UNHEALTHY, 2),)])
def test_nothing_where_base_answers_as_it_should(tagged: tuple[Instance, ...]) -> None:
    world = World(instance(None), *tagged)
    world.count(20, 20)
    assert world.said() == ()


def test_it_ends_a_minute_later() -> None:
    world = World(instance(None), instance("gray", number=2))
    world.count(20, 20)
    assert world.said()
    assert world.said() is world.said()
    world.now += 60
    assert world.said() == ()


def test_it_ends_with_the_instance() -> None:
    world = World(instance(None), instance("gray", number=2))
    world.count(20, 20)
    assert world.said()
    world.plan = world.planned(instance(None))
    assert world.said() == ()
