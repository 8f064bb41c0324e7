"""What a release does next: a pure function of its document, what its checks found, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from controlplane.model.documents import Lane
from controlplane.model.fields import hundredths, seconds
from controlplane.model.releases import Finding, Progress, Release
from controlplane.release.actions import capped
from controlplane.release.checks import verdict

Do = Literal["hold", "forward", "wait", "finish", "abort", "stop"]


@dataclass(frozen=True, slots=True)
class Advice:
    """`what` says why, in a sentence. Only `hold` changes nothing."""

    do: Do
    what: str
    findings: tuple[Finding, ...] = ()


def advise(
    release: Release,
    lane: Lane | None,
    found: Sequence[Finding],
    failures: Mapping[int, int],
    now: float,
) -> Advice:
    """What to do with an unfinished release.

    found: what each check finds now. failures: by check, how often in a row it has failed, with this time.
    now: seconds since the epoch.
    """
    progress = release.progress
    assert progress is not None, "it is unfinished"
    findings = tuple(found)
    taken = _taken_away(release, progress, lane)
    if taken:
        return Advice("stop", taken)
    for index, (check, one) in enumerate(zip(release.checks, found, strict=True)):
        if one.verdict == "failed" and failures.get(index, 0) >= check.failures:
            return Advice("abort", _said(one), findings)
    said = verdict(found)
    if said == "failed":
        worst = next(one for one in found if one.verdict == "failed")
        return Advice("hold", f"{_said(worst)}; it has to fail again before the release ends", findings)
    spent = now - progress.since
    step = release.steps[progress.step]
    if said == "not enough data":
        few = next(one for one in found if one.verdict == "not enough data")
        where = f" at {few.service}" if few.service else ""
        text = f"{few.check}: not enough requests{where} ({few.requests})"
        if spent >= seconds(step.hold) + seconds(release.patience) and progress.phase == "running":
            return Advice("abort", f"{text} for {release.patience}", findings)
        return Advice("hold", text, findings)
    if progress.phase == "paused":
        return Advice("hold", "it is paused", findings)
    if spent < seconds(step.hold):
        return Advice("hold", f"step {progress.step + 1} holds for {step.hold}", findings)
    if step.approval and not progress.approved:
        text = f"step {progress.step + 1} waits for approval"
        return Advice("hold" if progress.phase == "waiting" else "wait", text, findings)
    if progress.step + 1 == len(release.steps):
        return Advice("finish", "every step has passed", findings)
    following = release.steps[progress.step + 1].percent
    return Advice("forward", f"step {progress.step + 1} has passed; the next has {following:g} %", findings)


def _taken_away(release: Release, progress: Progress, lane: Lane | None) -> str:
    """Why the lane is not the release's any more; empty if it is."""
    if lane is None or lane.ratio is None:
        return "the lane is gone" if lane is None else "the lane has no share any more"
    if not lane.enabled:
        return "the lane was disabled by hand"
    wanted = capped(progress.target, release.steps[progress.step].percent)
    seen = (lane.ratio.percent, lane.ratio.routes)
    if hundredths(seen[0]) != hundredths(wanted.percent) or dict(seen[1]) != dict(wanted.routes):
        return "the lane's share was changed by hand"
    return ""


def _said(one: Finding) -> str:
    limit = f", more than {one.limit:g}" if one.limit is not None else ""
    return f"{one.check} at {one.service} is {one.value or 0:g}{limit} ({one.requests} requests)"
