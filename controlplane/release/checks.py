"""What the checks of a release find in the traffic of its lane: passed, failed, or not enough data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from controlplane.model.releases import Check, Finding
from controlplane.traffic.figures import Figures
from controlplane.traffic.series import FALLBACKS, REFUSALS

Verdict = Literal["passed", "failed", "not enough data"]
_WEAKEST: tuple[Verdict, ...] = ("failed", "not enough data", "passed")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted of one service in a window."""

    lane: Figures
    base: Figures


def findings(
    checks: Sequence[Check], samples: Sequence[Mapping[str, Sample]], whole: bool
) -> tuple[Finding, ...]:
    """One finding for each check. samples: for each check, by service of the lane's group, in its window.

    whole: the lane has all requests, so base has none to be compared with.
    """
    return tuple(_finding(check, services, whole) for check, services in zip(checks, samples, strict=True))


def verdict(found: Sequence[Finding]) -> Verdict:
    """The weakest of all; passed where there are none."""
    seen: set[Verdict] = {one.verdict for one in found}
    for weakest in _WEAKEST:
        if weakest in seen:
            return weakest
    return "passed"


def _finding(check: Check, services: Mapping[str, Sample], whole: bool) -> Finding:
    """The weakest service decides. Services that the lane's requests do not reach do not count."""
    met = {name: sample for name, sample in services.items() if sample.lane.requests}
    found = [_at(check, name, sample, whole) for name, sample in sorted(met.items())]
    for weakest in _WEAKEST:
        some = [one for one in found if one.verdict == weakest]
        if some:
            return max(some, key=lambda one: ((one.value or 0) - (one.limit or 0), one.service))
    return Finding(check=check.words, verdict="not enough data")


def _at(check: Check, service: str, sample: Sample, whole: bool) -> Finding:
    requests = sample.lane.requests
    value = _measured(check, sample.lane)
    limits = [] if check.max is None else [check.max]
    compared = check.above_base is not None and not (whole and not sample.base.requests)
    base = _measured(check, sample.base) if compared else None
    if compared and base is not None and check.above_base is not None:
        limits.append(base + check.above_base)
    limit = min(limits, default=None)
    enough = requests >= check.requests and value is not None
    if compared and sample.base.requests < check.requests:
        enough = False
    said: Verdict = "not enough data"
    if enough and value is not None:
        said = "failed" if limit is not None and value > limit else "passed"
    return Finding(
        check=check.words,
        verdict=said,
        service=service,
        value=_rounded(value),
        limit=_rounded(limit),
        requests=requests,
    )


def _measured(check: Check, figures: Figures) -> float | None:
    """Per cent, or milliseconds; None without requests."""
    if not figures.requests:
        return None
    if check.measure == "latency":
        assert check.quantile is not None, "the document says that a latency has a quantile"
        return figures.quantile(check.quantile)
    counted = {
        "error_rate": figures.exceptions,
        "fallbacks": figures.counts[FALLBACKS],
        "refusals": figures.counts[REFUSALS],
    }[check.measure]
    return 100 * counted / figures.requests


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
