"""Which lane is inherited where several have one tag, and what is warned about."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions, Key
from controlplane.model.parsing import parse_documents
from controlplane.plan.inheritance import ended_inheritance, inherited
from controlplane.plan.lanes import LaneMeaning, enabled_lanes
from controlplane.plan.warnings import warnings
from controlplane.registry.names import resolve
from controlplane.registry.types import Instance, Protocol, Service
from controlplane.snapshot.lanes import KnownLanes


def lane(
    name: str, *applications: str, strict: tuple[str, ...] = (), inherit: bool = True, tag: str = "gray"
) -> LaneMeaning:
    return LaneMeaning(
        name, f"g-{name}", tag, frozenset(applications), frozenset(strict), inherit, order=applications
    )


def test_lanes_that_take_the_same_way_are_inherited() -> None:
    lanes = [lane("share", "users", "audit"), lane("gray", "users", "audit"), lane("other", "users", tag="x")]
    found = inherited(lanes, "users", "gray")
    assert found.lane is lanes[1]
    assert found.reason == "the first by name of lanes gray, share, which have tag gray and take the same way"
    assert not ended_inheritance({one.name: one for one in lanes})
    assert inherited(lanes, "orders", "gray").lane is None
    assert inherited(lanes, "users", None).lane is None


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lane("share", "users"), "only one of groups g-gray and g-share has audit"),
        (lane("share", "users", "audit", "b"), "only one of groups g-gray and g-share has b"),
        (
            lane("share", "users", "audit", strict=("audit",)),
            "gray and share differ in the fallback of audit",
        ),
        (lane("share", "users", "audit", inherit=False), "group g-share says inherit_tag: false"),
    ],
)
def test_lanes_that_differ_end_inheritance_with_a_warning(other: LaneMeaning, why: str) -> None:
    lanes = {"gray": lane("gray", "users", "audit"), "share": other}
    found = inherited(lanes.values(), "users", "gray")
    assert (found.lane, found.ended) == (None, True)
    assert why in found.reason
    warned = ended_inheritance(lanes)
    assert all(
        "users" in text and "are base: " in text and why in text
        for texts in warned.values()
        for text in texts
    )
    assert set(warned) == ({"gray", "share"} if other.inherit_tag else {"gray"})


applications = st.sets(st.sampled_from("abc"), min_size=1).map(lambda found: tuple(sorted(found)))
lanes_of_one_tag = st.lists(
    st.tuples(applications, st.sets(st.sampled_from("abc")), st.booleans()).map(
        lambda made: (made[0], made[1] & set(made[0]), made[2])
    ),
    max_size=4,
)


@given(lanes_of_one_tag, st.sampled_from("abc"))
def test_what_is_inherited_takes_the_way_of_every_lane_that_has_the_tag(made: Any, application: str) -> None:
    lanes = {
        str(number): lane(str(number), *apps, strict=tuple(sorted(strict)), inherit=inherit)
        for number, (apps, strict, inherit) in enumerate(made)
    }
    found = inherited(lanes.values(), application, "gray")
    claims = [one for one in lanes.values() if application in one.applications]
    alike = all(one.same_way(claims[0]) and one.inherit_tag for one in claims)
    assert found == inherited(reversed([*lanes.values()]), application, "gray")
    assert (found.lane is not None) == (bool(claims) and alike)
    warned = {
        name for name, texts in ended_inheritance(lanes).items() if any(application in t for t in texts)
    }
    expected = {one.name for one in claims if one.inherit_tag} if claims and not alike else set[str]()
    assert expected <= warned


TWO = """
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A}
---
{kind: Route, gateway: edge, name: b, service: sc-B, match: {path: {prefix: /b}}}
---
{kind: LaneGroup, name: one, gateway: edge, applications: [a, b]}
---
{kind: LaneGroup, name: two, gateway: edge, applications: [a, b]}
---
kind: Lane
group: one
name: gray
tag: gray
rule: {conditions: [{source: header, name: x, operator: "==", value: "1"}]}
---
{kind: Lane, group: two, name: share, tag: gray, ratio: {percent: 10}}
"""


def defined(text: str) -> Definitions:
    return Definitions().apply(parse_documents(text.encode())).definitions


def known(now: Definitions) -> dict[str, LaneMeaning]:
    return dict(enabled_lanes(now))


def test_a_lane_that_ends_is_not_inherited_while_another_takes_the_same_way() -> None:
    both = defined(TWO)
    lanes = KnownLanes()
    lanes.publish(both, known(both))
    assert (found := lanes.default("a", "gray")) is not None
    assert found.name == "gray"
    off = both.put(both.lanes["gray"].model_copy(update={"enabled": False}))
    assert lanes.publish(off, known(both)).tags == {"gray"}  # still known, for it drains
    assert (found := lanes.default("a", "gray")) is not None
    assert found.name == "share"
    none = off.put(both.lanes["share"].model_copy(update={"enabled": False}))
    lanes.publish(none, known(both))
    assert lanes.default("a", "gray") is not None


def service(name: str, *tags: str | None, protocol: Protocol = Protocol.UNKNOWN) -> Service:
    instances = tuple(
        Instance(f"10.0.0.{n}", 80, tag, application=name[-1].lower()) for n, tag in enumerate(tags, 1)
    )
    return Service(f"file///{name}", "file", name, instances, protocol=protocol)


def test_a_service_without_base_is_warned_about_where_routes_and_callers_find_none() -> None:
    services = {one.id: one for one in (service("sc-A", "1.0", "1.1"), service("sc-B", None, "1.1"))}
    now = defined(TWO)
    found = warnings(now, services, lambda name: resolve(services, name), 0.0)
    (route,) = found.of(Key("Route", "edge", "a"))
    assert route == "service file///sc-A has no base instance: requests without a lane get 503"
    assert found.of(Key("Route", "edge", "b")) == ()
    (group,) = found.of(Key("LaneGroup", "", "one"))
    assert "service file///sc-A of application a has no base instance" in group
    said = found.services["file///sc-A"]
    assert "all have a tag (1.0, 1.1)" in said[0]
    assert said[1:] == ("route a of gateway edge leads here",)
    assert "file///sc-B" not in found.services


@pytest.mark.parametrize("one", [service("sc-A"), service("sc-A", "gray", protocol=Protocol.TCP)])
def test_what_is_not_warned_about(one: Service) -> None:
    found = warnings(defined(TWO), {one.id: one}, lambda name: resolve([one.id], name), 0.0)
    texts = [text for told in found.definitions.values() for text in told]
    assert not any("has no base" in text or "are base" in text for text in texts)
    assert found.services == {}


def test_a_second_lane_is_warned_about_on_both_lanes() -> None:
    whole = "name: two, gateway: edge, applications: [a, b]"
    now = defined(TWO.replace(whole, whole.replace("[a, b]", "[a]")))
    found = warnings(now, {}, lambda name: name, 0.0)
    assert set(found.definitions) == {Key("Lane", "one", "gray"), Key("Lane", "two", "share")}
    off = now.put(now.lanes["share"].model_copy(update={"enabled": False}))
    assert not warnings(off, {}, lambda name: name, 0.0).definitions
