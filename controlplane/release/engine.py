"""What a release does next: a pure function of its document, what its checks found, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from controlplane.model.documents import Lane
from controlplane.model.fields import hundredths, seconds
from controlplane.model.releases import Finding, Progress, Release
from controlplane.release.actions import capped
from controlplane.release.checks import verdict

Do = Literal["hold", "begin", "forward", "wait", "finish", "abort", "stop"]


@dataclass(frozen=True, slots=True)
class Advice:
    """`what` says why, in a sentence. Only `hold` changes nothing."""

    do: Do
    what: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a check or a hook found. ends: it has failed so often in a row that the release ends."""

    finding: Finding
    ends: bool = False


def advise(
    release: Release,
    lane: Lane | None,
    judged: Sequence[Judged],
    now: float,
    closed: str = "",
    lacking: float = 0.0,
) -> Advice:
    """What to do with an unfinished release.

    judged: of each check and hook. now: seconds since the epoch. closed: why no step may lead forward now.
    lacking: seconds for which it has waited for data or answers.
    """
    progress = release.progress
    assert progress is not None, "it is unfinished"
    found = tuple(one.finding for one in judged)
    taken = _taken_away(release, progress, lane)
    if taken:
        return Advice("stop", taken)
    for one in judged:
        if one.ends:
            return Advice("abort", _said(one.finding), found)
    said = verdict(found)
    if said == "failed":
        worst = next(one for one in found if one.verdict == "failed")
        return Advice("hold", f"{_said(worst)}; it has to fail again before the release ends", found)
    if said == "not enough data":
        return _without_data(release, progress, found, closed, lacking)
    return _onward(release, progress, found, now, closed)


def _without_data(
    release: Release, progress: Progress, found: tuple[Finding, ...], closed: str, lacking: float
) -> Advice:
    few = next(one for one in found if one.verdict == "not enough data")
    where = f" at {few.service}" if few.service else ""
    text = few.note or f"not enough requests{where} ({few.requests})"
    text = f"{few.check}: {text}"
    if closed:
        return Advice("hold", f"{closed}; {text}", found)
    if lacking >= seconds(release.patience) and progress.phase in ("running", "starting"):
        return Advice("abort", f"{text} for {release.patience}", found)
    return Advice("hold", text, found)


def _onward(
    release: Release, progress: Progress, found: tuple[Finding, ...], now: float, closed: str
) -> Advice:
    number, step = progress.step + 1, release.steps[progress.step]
    if progress.phase == "paused":
        return Advice("hold", "it is paused", found)
    if progress.phase == "starting":
        return (
            Advice("hold", closed, found)
            if closed
            else Advice("begin", f"started with {step.percent:g} %", found)
        )
    if now - progress.since < seconds(step.hold):
        return Advice("hold", f"step {number} holds for {step.hold}", found)
    if step.approval and not progress.approved:
        text = f"step {number} waits for approval"
        return Advice("hold" if progress.phase == "waiting" else "wait", text, found)
    last = number == len(release.steps)
    if closed and not (last and release.at_end == "wait"):
        return Advice("hold", f"step {number} has passed; {closed}", found)
    if last:
        return Advice("finish", "every step has passed", found)
    following = release.steps[number].percent
    return Advice("forward", f"step {number} has passed; the next has {following:g} %", found)


def _taken_away(release: Release, progress: Progress, lane: Lane | None) -> str:
    """Why the lane is not the release's any more; empty if it is."""
    if lane is None or lane.ratio is None:
        return "the lane is gone" if lane is None else "the lane has no share any more"
    if progress.phase == "starting":
        return ""
    if not lane.enabled:
        return "the lane was disabled by hand"
    wanted = capped(progress.target, release.steps[progress.step].percent)
    seen = (lane.ratio.percent, lane.ratio.routes)
    if hundredths(seen[0]) != hundredths(wanted.percent) or dict(seen[1]) != dict(wanted.routes):
        return "the lane's share was changed by hand"
    return ""


def _said(one: Finding) -> str:
    if one.note is not None:
        return f"{one.check}: {one.note}"
    limit = f", more than {one.limit:g}" if one.limit is not None else ""
    return f"{one.check} at {one.service} is {one.value or 0:g}{limit} ({one.requests} requests)"
