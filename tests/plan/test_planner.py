"""The planner: what a change touches is planned again, and nothing else."""

from __future__ import annotations

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.planner import Plan, Planner
from controlplane.plan.rollout import Deployed
from controlplane.plan.services import Target
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Instance, Protocol, Service

DOCUMENTS = """
kind: Gateway
name: edge
listeners: [{port: 8080}]
---
{kind: Route, gateway: edge, name: a, match: {path: {prefix: /a}}, service: sc-A}
---
{kind: LaneGroup, name: flow, gateway: edge, applications: [a, b]}
---
kind: Lane
group: flow
name: gray
tag: gray
rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}
"""
MORE = """
{kind: LaneGroup, name: other, gateway: edge, applications: [c]}
---
kind: Lane
group: other
name: red
tag: red
rule: {conditions: [{source: header, name: canary, operator: "==", value: red}]}
"""


def defined(*texts: str) -> Definitions:
    definitions = Definitions()
    for text in texts:
        definitions = definitions.apply(parse_documents(text.encode())).definitions
    return definitions


def service(
    name: str, *tags: str | None, port: int = 20001, protocol: Protocol = Protocol.UNKNOWN
) -> Service:
    """`name` is of the application with its last letter in lower case."""
    instances = tuple(
        Instance(f"127.0.1.{number}", port, tag, name[-1].lower(), protocol=protocol)
        for number, tag in enumerate(tags, 1)
    )
    return Service(f"file///{name}", "file", name, instances)


class World:
    """A planner with what it plans for."""

    def __init__(self, *texts: str, services: tuple[Service, ...]) -> None:
        self.planner = Planner()
        self.definitions = defined(*texts)
        self.services = {one.id: one for one in services}
        self.coloured: frozenset[str] | None = None

    def plan(self) -> Plan:
        known = enabled_lanes(self.definitions)
        coloured = frozenset(known) if self.coloured is None else self.coloured
        resolve = ServiceNames(self.services).resolve
        return self.planner.plan(self.definitions, Deployed(known, coloured), self.services, resolve)

    def put(self, one: Service) -> None:
        self.services = {**self.services, one.id: one}


@pytest.fixture
def world() -> World:
    return World(
        DOCUMENTS,
        MORE,
        services=(
            service("sc-A", None, "gray"),
            service("sc-B", None, port=20002),
            service("sc-C", None, port=20003),
        ),
    )


def test_nothing_is_planned_again_when_nothing_changed(world: World) -> None:
    before, after = world.plan(), world.plan()
    assert all(after.services[name] is plan for name, plan in before.services.items())
    assert after.gateways["edge"] is before.gateways["edge"]


def test_a_changed_service_is_the_only_one_that_is_planned_again(world: World) -> None:
    before = world.plan()
    world.put(service("sc-B", None, None, port=20002))
    after = world.plan()
    assert len(after.services["file///sc-B"].base.instances) == 2
    assert {name for name, plan in after.services.items() if plan is not before.services[name]} == {
        "file///sc-B"
    }


def test_a_lane_concerns_the_services_of_its_group_alone(world: World) -> None:
    before = world.plan()
    document = MORE.replace("tag: red", "tag: crimson")
    world.definitions = world.definitions.apply(parse_documents(document.encode())).definitions
    after = world.plan()
    assert {name for name, plan in after.services.items() if plan is not before.services[name]} == {
        "file///sc-C"
    }
    assert after.services["file///sc-C"].lanes == {"red": Target(("c",), "crimson")}


def test_a_service_that_goes_and_comes_back_is_planned_as_before(world: World) -> None:
    before = world.plan()
    services = world.services
    world.services = {name: one for name, one in services.items() if name != "file///sc-A"}
    without = world.plan()
    assert "file///sc-A" not in without.services
    assert without.gateways["edge"].routes[0].problem
    world.services = services
    assert world.plan() == before


def test_a_tagged_instance_is_in_no_base_whether_or_not_a_lane_uses_its_tag(world: World) -> None:
    world.put(service("sc-A", None, "gray", "unused"))
    plan = world.plan().services["file///sc-A"]
    assert [one.tag for one in plan.base.instances] == [None]
    assert {target.tag: [one.tag for one in found] for target, found in plan.targets.items()} == {
        "gray": ["gray"]
    }
    assert len(plan.addresses) == 3


def test_a_disabled_lane_keeps_its_target_ready_and_routes_nothing(world: World) -> None:
    document = DOCUMENTS.replace("tag: gray", "tag: gray\nenabled: false")
    world.definitions = world.definitions.apply(parse_documents(document.encode())).definitions
    plan = world.plan().services["file///sc-A"]
    assert plan.lanes == {}
    assert [target.tag for target in plan.targets] == ["gray"]


def test_an_application_that_lists_a_service_decides_for_all_its_instances(world: World) -> None:
    world.plan()
    document = "{kind: Application, name: c, services: [sc-A]}"
    world.definitions = world.definitions.apply(parse_documents(document.encode())).definitions
    plan = world.plan().services["file///sc-A"]
    assert plan.applications == ("c",)
    assert list(plan.lanes) == ["red"]


def test_a_service_of_two_applications_is_in_the_lanes_of_both_with_the_instances_of_each(
    world: World,
) -> None:
    both = Service(
        "file///sc-X",
        "file",
        "sc-X",
        (
            Instance("127.0.1.1", 20009, None, "a"),
            Instance("127.0.1.2", 20009, "gray", "a"),
            Instance("127.0.1.3", 20009, "gray", "c"),
            Instance("127.0.1.4", 20009, "red", "c"),
        ),
    )
    world.put(both)
    plan = world.plan().services["file///sc-X"]
    assert plan.lanes == {"gray": Target(("a",), "gray"), "red": Target(("c",), "red")}
    found = {target.tag: [one.address for one in instances] for target, instances in plan.targets.items()}
    assert found == {"gray": ["127.0.1.2"], "red": ["127.0.1.4"]}


def test_lanes_do_not_route_what_is_not_http(world: World) -> None:
    world.put(service("sc-A", None, "gray", protocol=Protocol.TCP))
    plan = world.plan().services["file///sc-A"]
    assert (plan.protocol, plan.lanes, plan.targets) == (Protocol.TCP, {}, {})


def test_an_edge_chooses_only_the_lanes_that_are_rolled_out_to_it(world: World) -> None:
    assert [lane.name for lane in world.plan().gateways["edge"].routes[0].content] == ["gray", "red"]
    world.coloured = frozenset({"red"})
    assert [lane.name for lane in world.plan().gateways["edge"].routes[0].content] == ["red"]


def test_a_fallback_of_none_holds_for_the_applications_that_it_names(world: World) -> None:
    document = DOCUMENTS.replace("tag: gray", "tag: gray\nfallback: {b: none}")
    world.definitions = world.definitions.apply(parse_documents(document.encode())).definitions
    services = world.plan().services
    assert services["file///sc-A"].lanes["gray"] == Target(("a",), "gray", strict=False)
    assert services["file///sc-B"].lanes["gray"] == Target(("b",), "gray", strict=True)
