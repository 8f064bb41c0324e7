"""When lanes are open: summer time on both days of change, hours over midnight, from and until."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.documents import Lane
from controlplane.model.parsing import parse_document
from controlplane.model.problems import DefinitionError
from controlplane.model.time_fields import DAYS, instant_of
from controlplane.model.times import counts, phase

BERLIN = "Europe/Berlin"
LANE = {"kind": "Lane", "group": "g", "name": "gray", "tag": "gray"}
RULE = {"conditions": [{"source": "header", "name": "c", "operator": "==", "value": "x"}]}


def lane(**more: Any) -> Lane:
    made = parse_document({**LANE, "rule": RULE, **more}).document
    assert isinstance(made, Lane)
    return made


def weekly(hours: Any = None, days: Any = None, zone: str = BERLIN, **more: Any) -> Lane:
    schedule = {"time_zone": zone, "hours": hours, "days": days}
    return lane(schedule={k: v for k, v in schedule.items() if v is not None}, **more)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def changes(of: Lane, begin: str, number: int, zone: str = BERLIN) -> list[str]:
    """The next times at which the lane opens (+) or closes (-)."""
    found: list[str] = []
    now = at(begin)
    for _ in range(number):
        until = phase(of, now).until
        if until is None:
            return [*found, "never"]
        now = until
        found.append(("+" if phase(of, now).open else "-") + instant_of(now, zone))
    return found


def test_a_lane_without_times_is_always_open() -> None:
    assert phase(lane(), 0).open
    assert phase(lane(), 0).until is None


def test_hours_of_working_days() -> None:
    office = weekly("09:00-17:00", ["mon", "tue", "wed", "thu", "fri"])
    assert changes(office, "2026-11-27T16:00:00+01:00", 3) == [
        "-2026-11-27T17:00:00+01:00",
        "+2026-11-30T09:00:00+01:00",
        "-2026-11-30T17:00:00+01:00",
    ]
    assert phase(office, at("2026-11-27T17:00:00+01:00")).why == "it is outside of its schedule"
    assert not phase(office, at("2026-11-27T17:00:00+01:00")).open  # half-open: the end is outside
    assert phase(office, at("2026-11-27T09:00:00+01:00")).open


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    assert changes(weekly("22:00-06:00", ["fri"]), "2026-11-27T12:00:00+01:00", 3) == [
        "+2026-11-27T22:00:00+01:00",
        "-2026-11-28T06:00:00+01:00",
        "+2026-12-04T22:00:00+01:00",
    ]


def test_spans_and_days_that_meet_are_one() -> None:
    assert changes(
        weekly(["12:00-24:00", "08:00-13:00"], ["sat", "sun"]), "2026-11-27T00:00:00+01:00", 4
    ) == [
        "+2026-11-28T08:00:00+01:00",
        "-2026-11-29T00:00:00+01:00",
        "+2026-11-29T08:00:00+01:00",
        "-2026-11-30T00:00:00+01:00",
    ]
    assert changes(weekly(days=["sat", "sun"]), "2026-11-27T00:00:00+01:00", 2) == [
        "+2026-11-28T00:00:00+01:00",
        "-2026-11-30T00:00:00+01:00",
    ]
    assert changes(weekly(), "2026-11-27T00:00:00+01:00", 1) == ["never"]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        # Clocks go from 02:00 to 03:00.
        ("02:30-04:00", ["+2026-03-29T03:00:00+02:00", "-2026-03-29T04:00:00+02:00"]),
        ("01:00-02:30", ["+2026-03-29T01:00:00+01:00", "-2026-03-29T03:00:00+02:00"]),
        ("02:10-02:50", ["+2026-04-05T02:10:00+02:00", "-2026-04-05T02:50:00+02:00"]),  # skipped as a whole
        ("22:00-06:00", ["+2026-03-29T22:00:00+02:00", "-2026-03-30T06:00:00+02:00"]),
    ],
)
def test_the_day_on_which_summer_time_begins(hours: str, expected: list[str]) -> None:
    assert changes(weekly(hours, ["sun"]), "2026-03-28T12:00:00+01:00", 2) == expected


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        # Clocks go from 03:00 to 02:00: 02:30 is shown twice.
        ("02:30-04:00", ["+2026-10-25T02:30:00+02:00", "-2026-10-25T04:00:00+01:00"]),
        ("01:00-02:30", ["+2026-10-25T01:00:00+02:00", "-2026-10-25T02:30:00+02:00"]),
        ("02:10-02:50", ["+2026-10-25T02:10:00+02:00", "-2026-10-25T02:50:00+02:00"]),
        ("00:00-24:00", ["+2026-10-25T00:00:00+02:00", "-2026-10-26T00:00:00+01:00"]),
    ],
)
def test_the_day_on_which_summer_time_ends(hours: str, expected: list[str]) -> None:
    assert changes(weekly(hours, ["sun"]), "2026-10-24T12:00:00+02:00", 2) == expected


def test_a_midnight_that_clocks_skip() -> None:
    cairo = weekly("00:00-08:00", ["fri"], "Africa/Cairo")  # 2026-04-24, from 00:00 to 01:00
    assert changes(cairo, "2026-04-23T12:00:00+02:00", 2, "Africa/Cairo") == [
        "+2026-04-24T01:00:00+03:00",
        "-2026-04-24T08:00:00+03:00",
    ]


def test_from_and_until_bound_the_schedule() -> None:
    bounded = weekly(
        "09:00-17:00", **{"from": "2026-11-30T12:00:00+01:00", "until": "2026-12-01T10:00:00+01:00"}
    )
    assert (
        phase(bounded, at("2026-11-28T12:00:00+01:00")).why == "its time begins at 2026-11-30T12:00:00+01:00"
    )
    assert changes(bounded, "2026-11-28T12:00:00+01:00", 9) == [
        "+2026-11-30T12:00:00+01:00",
        "-2026-11-30T17:00:00+01:00",
        "+2026-12-01T09:00:00+01:00",
        "-2026-12-01T10:00:00+01:00",
        "never",
    ]
    over = phase(bounded, at("2026-12-01T10:00:00+01:00"))
    assert (over.open, over.over, over.why) == (
        False,
        True,
        "its time ended at 2026-12-01T10:00:00+01:00 (until)",
    )


def test_a_lane_that_cannot_open_before_its_end_says_so() -> None:
    closed = phase(weekly("09:00-17:00", until="2026-11-30T08:00:00+01:00"), at("2026-11-29T18:00:00+01:00"))
    assert (closed.until, closed.over) == (None, True)
    assert closed.why == "its time is over at 2026-11-30T07:00:00Z before it opens"


def test_the_switch_has_an_end_of_its_own() -> None:
    short = lane(enabled_until="2026-11-30T08:00:00Z", until="2026-12-30T08:00:00Z")
    assert changes(short, "2026-11-30T07:00:00+00:00", 2) == ["-2026-11-30T09:00:00+01:00", "never"]
    assert "(enabled_until)" in phase(short, at("2026-11-30T08:00:00+00:00")).why


def test_shares_count_until_the_end_and_outside_of_the_schedule() -> None:
    nightly = weekly("22:00-23:00", until="2026-12-01T00:00:00Z", **{"from": "2026-11-30T00:00:00Z"})
    assert counts(nightly, at("2026-11-01T12:00:00+00:00"))
    assert not counts(nightly, at("2026-12-01T00:00:00+00:00"))
    assert not counts(lane(enabled=False), 0)


HOURS = st.builds(
    lambda a, b: f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}",
    st.integers(0, 47).map(lambda n: n * 30),
    st.integers(1, 48).map(lambda n: n * 30),
).filter(lambda text: text[:5] != text[6:])
ZONES = st.sampled_from(
    [
        BERLIN,
        "America/New_York",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Asia/Kolkata",
        "UTC",
        "Africa/Cairo",
    ]
)


@given(
    st.lists(HOURS, min_size=1, max_size=3),
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
    ZONES,
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
)
def test_a_phase_holds_until_it_says_so(hours: list[str], days: list[str], zone: str, when: datetime) -> None:
    of = weekly(hours, days, zone)
    now = when.replace(tzinfo=UTC).timestamp()
    first = phase(of, now)
    if first.until is None:
        return
    assert first.until > now
    for part in range(20):
        assert phase(of, now + (first.until - now) * part / 20).open == first.open
    assert phase(of, first.until).open != first.open


@given(
    st.lists(HOURS, min_size=1, max_size=3),
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
    ZONES,
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
)
def test_on_days_without_a_change_of_clocks_it_is_what_the_clock_shows(
    hours: list[str], days: list[str], zone: str, when: datetime
) -> None:
    now = when.replace(tzinfo=UTC, second=0, microsecond=0)
    local = now.astimezone(ZoneInfo(zone))
    if len({(local + timedelta(days=n)).utcoffset() for n in (-2, -1, 0, 1, 2)}) > 1:
        return
    shown, today = f"{local:%H:%M}", DAYS[local.weekday()]
    yesterday = DAYS[local.weekday() - 1]
    expected = any(
        (today in days and (begin <= shown < end if begin < end else begin <= shown))
        or (yesterday in days and end < begin and shown < end)
        for begin, end in (one.split("-") for one in hours)
    )
    assert phase(weekly(hours, days, zone), now.timestamp()).open == expected


@pytest.mark.parametrize(
    ("more", "field", "remedy"),
    [
        ({"from": "2026-12-01"}, "from", "write date, time and offset"),
        ({"until": "2026-12-01T09:00:00"}, "until", "write date, time and offset"),
        ({"until": "2026-02-30T09:00:00Z"}, "until", "write date, time and offset"),
        (
            {"from": "2026-12-01T09:00:00Z", "until": "2026-12-01T10:00:00+01:00"},
            "until",
            "give a later time",
        ),
        ({"schedule": {"hours": "9-17", "time_zone": "UTC"}}, "schedule.hours", 'write "09:00-17:00"'),
        ({"schedule": {"hours": ["09:00-09:00"], "time_zone": "UTC"}}, "schedule.hours[0]", "whole day"),
        ({"schedule": {"days": ["Monday"], "time_zone": "UTC"}}, "schedule.days[0]", "did you mean mon?"),
        ({"schedule": {"days": ["mon", "mon"], "time_zone": "UTC"}}, "schedule.days[1]", "leave one out"),
        ({"schedule": {"time_zone": "Europe/Berln"}}, "schedule.time_zone", "did you mean Europe/Berlin?"),
        ({"schedule": {"time_zone": "localtime"}}, "schedule.time_zone", "such as Europe/Berlin"),
        ({"schedule": {"time_zone": "../../etc/passwd"}}, "schedule.time_zone", "such as Europe/Berlin"),
        ({"schedule": {"hours": "09:00-17:00"}}, "schedule.time_zone", "add schedule.time_zone"),
    ],
)
def test_what_is_wrong_is_named_with_a_remedy(more: dict[str, Any], field: str, remedy: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        lane(**more)
    found = {one.field: one.remedy for one in raised.value.problems}
    assert remedy in found[field]
