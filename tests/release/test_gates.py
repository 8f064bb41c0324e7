"""What holds up steps that lead forward, and who may approve one."""

from __future__ import annotations

from datetime import datetime

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.problems import DefinitionError
from controlplane.release import actions
from controlplane.release.engine import advise
from controlplane.release.gates import closed
from tests.release.test_actions import KEY, applied, defined, progress, shares

STEPS = "steps: [{percent: 5, approval: true, persons: 2, by_others: true}, {percent: 50}]"
HEAD = "{kind: Release, group: g, name: r, lane: gray"
OUTSIDE = "it is outside of its windows; the next one begins at "
WINDOWS = 'windows: [{days: [mon, tue], hours: "09:00-17:00", time_zone: Europe/Berlin}]'
FREEZE = "{kind: Freeze, name: december, reason: holidays"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def why(definitions: Definitions, when: str) -> str:
    return closed(definitions, actions.release_of(definitions, KEY), at(when))


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("2026-11-30T08:59:59+01:00", OUTSIDE + "2026-11-30T09:00:00+01:00"),
        ("2026-11-30T09:00:00+01:00", ""),
        ("2026-11-30T16:59:59+01:00", ""),
        ("2026-11-30T17:00:00+01:00", OUTSIDE + "2026-12-01T09:00:00+01:00"),
        ("2026-12-01T17:00:00+01:00", OUTSIDE + "2026-12-07T09:00:00+01:00"),
        # Clocks in Berlin went back an hour on the Sunday between: nine o'clock is eight in UTC.
        ("2026-10-21T00:00:00+00:00", OUTSIDE + "2026-10-26T09:00:00+01:00"),
    ],
)  # fmt: skip
def test_windows_are_half_open(when: str, said: str) -> None:
    assert why(applied(defined(), f"{HEAD}, {STEPS}, {WINDOWS}}}"), when) == said


@pytest.mark.parametrize(
    ("freeze", "when", "said"),
    [
        ("}", "2026-11-30T00:00:00Z", "freeze december holds it up: holidays"),
        (", groups: [g]}", "2026-11-30T00:00:00Z", "freeze december holds it up: holidays"),
        (", groups: [other]}", "2026-11-30T00:00:00Z", ""),
        (", from: 2026-12-20T00:00:00Z}", "2026-12-19T23:59:59Z", ""),
        (", from: 2026-12-20T00:00:00Z}", "2026-12-20T00:00:00Z", "freeze december holds it up: holidays"),
        (
            ", until: 2027-01-03T00:00:00Z}",
            "2027-01-02T23:59:59Z",
            "freeze december holds it up until 2027-01-03T00:00:00Z: holidays",
        ),
        (", until: 2027-01-03T00:00:00Z}", "2027-01-03T00:00:00Z", ""),
    ],
)
def test_freezes(freeze: str, when: str, said: str) -> None:
    assert why(applied(defined(), FREEZE + freeze), when) == said


def test_an_end_of_a_freeze_is_after_its_begin() -> None:
    with pytest.raises(DefinitionError, match="until is not after from"):
        applied(defined(), f"{FREEZE}, from: 2026-12-20T00:00:00Z, until: 2026-12-20T00:00:00Z}}")


def test_a_start_outside_of_the_windows_waits() -> None:
    before = applied(defined(), f"{HEAD}, {STEPS}, {WINDOWS}}}")
    one = actions.start(before, KEY, "ann", at("2026-11-28T12:00:00Z"))
    assert (progress(one).phase, shares(one)) == ("starting", shares(before))
    assert "starts: it is outside of its windows" in progress(one).decisions[0].what
    for word in ("pause", "resume", "approve"):
        with pytest.raises(DefinitionError, match="Release r "):
            actions.act(one, KEY, word, "ben", at("2026-11-28T12:01:00Z"))  # type: ignore[arg-type]
    too_early = at("2026-11-28T13:00:00Z")
    assert actions.begin(one, KEY, progress(one), "", (), too_early) is one
    opened = at("2026-11-30T08:00:00Z")
    two = actions.begin(one, KEY, progress(one), "started with 5 %", (), opened)
    assert (progress(two).phase, progress(two).since, shares(two)) == (
        "running",
        opened,
        (True, 5, {"b": 5}),
    )
    aborted = actions.act(one, KEY, "abort", "ben", too_early)
    assert (progress(aborted).phase, shares(aborted)[1]) == ("aborted", 0)


def test_a_freeze_stops_steps_that_lead_forward_and_nothing_else() -> None:
    one = actions.start(defined(), KEY, "ann", 100.0)
    frozen = applied(one, f"{FREEZE}}}")
    release, seen = actions.release_of(frozen, KEY), progress(frozen)
    shut = closed(frozen, release, 200.0)
    said = advise(release, frozen.lanes["gray"], (), 200.0, shut)
    assert (said.do, said.what) == ("hold", "step 1 has passed; freeze december holds it up: holidays")
    assert actions.forward(frozen, KEY, seen, "", (), 200.0) is frozen
    ended = actions.ended(frozen, KEY, seen, "aborted", "error_rate", (), 200.0)
    assert (progress(ended).phase, shares(ended)[1]) == ("aborted", 0)
    assert progress(actions.act(frozen, KEY, "pause", "ben", 200.0)).phase == "paused"


def test_two_persons_who_did_not_start_it() -> None:
    one = actions.start(applied(defined(), f"{HEAD}, {STEPS}}}"), KEY, "ann", 100.0)
    for by, words in (("ann", "was started by ann"), ("", "asks for an approval by name")):
        with pytest.raises(DefinitionError, match=words):
            actions.act(one, KEY, "approve", by, 110.0)
    two = actions.act(one, KEY, "approve", "ben", 120.0)
    assert (progress(two).approved, progress(two).approvers) == (None, ("ben",))
    assert actions.act(two, KEY, "approve", "ben", 121.0) is two
    three = actions.act(two, KEY, "approve", "eve", 130.0)
    assert (progress(three).approved, progress(three).approvers) == (True, ("ben", "eve"))
    assert [one.what for one in progress(three).decisions][1:] == [
        "approved by ben, 1 of 2",
        "approved by eve",
    ]
    four = actions.forward(three, KEY, progress(three), "", (), 140.0)
    assert (progress(four).approved, progress(four).approvers) == (None, ())


def test_an_approval_does_not_resume() -> None:
    text = "steps: [{percent: 5, approval: true}, {percent: 50}]"
    one = actions.start(applied(defined(), f"{HEAD}, {text}}}"), KEY, "ann", 100.0)
    paused = actions.act(one, KEY, "pause", "ann", 110.0)
    approved = actions.act(paused, KEY, "approve", "ann", 120.0)
    assert (progress(approved).approved, progress(approved).phase) == (True, "paused")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("steps: [{percent: 5, persons: 2}]", "steps[0].persons"),
        ("steps: [{percent: 5, by_others: true}]", "steps[0].by_others"),
        ("steps: [{percent: 5}], checks: [{measure: query, query: up, max: 1}]", "checks[0].prometheus"),
        (
            "steps: [{percent: 5}], checks: [{measure: query, query: up, prometheus: 'http://a'}]",
            "checks[0].max",
        ),
        ("steps: [{percent: 5}], checks: [{measure: error_rate, max: 1, query: up}]", "checks[0].query"),
        ("steps: [{percent: 5}], checks: [{measure: error_rate, max: -1}]", "checks[0].max"),
        (
            "steps: [{percent: 5}], hooks: [{name: a, when: before, url: 'http://u@a/'}]",
            "hooks[0].url",
        ),
        (
            "steps: [{percent: 5}], hooks: [{name: a, when: before, url: 'http://a/', timeout: 6m}]",
            "hooks[0].timeout",
        ),
        (
            "steps: [{percent: 5}], hooks: [{name: a, when: after, url: 'http://a/'}, "
            "{name: a, when: during, url: 'http://a/'}]",
            "hooks[1].name",
        ),
        ("steps: [{percent: 5}], windows: []", "windows"),
        ("steps: [{percent: 5}], windows: [{days: [mon]}]", "windows[0].time_zone"),
    ],
)
def test_mistakes_name_the_field(more: str, field: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        applied(defined(), f"{HEAD}, {more}}}")
    assert [one.field for one in caught.value.problems] == [field]
