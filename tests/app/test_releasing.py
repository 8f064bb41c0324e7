"""The driver of releases: two of them on one store make each step once, and the time is the clock's."""

from __future__ import annotations

import time

import pytest

from controlplane.app.releasing import Releasing
from controlplane.model.definitions import Definitions, Key
from controlplane.model.parsing import parse_documents
from controlplane.model.releases import Progress, Release
from controlplane.release import actions
from controlplane.store.memory import MemoryStore
from controlplane.traffic.figures import Traffic
from controlplane.traffic.meter import Meter
from controlplane.traffic.table import Table

KEY = Key("Release", "g", "r")
BEFORE = b"""
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [a]}
---
{kind: Lane, group: g, name: gray, tag: gray, enabled: false, ratio: {percent: 80}}
---
kind: Release
group: g
name: r
lane: gray
steps: [{percent: 5, hold: 1m}, {percent: 50, hold: 1m}]
"""


def traffic() -> Traffic:
    table = Table()
    return Traffic(table, Meter(table, lambda who, label, counter: None, ("r", "d", "of"), time.time))


async def started(at: float) -> MemoryStore:
    store = MemoryStore()
    await store.change(lambda empty: empty.apply(parse_documents(BEFORE)).definitions)
    await store.change(lambda now: actions.start(now, KEY, "ann", at))
    return store


def progress(store: MemoryStore) -> Progress:
    found = store.current.definitions.get(KEY)
    assert isinstance(found, Release)
    assert found.progress is not None
    return found.progress


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_steps_follow_the_clock_and_each_is_made_once() -> None:
    clock = Clock()
    store = await started(clock.now)
    drivers = [Releasing(lambda: store, traffic, clock) for _ in range(2)]
    begun = store.current.revision
    for seconds, step in ((59, 0), (11, 1), (59, 1), (11, 1)):
        clock.now += seconds
        for driver in drivers:
            await driver.turn()
        assert progress(store).step == step
    assert progress(store).phase == "succeeded"
    assert store.current.revision == begun + 2
    assert [one.what for one in progress(store).decisions] == [
        "started with 5 %",
        "step 1 has passed; the next has 50 %",
        "every step has passed",
    ]
    for driver in drivers:
        await driver.turn()
        assert driver.looks == {}


async def test_a_restarted_driver_goes_on() -> None:
    clock = Clock()
    store = await started(clock.now)
    await Releasing(lambda: store, traffic, clock).turn()
    clock.now += 61
    await Releasing(lambda: store, traffic, clock).turn()
    assert progress(store).step == 1


async def test_what_goes_wrong_with_one_release_is_logged_and_confined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    store = await started(clock.now)
    clock.now += 61

    def broken(definitions: Definitions, *more: object) -> Definitions:
        raise RuntimeError("broken")

    monkeypatch.setattr(actions, "forward", broken)
    driver = Releasing(lambda: store, traffic, clock)
    await driver.turn()
    assert progress(store).step == 0
    assert "a release could not be looked at" in capsys.readouterr().out
