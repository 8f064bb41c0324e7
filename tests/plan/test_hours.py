"""Warnings about lanes with times: nothing of lanes that are never open together, and when what holds."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.parsing import parse_document
from controlplane.model.time_fields import DAYS
from controlplane.model.times import phase
from controlplane.model.together import covers, together
from controlplane.plan.moves import moved
from controlplane.plan.warnings import warnings

BERLIN = "Europe/Berlin"
DAY = {"hours": "09:00-17:00", "time_zone": BERLIN}
NIGHT = {"hours": "17:00-09:00", "time_zone": BERLIN}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


NOON, EVENING = at("2026-03-27T12:00:00+01:00"), at("2026-03-27T20:00:00+01:00")


def lane(name: str = "one", of: str = "g1", value: str = "gray", **more: Any) -> Lane:
    rule = {"conditions": [{"source": "header", "name": "x", "operator": "==", "value": value}]}
    document = {"kind": "Lane", "group": of, "name": name, "tag": name, "rule": rule, **more}
    made = parse_document(document).document
    assert isinstance(made, Lane)
    return made


def defined(*lanes: Lane) -> Definitions:
    documents: list[dict[str, Any]] = [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": 80}]},
        {"kind": "Route", "gateway": "edge", "name": "a", "service": "sc-A"},
        *({"kind": "LaneGroup", "name": g, "gateway": "edge", "applications": [g]} for g in ("g1", "g2")),
    ]
    found = Definitions().apply([parse_document(one) for one in documents]).definitions
    for one in lanes:
        found = found.put(one)
    return found


def told(now: float, *lanes: Lane) -> dict[str, list[str]]:
    found = warnings(defined(*lanes), {}, lambda name: name, now).definitions
    return {key.name: list(texts) for key, texts in found.items()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"schedule": DAY}, {"schedule": NIGHT}),
        ({"schedule": {**DAY, "days": ["mon"]}}, {"schedule": {**DAY, "days": ["tue"]}}),
        ({"until": "2026-04-01T00:00:00Z"}, {"from": "2026-04-01T00:00:00Z"}),
        ({"schedule": DAY}, {"until": "2026-03-27T09:00:00+01:00"}),
        ({"schedule": DAY}, {"schedule": {"hours": "17:00-22:00", "time_zone": "Africa/Lagos"}}),
    ],
)
def test_lanes_that_are_never_open_together_are_no_overlap(one: Any, other: Any) -> None:
    for now in (NOON, EVENING):
        assert told(now, lane("one", **one), lane("other", "g2", **other)) == {}
        assert told(now, lane("one", **one), lane("other", **other)) == {}


def test_what_holds_later_says_from_when() -> None:
    begins = "2026-04-01T09:00:00+02:00"
    lanes = lane("one", schedule=DAY), lane("other", "g2", **{"from": begins, "priority": 200})
    found = told(NOON, *lanes)
    (text,) = found["one"]
    ends = "2026-04-01T17:00:00+02:00"
    assert text.startswith(
        f"from {begins} until {ends}: lane other of group g2 matches some of the same requests; "
    )
    assert f"lane one gets, for example: laneway explain --gateway edge --at {begins} " in text
    now = told(at(begins), *lanes)["one"][0]
    assert now.startswith("lane other of group g2 matches some of the same requests; lane one gets, for")


def test_the_lane_that_gets_the_witness_is_one_that_is_open_then() -> None:
    first = lane("first", schedule=NIGHT, priority=1)
    found = told(NOON, first, lane("one", priority=2), lane("other", "g2", priority=3))
    assert any("requests; lane one gets, for example" in text for text in found["one"])
    (closed,) = (text for text in found["other"] if "lane first" in text)
    assert closed.startswith("from 2026-03-27T17:00:00+01:00 until 2026-03-28T09:00:00+01:00: lane first")
    assert "lane first gets, for example" in closed


def test_a_lane_is_hidden_while_the_earlier_one_is_open() -> None:
    day, one = lane("day", schedule=DAY, priority=1), lane("one", priority=2)
    (text,) = told(NOON, day, one)["one"]
    assert text.startswith(
        "until 2026-03-27T17:00:00+01:00: no request reaches this lane: lane day takes all"
    )
    (text,) = told(EVENING, day, one)["one"]
    assert text.startswith(
        "from 2026-03-28T09:00:00+01:00 until 2026-03-28T17:00:00+01:00: no request reaches this lane: "
    )
    covered = lane("one", priority=2, schedule={**DAY, "hours": "10:00-12:00"})
    (text,) = told(NOON, day, covered)["one"]
    assert text.startswith("no request reaches this lane: lane day takes all")
    always = lane("always", priority=3)
    (text,) = told(NOON, day, one, always)["always"]
    assert text.startswith("no request reaches this lane: lane one takes all")
    begins = lane("begins", priority=1, **{"from": "2026-04-01T00:00:00Z"})
    (text,) = told(NOON, begins, one)["one"]
    assert text.startswith(
        "from 2026-04-01T00:00:00Z on: no request reaches this lane: lane begins takes all"
    )


def test_lanes_of_one_tag_end_inheritance_only_where_they_are_open_together() -> None:
    def found(now: float, **more: Any) -> list[str]:
        both = lane("one", value="a", schedule=DAY), lane("other", "g2", "b", **more)
        same = [one.model_copy(update={"tag": "gray"}) for one in both]
        groups = defined(*same)
        shared = [{"kind": "LaneGroup", "name": "g2", "gateway": "edge", "applications": ["g1", "g2"]}]
        definitions = groups.apply([parse_document(one) for one in shared]).definitions
        return list(warnings(definitions, {}, lambda name: name, now).of(Key("Lane", "g1", "one")))

    assert found(NOON, schedule=NIGHT) == []
    assert found(NOON)[0].startswith("calls without a lane from instances of g1")
    assert found(EVENING)[0].startswith(
        "from 2026-03-28T09:00:00+01:00 until 2026-03-28T17:00:00+01:00: calls"
    )


def test_what_a_change_moves_later_says_from_when() -> None:
    before, after = defined(), defined(lane("one", schedule=DAY))
    (move,) = moved(before, after, NOON).moves
    assert (move.after.lane, move.since) == ("one", "")
    (move,) = moved(before, after, EVENING).moves
    assert (move.after.lane, move.since) == ("one", "2026-03-28T09:00:00+01:00")
    over = defined(lane("one", until="2026-03-27T10:00:00+01:00"))
    assert moved(before, over, NOON).moves == ()
    later = defined(lane("one", schedule={**DAY, "hours": "09:00-18:00"}))
    (move,) = moved(after, later, NOON).moves
    assert (move.before.lane, move.after.lane, move.since) == (None, "one", "2026-03-27T17:00:00+01:00")


quarters = st.integers(0, 95).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
schedules = st.fixed_dictionaries(
    {
        "days": st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True),
        "hours": st.tuples(quarters, quarters).filter(lambda x: x[0] != x[1]).map("-".join),
        "time_zone": st.sampled_from([BERLIN, BERLIN, "UTC", "America/New_York"]),
    }
)


def transitions(of: Lane, now: float, days: int) -> list[float]:
    found, until = [now], phase(of, now).until
    while until is not None and until < now + days * 86_400:
        found.append(until)
        until = phase(of, until).until
    return found


@given(schedules, schedules, st.sampled_from(["2026-03-27", "2026-10-23", "2026-07-01"]))
def test_as_looking_at_each_moment_finds(one: Any, other: Any, day: str) -> None:
    """For a month, over both changes of summer time: each moment at which one of them opens or closes."""
    lanes, now = (lane("one", schedule=one), lane("other", schedule=other)), at(f"{day}T00:00:00Z")
    moments = sorted({t for x in lanes for t in transitions(x, now, 30)})
    both = [t for t in moments if all(phase(x, t).open for x in lanes)]
    first = together(lanes, now)
    assert first == (both[0] if both else first)
    assert not both or first is not None
    if first is not None:
        assert all(phase(x, first).open for x in lanes)
    if covers(*lanes, now):
        assert all(phase(lanes[0], t).open for t in moments if phase(lanes[1], t).open)
    elif one["time_zone"] == other["time_zone"]:
        weeks = [(a + b) / 2 for a, b in pairwise(transitions(lanes[1], now, 30))]
        assert any(not phase(lanes[0], t).open for t in [*moments, *weeks] if phase(lanes[1], t).open)
