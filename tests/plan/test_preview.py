"""What is said of a lane and of a request: by the plan that is served, with fallbacks as proxies do them."""

from __future__ import annotations

from dataclasses import replace

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.plan.lanes import enabled_lanes, meaning_of
from controlplane.plan.planner import Plan, Planner
from controlplane.plan.preview import explain, matches
from controlplane.plan.request import Request
from controlplane.plan.rollout import Deployed, first_step
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Health, Instance, Service

DOCUMENTS = """
kind: Gateway
name: edge
listeners: [{port: 8080}]
---
{kind: Route, gateway: edge, name: a, match: {path: {prefix: /a}}, service: sc-A}
---
{kind: LaneGroup, name: flow, gateway: edge, applications: [b, a]}
---
kind: Lane
group: flow
name: gray
tag: gray
fallback: {b: none}
rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}
"""
GRAY = Request("GET", "x", "/a", (("canary", "gray"),))
A = Service(
    "file///sc-A",
    "file",
    "sc-A",
    (Instance("127.0.1.1", 20001, None, "a"), Instance("127.0.1.2", 20001, "gray", "a")),
)
B = Service("file///sc-B", "file", "sc-B", (Instance("127.0.1.3", 20002, None, "b"),))
DEFINITIONS = Definitions().apply(parse_documents(DOCUMENTS.encode())).definitions


def planned(definitions: Definitions, deployed: Deployed, *services: Service) -> Plan:
    known = {one.id: one for one in services}
    return Planner().plan(definitions, deployed, known, ServiceNames(known).resolve)


def served(definitions: Definitions, *services: Service) -> Plan:
    lanes = enabled_lanes(definitions)
    return planned(definitions, Deployed(lanes, frozenset(lanes)), *services)


def test_a_lane_without_fallback_is_refused_and_the_others_fall_back() -> None:
    dead = replace(A, instances=tuple(replace(one, health=Health.UNHEALTHY) for one in A.instances))
    plan = served(DEFINITIONS, dead, B)
    first, second = explain(plan, "edge", GRAY).hops
    assert (first.application, first.refused, first.fallback, first.instances) == ("b", True, False, ())
    assert (second.application, second.fallback, second.tag) == ("a", True, None)
    assert [one.address for one in second.instances] == ["127.0.1.1"], "base fails open"
    (_, [match]), _ = matches(plan, meaning_of(DEFINITIONS, "gray"))
    assert (match.service, match.tagged, match.fallback, match.strict) == ("file///sc-B", (), True, True)


def test_while_a_lane_is_moved_it_is_explained_as_the_edge_does_it() -> None:
    """Its colour still means the old tag at sidecars, so the edge gives it to nobody."""
    before = Deployed(enabled_lanes(DEFINITIONS), frozenset({"gray"}))
    moved = DEFINITIONS.put(DEFINITIONS.lanes["gray"].model_copy(update={"tag": "blue"}))
    draining = planned(moved, first_step(before, enabled_lanes(moved), ()), A, B)
    now = explain(draining, "edge", GRAY)
    assert (now.decision.lane, [one.tag for one in now.hops]) == (None, [None])
    assert explain(served(moved, A, B), "edge", GRAY).decision.lane == "gray"


def test_a_lane_that_was_deleted_is_explained_until_it_is_published() -> None:
    gone = DEFINITIONS.delete("LaneGroup", "flow")
    before = Deployed(enabled_lanes(DEFINITIONS), frozenset({"gray"}))
    assert explain(planned(gone, before, A, B), "edge", GRAY).decision.lane is None


def test_hops_whose_calls_take_the_lane_of_their_trace() -> None:
    """They are those of all applications of the group that says so, whichever group the lane is of."""
    more = "---\n{kind: LaneGroup, name: more, gateway: edge, applications: [b], colour_by_trace: true}\n"
    more += "---\n{kind: Lane, group: more, name: red, tag: red, enabled: ENABLED, "
    more += 'rule: {conditions: [{source: header, name: canary, operator: "==", value: red}]}}\n'
    for enabled in (True, False):
        documents = (DOCUMENTS + more.replace("ENABLED", str(enabled).lower())).encode()
        definitions = Definitions().apply(parse_documents(documents)).definitions
        found = explain(served(definitions, A, B), "edge", GRAY).hops
        assert [(hop.application, hop.by_trace) for hop in found] == [("b", enabled), ("a", False)]
