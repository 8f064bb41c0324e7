"""Lanes open and close as time passes, by a clock of the test."""

from __future__ import annotations

import asyncio
from datetime import datetime

from controlplane.app.times import LaneTimes
from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents

HEAD = """
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [x]}
"""
BERLIN = "time_zone: Europe/Berlin"


class Clock:
    """A clock that is set."""

    def __init__(self, now: str) -> None:
        self.set(now)

    def set(self, now: str) -> None:
        self.now = datetime.fromisoformat(now).timestamp()

    def __call__(self) -> float:
        return self.now


def defined(**lanes: str) -> Definitions:
    rule = 'rule: {conditions: [{source: header, name: c, operator: "==", value: x}]}'
    texts = [
        f"{{kind: Lane, group: g, name: {name}, tag: {name}, {rule}, {more}}}" for name, more in lanes.items()
    ]
    return Definitions().apply(parse_documents("\n---\n".join([HEAD, *texts]).encode())).definitions


class Kept:
    """Times of lanes, what rests by them, and how often they said that this changed."""

    def __init__(self, clock: Clock, definitions: Definitions) -> None:
        self.changed = 0
        self.clock = clock
        self.times = LaneTimes(self.count, clock)
        self.times.take(definitions)

    def count(self) -> None:
        self.changed += 1

    def at(self, now: str) -> set[str]:
        self.clock.set(now)
        self.times.look()
        return set(self.times.resting)


OFFICE = f'schedule: {{hours: "09:00-17:00", {BERLIN}}}'


async def test_lanes_open_and_close_as_the_clock_says_and_only_then_is_it_told() -> None:
    soon = 'from: "2026-03-27T12:00:00+01:00", until: "2026-03-27T13:00:00+01:00"'
    kept = Kept(Clock("2026-03-27T08:00:00+01:00"), defined(office=OFFICE, soon=soon, plain=""))
    assert kept.times.resting == {"office", "soon"}
    assert kept.at("2026-03-27T08:59:59+01:00") == {"office", "soon"}
    assert kept.changed == 0
    assert kept.at("2026-03-27T09:00:00+01:00") == {"soon"}
    assert kept.at("2026-03-27T12:00:00+01:00") == set()
    assert kept.at("2026-03-27T13:00:00+01:00") == {"soon"}
    assert kept.changed == 3
    kept.at("2026-03-27T14:00:00+01:00")
    assert kept.changed == 3


async def test_a_clock_that_is_set_forward_or_back_is_followed() -> None:
    kept = Kept(Clock("2026-03-27T08:00:00+01:00"), defined(office=OFFICE))
    assert kept.at("2027-03-27T12:00:00+01:00") == set()  # a year forward, over many of its times
    assert kept.at("2026-03-27T18:00:00+01:00") == {"office"}
    assert kept.at("2026-03-27T16:00:00+01:00") == set()
    assert kept.at("2026-03-27T16:59:59+01:00") == set()
    assert kept.at("2026-03-27T17:00:00+01:00") == {"office"}


async def test_definitions_that_change_are_taken_over() -> None:
    first = defined(office=OFFICE, other=OFFICE)
    kept = Kept(Clock("2026-03-27T08:00:00+01:00"), first)
    kept.times.take(defined(office="", late=f'schedule: {{hours: "10:00-11:00", {BERLIN}}}'))
    assert kept.times.resting == {"late"}
    assert kept.at("2026-03-27T09:00:00+01:00") == {"late"}  # the times that `office` had are gone
    assert kept.changed == 0
    assert kept.at("2026-03-27T10:00:00+01:00") == set()
    kept.times.take(first)
    assert kept.times.resting == frozenset()
    assert kept.changed == 1  # who takes definitions over knows that they changed


async def test_the_timer_wakes_at_the_next_boundary_by_itself() -> None:
    loop = asyncio.get_running_loop()
    start, began = datetime.fromisoformat("2026-03-27T08:59:59.900+01:00").timestamp(), loop.time()
    opened = asyncio.Event()
    times = LaneTimes(opened.set, lambda: start + loop.time() - began)
    times.take(defined(office=OFFICE, later=f'schedule: {{hours: "10:00-11:00", {BERLIN}}}'))
    assert times.resting == {"office", "later"}
    async with asyncio.timeout(20):
        await opened.wait()
    assert times.resting == {"later"}


async def test_two_control_planes_agree_whenever_they_look() -> None:
    text = defined(office=OFFICE, nights=f'schedule: {{days: [fri], hours: "22:00-06:00", {BERLIN}}}')
    busy, idle = (
        Kept(Clock("2026-10-23T00:00:00+02:00"), text),
        Kept(Clock("2026-10-23T00:00:00+02:00"), text),
    )
    for day in range(23, 32):
        for hour in range(24):
            busy.at(f"2026-10-{day}T{hour:02}:00:00+02:00")
        seen = busy.at(f"2026-10-{day}T23:30:00+02:00")
        assert seen == idle.at(f"2026-10-{day}T23:30:00+02:00")
    restarted = Kept(Clock("2026-10-31T23:30:00+02:00"), text)
    assert restarted.times.resting == idle.times.resting
