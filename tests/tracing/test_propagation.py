"""Who loses the lane, by reports of made-up applications: no false alarm, and losses are found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.tracing.propagation import Finding, propagation
from tests.tracing.traffic import EMPTY, Behaviour, reports


def judged(how: Behaviour, requests: int, seed: int = 1, nodes: int = 1) -> Finding:
    every = [one for n in range(nodes) for one in reports(how, requests, seed * 100 + n, f"b-{n}")]
    _, findings = propagation(every)
    (found,) = findings
    return found


HONEST = {
    "idle": Behaviour(),
    "busy": Behaviour(coloured=0.005, plain=0.001),
    "hands on ids": Behaviour(ids=True, polls=0.01),
    "polls": Behaviour(polls=0.05),
    "polls all the time": Behaviour(polls=0.002),
    "bursts of own calls": Behaviour(polls=0.5, bursts=50),
    "only coloured, with polls": Behaviour(plain=0.0, polls=0.01),
    "slow, with polls": Behaviour(coloured=0.3, plain=0.2, takes=0.2, polls=0.1),
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.mesh)])
def test_no_false_alarm_over_ten_thousand_requests(name: str, seed: int) -> None:
    found = judged(HONEST[name], 10_000, seed)
    assert (found.verdict, found.lost) == ("keeps", 0), found


LOSING = {
    "all, idle": (Behaviour(loses=1.0), "time"),
    "all, ids kept": (Behaviour(loses=1.0, ids=True), "id"),
    "half": (Behaviour(loses=0.5), "time"),
    "half, ids kept, busy": (Behaviour(loses=0.5, ids=True, coloured=0.005, plain=0.001), "id"),
    "a tenth, ids kept": (Behaviour(loses=0.1, ids=True), "id"),
    "all, with polls": (Behaviour(loses=1.0, polls=0.05), "time"),
    "all, only coloured": (Behaviour(loses=1.0, plain=0.0), "time"),
    "a queue": (Behaviour(loses=1.0, coloured=2.0, plain=4.0, later=0.1), "time"),
}


@pytest.mark.parametrize("name", LOSING)
@pytest.mark.parametrize("seed", range(2))
def test_losses_are_found_and_their_share(name: str, seed: int) -> None:
    how, by = LOSING[name]
    found = judged(how, 1_000, seed)
    assert (found.verdict, found.by) == ("loses", by), found
    assert found.share == pytest.approx(how.loses, abs=0.08), found


def test_few_requests_are_no_evidence() -> None:
    found = judged(Behaviour(loses=1.0), 15)
    assert (found.verdict, found.share) == ("undecided", None)


def test_where_nobody_is_ever_alone_nothing_is_said() -> None:
    found = judged(Behaviour(loses=1.0, coloured=0.01, plain=0.0005, takes=0.05), 300)
    assert found.verdict == "undecided", found
    assert "alone" in found.reason


def test_a_trace_with_both_kinds_says_nothing() -> None:
    """One trace came in the lane and, by another way, without: nobody can tell whose its calls are."""
    trace = frozenset({"t1"})
    coloured = replace(EMPTY, start=1.0, duration=1.0, given="gray", traces=trace)
    plain = replace(EMPTY, start=1.0, duration=1.0, traces=trace)
    calls = [replace(EMPTY, side="outbound", start=1.5, traces=trace, service="sc-C") for _ in range(50)]
    assert all(x.verdict != "loses" for x in propagation([coloured, plain, *calls])[1])


def test_what_was_cut_is_no_evidence() -> None:
    """The reports of requests end long before those of calls: the calls after that may be anybody's."""
    every = sorted(reports(Behaviour(), 4_000, 7), key=lambda one: one.start)
    middle = every[len(every) // 2].start
    kept = [one for one in every if one.side == "outbound" or one.given or one.start < middle]
    coloured_until = [one for one in kept if one.side == "outbound" or one.start < middle]
    assert propagation(coloured_until, cut=True)[1][0].verdict == "keeps"
