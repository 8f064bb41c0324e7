"""What follows from what the checks of a release find."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.documents import Lane
from controlplane.model.parsing import parse_document
from controlplane.model.releases import Check, Progress, Release, Target
from controlplane.release.checks import Sample, findings, verdict
from controlplane.release.engine import Judged, advise
from controlplane.traffic.figures import Figures
from controlplane.traffic.series import BUCKETS, FALLBACKS, FIELDS, FIRST_BUCKET, REQUESTS, SERVER_ERRORS

NOW = 1_800_000_000.0


def figures(requests: int, errors: int = 0, fallbacks: int = 0, milliseconds: int = 10) -> Figures:
    counts = [0] * FIELDS
    counts[REQUESTS], counts[SERVER_ERRORS], counts[FALLBACKS] = requests, errors, fallbacks
    counts[FIRST_BUCKET + BUCKETS.index(milliseconds)] = requests
    return Figures(counts, 60)


def sample(lane: Figures, base: Figures | None = None) -> Sample:
    return Sample(lane, base or figures(1000))


def release(phase: str = "running", step: int = 0, since: float = NOW - 100, **more: Any) -> Release:
    document: dict[str, Any] = {
        "steps": [
            {"percent": 5, "hold": "1m"},
            {"percent": 50, "hold": "0s", "approval": True},
            {"percent": 100},
        ],
        "checks": [{"measure": "error_rate", "max": 1}],
    }
    names = {"group": "g", "name": "r"}
    parsed = parse_document({"lane": "gray", **document, **more}, "Release", names).document
    assert isinstance(parsed, Release)
    progress = Progress.model_validate(
        {"phase": phase, "step": step, "since": since, "target": Target(percent=100)}
    )
    return parsed.model_copy(update={"progress": progress})


def lane(percent: float = 5, **more: Any) -> Lane:
    document = {"tag": "gray", "ratio": {"percent": percent}, **more}
    parsed = parse_document(document, "Lane", {"group": "g", "name": "gray"}).document
    assert isinstance(parsed, Lane)
    return parsed


def advice(one: Release, found: Sample, of: Lane | None = None, failures: int = 1, now: float = NOW) -> Any:
    seen = findings(one.checks, [{"sc-A": found}] * len(one.checks), whole=False)
    share = one.steps[one.progress.step].percent if one.progress else 0
    judged = [
        Judged(finding, finding.verdict == "failed" and failures >= check.failures)
        for check, finding in zip(one.checks, seen, strict=True)
    ]
    lacking = now - one.progress.since - 60 if one.progress else 0
    return advise(one, of or lane(share), judged, now, lacking=lacking)


@pytest.mark.parametrize(
    ("check", "lane_figures", "base", "said"),
    [
        ({"measure": "error_rate", "max": 1}, figures(100, errors=1), None, "passed"),
        ({"measure": "error_rate", "max": 1}, figures(100, errors=2), None, "failed"),
        ({"measure": "error_rate", "max": 1}, figures(49, errors=49), None, "not enough data"),
        ({"measure": "error_rate", "max": 1, "requests": 10}, figures(10, errors=1), None, "failed"),
        (
            {"measure": "error_rate", "above_base": 1},
            figures(100, errors=3),
            figures(100, errors=2),
            "passed",
        ),
        (
            {"measure": "error_rate", "above_base": 1},
            figures(100, errors=4),
            figures(100, errors=2),
            "failed",
        ),
        ({"measure": "error_rate", "above_base": 1}, figures(100), figures(10), "not enough data"),
        ({"measure": "fallbacks", "max": 0}, figures(100, fallbacks=1), None, "failed"),
        ({"measure": "latency", "quantile": 0.99, "max": 100}, figures(100, milliseconds=50), None, "passed"),
        (
            {"measure": "latency", "quantile": 0.99, "max": 100},
            figures(100, milliseconds=500),
            None,
            "failed",
        ),
        (
            {"measure": "latency", "quantile": 0.5, "above_base": 20},
            figures(100, milliseconds=200),
            figures(100, milliseconds=10),
            "failed",
        ),
    ],
)
def test_a_check(check: dict[str, Any], lane_figures: Figures, base: Figures | None, said: str) -> None:
    found = findings([Check.model_validate(check)], [{"sc-A": sample(lane_figures, base)}], whole=False)
    assert found[0].verdict == said, found


def test_the_weakest_service_decides() -> None:
    check = Check.model_validate({"measure": "error_rate", "max": 1})
    services = {
        "sc-A": sample(figures(100)),
        "sc-B": sample(figures(100, errors=9)),
        "sc-C": sample(figures(9)),
    }
    found = findings([check], [services], whole=False)
    assert (found[0].verdict, found[0].service, found[0].value) == ("failed", "sc-B", 9)
    services["sc-B"] = sample(figures(100))
    assert findings([check], [services], whole=False)[0].verdict == "not enough data"
    services["sc-C"] = sample(figures(0))  # which the lane's requests do not reach
    assert verdict(findings([check], [services], whole=False)) == "passed"
    assert findings([check], [{}], whole=False)[0].verdict == "not enough data"


def test_a_lane_that_has_all_requests_is_compared_with_nothing() -> None:
    check = Check.model_validate({"measure": "error_rate", "max": 5, "above_base": 1})
    alone = {"sc-A": sample(figures(100, errors=4), figures(0))}
    assert findings([check], [alone], whole=True)[0].verdict == "passed"
    assert findings([check], [alone], whole=False)[0].verdict == "not enough data"


@pytest.mark.parametrize(
    ("one", "found", "do", "why"),
    [
        (release(), sample(figures(100)), "forward", "the next has 50 %"),
        (release(since=NOW - 59), sample(figures(100)), "hold", "step 1 holds for 1m"),
        (release(), sample(figures(5)), "hold", "not enough requests at sc-A (5)"),
        (release(since=NOW - 3700), sample(figures(5)), "abort", "not enough requests at sc-A (5) for 1h"),
        (release("paused", since=NOW - 3700), sample(figures(5)), "hold", "not enough requests"),
        (release("paused"), sample(figures(100)), "hold", "it is paused"),
        (release("paused"), sample(figures(100, errors=2)), "abort", "error_rate at sc-A is 2, more than 1"),
        (
            release(),
            sample(figures(100, errors=2)),
            "abort",
            "error_rate at sc-A is 2, more than 1 (100 requests)",
        ),
        (release(step=1), sample(figures(100)), "wait", "step 2 waits for approval"),
        (release("waiting", step=1), sample(figures(100)), "hold", "step 2 waits for approval"),
        (release(step=2), sample(figures(100)), "finish", "every step has passed"),
    ],
)
def test_what_follows(one: Release, found: Sample, do: str, why: str) -> None:
    said = advice(one, found)
    assert said.do == do, said
    assert why in said.what


def test_failures_in_a_row() -> None:
    one = release(checks=[{"measure": "error_rate", "max": 1, "failures": 3}])
    assert advice(one, sample(figures(100, errors=2)), failures=2).do == "hold"
    assert advice(one, sample(figures(100, errors=2)), failures=3).do == "abort"


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (lane(5, enabled=False), "disabled by hand"),
        (lane(7), "changed by hand"),
        (lane(5).model_copy(update={"ratio": None}), "no share any more"),
    ],
)
def test_a_lane_that_somebody_else_changed_is_left_alone(of: Lane, why: str) -> None:
    said = advice(release(), sample(figures(100, errors=50)), of)
    assert said.do == "stop"
    assert why in said.what
