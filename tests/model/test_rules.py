"""Rules across documents: references, modes, shares, slots in documents, and what follows from a deletion."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions
from controlplane.model.export import export
from controlplane.model.parsing import parse_document, parse_documents
from controlplane.model.problems import DefinitionError

BASE = """
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A}
---
{kind: Route, gateway: edge, name: b, service: sc-B}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [x, y]}
---
{kind: LaneGroup, name: h, gateway: edge, applications: [x]}
"""


def base() -> Definitions:
    return Definitions().apply(parse_documents(BASE.encode())).definitions


def lane(name: str = "one", group: str = "g", **fields: Any) -> Any:
    if "ratio" in fields and not isinstance(fields["ratio"], dict):
        fields["ratio"] = {"percent": fields["ratio"]}
    if "ratio" not in fields:
        condition = {"source": "header", "name": "canary", "operator": "==", "value": "x"}
        fields = {"rule": {"conditions": [condition]}} | fields
    return parse_document({"kind": "Lane", "group": group, "name": name, "tag": name} | fields)


def refused(now: Definitions, parsed: Any, status: int = 422) -> Any:
    with pytest.raises(DefinitionError) as error:
        now.put(*parsed)
    assert error.value.status == status
    return error.value.problems[0]


def test_a_lane_stays_switched_as_it_is_unless_the_document_says_otherwise() -> None:
    now = base().put(*lane()).put(*lane(enabled=False))
    assert not now.put(*lane(priority=7)).lanes["one"].enabled
    applied = now.apply([lane()])
    assert applied.unchanged == ("Lane/one",)
    assert not applied.definitions.lanes["one"].enabled
    assert now.put(*lane(enabled=True)).lanes["one"].enabled
    assert now.delete("Lane", "one").put(*lane()).lanes["one"].enabled
    assert "enabled: false" in export(now)


def test_references() -> None:
    now = base()
    assert refused(now, lane(group="no")).field == "group"
    assert refused(now, lane(routes=["a", "c"])).field == "routes[1]"
    assert refused(now, lane(ratio={"percent": 1, "routes": {"c": 2}})).field == "ratio.routes.c"
    assert refused(now, lane(fallback={"z": "none"})).field == "fallback.z"
    route = parse_document({"kind": "Route", "gateway": "no", "name": "a", "service": "s"})
    assert refused(now, route).field == "gateway"


def test_routes_leave_the_carriers_of_every_gateway_alone() -> None:
    other = {
        "kind": "Gateway",
        "name": "other",
        "listeners": [{"port": 81}],
        "carriers": {"header": "Canary"},
    }
    now = base().put(*parse_document(other))
    route = {"kind": "Route", "gateway": "edge", "name": "a", "service": "sc-A"}
    for change, field in (
        ({"headers": {"request": {"set": {"canary": "x"}}}}, "headers.request.set.canary"),
        ({"headers": {"request": {"remove": ["x-a", "CANARY"]}}}, "headers.request.remove[1]"),
        ({"match": {"headers": [{"name": "canary", "value": "x"}]}}, "match.headers[0].name"),
    ):
        assert refused(now, parse_document({**route, **change})).field == field
    allowed = {**route, "headers": {"response": {"set": {"canary": "x"}}}}
    assert now.put(*parse_document(allowed))


def test_conditions_on_carriers_are_refused_whichever_changes() -> None:
    now = base()
    for name in ("X-Lane", "baggage"):
        condition = {"source": "header", "name": name, "operator": "==", "value": "x"}
        assert refused(now, lane(rule={"conditions": [condition]})).field == "rule.conditions[0].name"
    assert (
        refused(now, lane(ratio={"percent": 1, "sticky": {"header": "x-lane"}})).field
        == "ratio.sticky.header"
    )
    gateway = {
        "kind": "Gateway",
        "name": "edge",
        "listeners": [{"port": 80}],
        "carriers": {"header": "Canary"},
    }
    problem = refused(now.put(*lane()), parse_document(gateway))
    assert problem.document == "Lane/one"
    problem = refused(now.put(*lane()), parse_document({**gateway, "name": "another"}))
    assert problem.document == "Lane/one"


def test_a_group_has_one_mode() -> None:
    now = base().put(*lane())
    assert refused(now, lane("two", ratio=5)).field == "ratio"
    assert now.put(*lane(ratio=5)).lanes["one"].mode == "ratio"  # its only lane may change it
    assert now.put(*lane("two", "h", ratio=5))


def test_names_are_unique_over_groups() -> None:
    assert "group g" in refused(base().put(*lane()), lane(group="h"), 409).message


def test_shares_over_all_groups() -> None:
    now = base().put(*lane(ratio=60))
    problem = refused(now, lane("two", "h", ratio=40.01))
    for word in ("route a", "gateway edge", "100.01 %", "one 60 %", "two 40.01 %"):
        assert word in problem.message
    assert now.put(*lane("two", "h", ratio=40)).put(*lane("three", ratio=90, enabled=False))
    problem = refused(now, lane("two", "h", ratio={"percent": 10, "routes": {"b": 50}}))
    assert problem.field == "ratio.routes.b"
    assert now.put(*lane("two", "h", ratio={"percent": 90, "routes": {"a": 1}}, routes=["a"]))


def test_one_way_of_hashing_per_route() -> None:
    now = base().put(*lane(ratio={"percent": 10, "sticky": {"cookie": "s"}}))
    other = {"percent": 10, "sticky": {"header": "user"}}
    problem = refused(now, lane("two", "h", ratio=other))
    assert problem.field == "ratio.sticky"
    assert "one way only" in problem.message
    assert now.put(*lane("two", "h", ratio=10))
    assert now.put(*lane("two", "h", ratio={"percent": 10, "sticky": {"cookie": "s"}}))
    assert now.put(*lane("two", "h", ratio=other, enabled=False))
    apart = now.put(*lane(ratio={"percent": 10, "sticky": {"cookie": "s"}}, routes=["a"]))
    assert apart.put(*lane("two", "h", ratio=other, routes=["b"]))


def test_deletions() -> None:
    now = base().put(*lane(ratio=10, routes=["a"]))
    for kind, key, status in (
        ("Gateway", "edge", 409),
        ("Route", ("edge", "a"), 409),
        ("Route", ("edge", "z"), 404),
        ("Lane", "none", 404),
    ):
        with pytest.raises(DefinitionError) as error:
            now.delete(kind, key)
        assert error.value.status == status
    assert ("edge", "b") not in now.delete("Route", ("edge", "b")).routes
    empty = now.delete("LaneGroup", "g")
    assert not empty.lanes
    assert not empty.slots
    gone = empty.delete("LaneGroup", "h").delete("Gateway", "edge")
    assert gone == Definitions()


def test_a_group_moves_to_another_gateway_only_while_it_is_empty() -> None:
    now = base().put(*parse_document({"kind": "Gateway", "name": "other", "listeners": [{"port": 1}]}))
    moved = parse_document({"kind": "LaneGroup", "name": "g", "gateway": "other", "applications": ["x"]})
    assert now.put(*moved).groups["g"].gateway == "other"
    assert refused(now.put(*lane()), moved, 409).field == "gateway"


def test_a_new_route_gets_slots_and_a_disabled_lane_keeps_its_own() -> None:
    now = base().put(*lane(ratio=10)).put(*lane("two", ratio=20))
    assert now.slots_of("two") == {"a": [[1000, 3000]], "b": [[1000, 3000]]}
    now = now.put(*parse_document({"kind": "Route", "gateway": "edge", "name": "c", "service": "s"}))
    assert now.slots_of("one")["c"] == [[0, 1000]]
    off = now.put(*lane("one", ratio=10, enabled=False))
    assert off.slots == now.slots
    assert off.put(*lane("one", ratio=10)).slots == now.slots


def test_stale_slots_in_a_document_do_not_move_users() -> None:
    now = base().put(*lane(ratio=10)).put(*lane("two", ratio=20))
    stale = {"slots": {"a": [[5000, 6000]], "gone": [[0, 1]]}}
    assert now.put(*lane(ratio=10, status=stale)).slots == now.slots
    fresh = now.put(*lane("three", "h", ratio=5, status={"slots": {"a": [[2900, 3400]]}}))
    assert fresh.slots_of("one") == now.slots_of("one")
    assert fresh.slots_of("three")["a"] == [[3000, 3500]]


def test_documents_that_bring_overlapping_slots_are_refused() -> None:
    both = [
        lane(name, ratio=10, status={"slots": {"a": [[start, start + 1000]]}})
        for name, start in (("one", 0), ("two", 500))
    ]
    with pytest.raises(DefinitionError) as error:
        base().apply(both)
    assert error.value.problems[0].field == "status.slots.a"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("uvw"), st.integers(0, 3300), st.booleans(), st.booleans()), max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_an_export_restores_the_same_definitions_in_any_order(
    changes: list[tuple[str, int, bool, bool]], shuffle: random.Random
) -> None:
    now = base()
    for name, share, enabled, limited in changes:
        fields: dict[str, Any] = {"ratio": share / 100, "enabled": enabled}
        now = now.put(*lane(name, **fields, **({"routes": ["a"]} if limited else {})))
    documents = parse_documents(export(now).encode())
    shuffle.shuffle(documents)
    again = Definitions().apply(documents)
    assert again.definitions == now
    assert export(again.definitions) == export(now)
    result = now.apply(documents)
    assert (result.created, result.changed, len(result.unchanged)) == ((), (), len(documents))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20))
def test_any_text_survives_export(text: str) -> None:
    condition = {"source": "header", "name": "canary", "operator": "in", "value": [text, "yes"]}
    now = base().put(*lane(rule={"conditions": [condition]}))
    assert Definitions().apply(parse_documents(export(now).encode())).definitions == now


def test_the_same_document_twice_is_refused() -> None:
    with pytest.raises(DefinitionError, match="twice"):
        base().apply([lane(), lane(tag="other")])


def test_a_lane_that_has_other_users_on_a_route_says_so() -> None:
    """`two` grew on b where `one` was not, then `one` came to b: the sum and whom `two` has go before it."""
    now = base().put(*lane("two", "h", ratio=60, routes=["b"])).put(*lane("one", ratio=40, routes=["a"]))
    now = now.put(*lane("two", "h", ratio={"percent": 60, "routes": {"a": 0}}))
    taken = now.slots["edge", "b"]
    crowded = now.put(*lane("one", ratio={"percent": 40}))
    free = [entry for entry in crowded.slots["edge", "b"] if entry.lane == "one"]
    same = now.slots["edge", "a"] == tuple(free)
    assert [entry for entry in crowded.slots["edge", "b"] if entry.lane == "two"] == list(taken)
    assert ("warnings" in crowded.status_of(crowded.lanes["one"])) is not same
