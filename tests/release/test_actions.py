"""How a release changes the definitions: exactly once, and nothing besides."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.definitions import Definitions, Key
from controlplane.model.export import export
from controlplane.model.parsing import parse_documents
from controlplane.model.problems import DefinitionError
from controlplane.model.releases import Progress, Release
from controlplane.release import actions

KEY = Key("Release", "g", "r")
BEFORE = """
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A}
---
{kind: Route, gateway: edge, name: b, service: sc-B}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [a]}
---
{kind: Lane, group: g, name: gray, tag: gray, enabled: false, ratio: {percent: 80, routes: {b: 30}}}
---
kind: Release
group: g
name: r
lane: gray
steps: [{percent: 5}, {percent: 50, approval: true}, {percent: 100}]
"""


ONE_STEP = "{kind: Release, group: g, name: x, lane: gray, steps: [{percent: 9}]"


def defined() -> Definitions:
    return Definitions().apply(parse_documents(BEFORE.encode())).definitions


def applied(definitions: Definitions, text: str) -> Definitions:
    return definitions.apply(parse_documents(text.encode())).definitions


def started() -> Definitions:
    return actions.start(defined(), KEY, "ann", 100.0)


def progress(definitions: Definitions) -> Progress:
    found = definitions.get(KEY)
    assert isinstance(found, Release)
    assert found.progress is not None
    return found.progress


def shares(definitions: Definitions) -> tuple[bool, float, dict[str, float]]:
    lane = definitions.lanes["gray"]
    assert lane.ratio is not None
    return lane.enabled, lane.ratio.percent, dict(lane.ratio.routes)


def forward(definitions: Definitions, seen: Progress, now: float = 200.0) -> Definitions:
    return actions.forward(definitions, KEY, seen, "passed", (), now)


def test_the_steps_cap_the_share_of_every_route() -> None:
    one = started()
    assert shares(one) == (True, 5, {"b": 5})
    two = forward(one, progress(one))
    assert shares(two) == (True, 50, {"b": 30})
    three = forward(two, progress(two))
    assert shares(three) == (True, 80, {"b": 30})
    end = actions.ended(three, KEY, progress(three), "succeeded", "passed", (), 300.0)
    assert shares(end) == (True, 80, {"b": 30})
    assert [one.what for one in progress(end).decisions] == ["started with 5 %", "passed", "passed", "passed"]


def test_of_two_that_make_the_same_step_one_makes_it() -> None:
    one = started()
    seen = progress(one)
    two = forward(one, seen)
    assert forward(two, seen, 201.0) is two
    assert actions.ended(two, KEY, seen, "aborted", "late", (), 201.0) is two


def test_the_end_may_promote() -> None:
    one = applied(defined(), f"{ONE_STEP}, at_end: promote}}")
    key = Key("Release", "g", "x")
    one = actions.start(one, key, "", 100.0)
    found = one.get(key)
    assert isinstance(found, Release)
    assert found.progress is not None
    end = actions.ended(one, key, found.progress, "succeeded", "passed", (), 200.0)
    assert end.groups["g"].promoted == "gray"
    assert shares(end) == (True, 9, {"b": 9})
    aborted = actions.ended(one, key, found.progress, "aborted", "failed", (), 200.0)
    assert aborted.groups["g"].promoted is None


def test_an_abort_takes_all_and_is_final() -> None:
    one = actions.act(started(), KEY, "abort", "ben", 150.0)
    assert shares(one) == (True, 0, {"b": 0})
    assert progress(one).phase == "aborted"
    assert progress(one).decisions[-1].what == "aborted by ben"
    with pytest.raises(DefinitionError, match="has ended: it was aborted"):
        actions.act(one, KEY, "resume", "ben", 160.0)
    again = actions.start(one, KEY, "ann", 200.0)
    assert shares(again) == (True, 5, {"b": 5})
    assert progress(again).target.percent == 80


def test_pause_resume_and_approve() -> None:
    one = actions.act(started(), KEY, "pause", "", 110.0)
    assert progress(one).phase == "paused"
    assert actions.act(one, KEY, "pause", "", 111.0) is one
    one = actions.act(one, KEY, "resume", "", 112.0)
    assert progress(one).phase == "running"
    with pytest.raises(DefinitionError, match="needs no approval in step 1"):
        actions.act(one, KEY, "approve", "", 113.0)
    two = forward(one, progress(one))
    two = actions.act(two, KEY, "approve", "ann", 210.0)
    assert progress(two).approved
    assert progress(forward(two, progress(two))).approved is None


LANE = "{kind: Lane, group: g, name: gray, tag: gray, priority: 7, ratio: {percent: 60}}"


def test_documents_leave_the_shares_to_the_release() -> None:
    result = started().apply(parse_documents(LANE.encode()))
    assert shares(result.definitions) == (True, 5, {"b": 5})
    assert result.definitions.lanes["gray"].priority == 7
    assert [(one.document, one.field, one.value) for one in result.kept] == [
        ("Lane/gray", "ratio.percent", 5)
    ]
    taken = actions.taken_over(started(), ["gray"], "ben", 130.0)
    assert progress(taken).phase == "stopped"
    assert shares(applied(taken, LANE)) == (True, 60, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{kind: Release, group: g, name: r, lane: gray, steps: [{percent: 90}]}", "cannot change while"),
        ("{kind: Lane, group: g, name: red, tag: red, ratio: {percent: 99}}", "to 104 %"),
    ],
)
def test_what_is_refused_while_it_is_under_way(change: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        applied(started(), change)


def test_what_is_under_way_is_not_deleted() -> None:
    for key in (KEY, Key("Lane", "g", "gray")):
        with pytest.raises(DefinitionError, match="under way"):
            started().change([], [key])
    assert started().change([], [Key("LaneGroup", "", "g")]).get(KEY) is None


def test_users_do_not_move_the_progress() -> None:
    now = started()
    forged: dict[str, Any] = progress(now).model_dump() | {"step": 2}
    found = now.get(KEY)
    assert isinstance(found, Release)
    document = found.model_copy(update={"progress": Progress.model_validate(forged)})
    assert progress(now.put(document)).step == 0


def test_an_export_is_taken_back() -> None:
    now = forward(started(), progress(started()))
    again = Definitions().apply(parse_documents(export(now).encode())).definitions
    assert export(again) == export(now)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ("{kind: Release, group: g, name: x, lane: gray, steps: []}", "steps"),
        (
            "{kind: Release, group: g, name: x, lane: gray, steps: [{percent: 9}, {percent: 5}]}",
            "steps[1].percent",
        ),
        (
            f"{ONE_STEP}, checks: [{{measure: latency, max: 1}}]}}",
            "checks[0].quantile",
        ),
        (
            f"{ONE_STEP}, checks: [{{measure: error_rate}}]}}",
            "checks[0].max",
        ),
        ("{kind: Release, group: nowhere, name: x, lane: gray, steps: [{percent: 9}]}", "group"),
    ],
)
def test_mistakes_name_the_field(document: str, field: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        applied(defined(), document)
    assert [one.field for one in caught.value.problems] == [field]
