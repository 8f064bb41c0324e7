"""How a release changes the definitions: each action is one change of the lane and of the release's progress.

All are pure functions from definitions to definitions, so that of several control planes that want the same
step exactly one makes it: the others find that the release is not where they thought, and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane, Ratio
from controlplane.model.kinds import Key
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.releases import (
    MOST_APPROVERS,
    MOST_DECISIONS,
    Decision,
    Finding,
    Phase,
    Progress,
    Release,
    Target,
)
from controlplane.release.gates import closed

Word = Literal["pause", "resume", "approve", "abort"]


def capped(target: Target, percent: float) -> Target:
    """The shares of a step."""
    routes = {route: min(share, percent) for route, share in target.routes.items()}
    return Target(percent=min(target.percent, percent), routes=routes)


def release_of(definitions: Definitions, key: Key) -> Release:
    """Raises DefinitionError 404."""
    found = definitions.get(key)
    if not isinstance(found, Release):
        wrong = Problem("release", "does not exist", key.name, "create it with PUT, or see `get releases`")
        raise DefinitionError(404, f"There is no {key}", [wrong])
    return found


def start(definitions: Definitions, key: Key, by: str, now: float) -> Definitions:
    """Begin with the first step; the lane is enabled in the same change. While a freeze, a window or a hook
    holds the release up, the lane stays as it is.

    The lane's present share is what the steps lead to; after an abort it is the one from before that.
    Raises DefinitionError (404, 409, 422).
    """
    release = release_of(definitions, key)
    if release.unfinished:
        raise _not_now(release, "is under way already", "abort it first")
    lane = definitions.lanes.get(release.lane)
    if lane is None or lane.ratio is None or lane.group != release.group:
        wrong = Problem("lane", "is not a ratio lane of the group", release.lane, "name one that is")
        raise DefinitionError(422, f"{key} cannot start", [wrong])
    other = next((one for one in releases(definitions) if one.lane == lane.name and one.unfinished), None)
    if other is not None:
        raise _not_now(other, f"of lane {lane.name} is under way", "abort it first")
    target = Target(percent=lane.ratio.percent, routes=lane.ratio.routes)
    if release.progress is not None and not target.percent and not any(target.routes.values()):
        target = release.progress.target
    if not target.percent and not any(target.routes.values()):
        wrong = Problem(
            "ratio.percent", "is 0, so no step would get any request", 0, "set what the lane is to have"
        )
        raise DefinitionError(422, f"{key} cannot start", [wrong])
    waits = closed(definitions, release, now)
    if not waits and any(hook.when == "before" for hook in release.hooks):
        waits = "its hooks are asked first"
    if waits:
        progress = Progress(phase="starting", step=0, since=now, target=target, by=by)
        return _kept(definitions, release, _decided(progress, now, f"starts: {waits}"))
    progress = Progress(phase="running", step=0, since=now, target=target, by=by)
    first = f"started with {release.steps[0].percent:g} %"
    return _moved(definitions, release, lane, _decided(progress, now, first), release.steps[0].percent)


def act(definitions: Definitions, key: Key, word: Word, by: str, now: float) -> Definitions:
    """What people do with a release that is under way. Raises DefinitionError (404, 409)."""
    release = release_of(definitions, key)
    progress = release.progress
    if progress is None or not progress.unfinished:
        said = "has not started" if progress is None else f"has ended: it {_ENDS[progress.phase]}"
        raise _not_now(release, said, "start it first")
    who = f" by {by}" if by else ""
    if word == "abort":
        return ended(definitions, key, progress, "aborted", f"aborted{who}", (), now)
    if word == "approve":
        return _approved(definitions, release, progress, by, now)
    if progress.phase == "starting":
        raise _not_now(release, "has not begun with its first step", "abort it, or wait")
    phase: Phase = "paused" if word == "pause" else "running"
    if (progress.phase == "paused") == (phase == "paused"):
        return definitions
    done = "paused" if word == "pause" else "resumed"
    changed = progress.model_copy(update={"phase": phase})
    return _kept(definitions, release, _decided(changed, now, f"{done}{who}"))


def _approved(
    definitions: Definitions, release: Release, progress: Progress, by: str, now: float
) -> Definitions:
    step = release.steps[progress.step]
    if not step.approval or progress.phase == "starting":
        raise _not_now(release, f"needs no approval in step {progress.step + 1}", "wait for its hold time")
    if progress.approved or by in progress.approvers:
        return definitions
    persons = step.persons or 1
    if not by and (step.by_others or persons > 1):
        raise _not_now(release, "asks for an approval by name", "approve it with a token of your own")
    if step.by_others and by == progress.by:
        raise _not_now(release, f"was started by {by}", "have somebody else approve it")
    approvers = (*progress.approvers, by)[-MOST_APPROVERS:] if by else progress.approvers
    enough = len(approvers) >= persons or persons == 1
    phase: Phase = "running" if enough and progress.phase == "waiting" else progress.phase
    changed = progress.model_copy(
        update={"approved": True if enough else None, "approvers": approvers, "phase": phase}
    )
    who = f" by {by}" if by else ""
    said = f"approved{who}" if enough else f"approved{who}, {len(approvers)} of {persons}"
    return _kept(definitions, release, _decided(changed, now, said))


_ENDS = {"succeeded": "succeeded", "aborted": "was aborted", "stopped": "was stopped"}


def begin(
    definitions: Definitions, key: Key, seen: Progress, what: str, found: tuple[Finding, ...], now: float
) -> Definitions:
    """The first step of a release that was held up, unless it still is, or is not where `seen` has it."""
    release = _still(definitions, key, seen)
    lane = None if release is None else definitions.lanes.get(release.lane)
    if release is None or lane is None or closed(definitions, release, now):
        return definitions
    progress = seen.model_copy(update={"phase": "running", "since": now})
    first = release.steps[0].percent
    return _moved(definitions, release, lane, _decided(progress, now, what, found), first)


def told(
    definitions: Definitions, key: Key, seen: Progress, hook: str, failed: str, now: float
) -> Definitions:
    """A hook knows how the release has ended, or cannot be told: `failed` says why, else it is empty."""
    release = _still(definitions, key, seen)
    if release is None or release.progress is None or hook in release.progress.told:
        return definitions
    progress = release.progress.model_copy(update={"told": (*release.progress.told, hook)})
    if failed:
        progress = _decided(progress, now, f"hook {hook} was not told: {failed}"[:400])
    return _kept(definitions, release, progress)


def forward(
    definitions: Definitions, key: Key, seen: Progress, what: str, found: tuple[Finding, ...], now: float
) -> Definitions:
    """The next step, unless the release is held up, or not where `seen` has it.

    Raises DefinitionError (422).
    """
    release = _still(definitions, key, seen)
    lane = None if release is None else definitions.lanes.get(release.lane)
    if release is None or lane is None or closed(definitions, release, now):
        return definitions
    step = seen.step + 1
    progress = seen.model_copy(
        update={"phase": "running", "step": step, "since": now, "approved": None, "approvers": ()}
    )
    return _moved(
        definitions, release, lane, _decided(progress, now, what, found), release.steps[step].percent
    )


def wait(
    definitions: Definitions, key: Key, seen: Progress, what: str, found: tuple[Finding, ...], now: float
) -> Definitions:
    """The release waits for approval."""
    release = _still(definitions, key, seen)
    if release is None:
        return definitions
    return _kept(
        definitions, release, _decided(seen.model_copy(update={"phase": "waiting"}), now, what, found)
    )


def ended(
    definitions: Definitions,
    key: Key,
    seen: Progress,
    phase: Phase,
    what: str,
    found: tuple[Finding, ...],
    now: float,
) -> Definitions:
    """The end: an aborted release takes the lane's share to 0, the others leave it as it is. One that
    succeeded promotes the lane if it says so.

    Raises DefinitionError (409) if another group has promoted one of the applications.
    """
    release = _still(definitions, key, seen)
    if release is None:
        return definitions
    progress = _decided(seen.model_copy(update={"phase": phase}), now, what, found)
    lane = definitions.lanes.get(release.lane)
    group = definitions.groups.get(release.group)
    if phase == "succeeded" and release.at_end == "promote" and group is not None:
        if closed(definitions, release, now):
            return definitions
        promoted = group.model_copy(update={"promoted": release.lane})
        return definitions.proceed([promoted, release.model_copy(update={"progress": progress})])
    if phase == "aborted" and lane is not None and lane.ratio is not None:
        return _moved(definitions, release, lane, progress, 0.0)
    return _kept(definitions, release, progress)


def taken_over(definitions: Definitions, lanes: Iterable[str], by: str, now: float) -> Definitions:
    """Stop the releases of these lanes, because somebody changes their shares."""
    for name in lanes:
        for release in releases(definitions):
            if release.lane == name and release.progress is not None and release.unfinished:
                key = Key("Release", release.group, release.name)
                who = f" by {by}" if by else ""
                text = f"stopped: the lane was taken over{who}"
                definitions = ended(definitions, key, release.progress, "stopped", text, (), now)
    return definitions


def releases(definitions: Definitions) -> list[Release]:
    """All of them, by group and name."""
    table = definitions.table("Release")
    return [one for key in sorted(table) if isinstance(one := table[key], Release)]


def _still(definitions: Definitions, key: Key, seen: Progress) -> Release | None:
    """The release, if it is in the phase and step of `seen`."""
    found = definitions.get(key)
    if not isinstance(found, Release) or found.progress is None:
        return None
    now = found.progress
    fields = ("phase", "step", "since", "approved", "approvers")
    same = all(getattr(now, name) == getattr(seen, name) for name in fields)
    return found if same else None


def _decided(progress: Progress, now: float, what: str, found: tuple[Finding, ...] = ()) -> Progress:
    decision = Decision(at=round(now, 3), step=progress.step + 1, what=what, findings=found)
    return progress.model_copy(update={"decisions": (*progress.decisions, decision)[-MOST_DECISIONS:]})


def _moved(
    definitions: Definitions, release: Release, lane: Lane, progress: Progress, percent: float
) -> Definitions:
    assert lane.ratio is not None
    shares = capped(progress.target, percent)
    ratio: Ratio = lane.ratio.model_copy(update={"percent": shares.percent, "routes": dict(shares.routes)})
    changed = lane.model_copy(update={"ratio": ratio, "enabled": True if percent else lane.enabled})
    return definitions.proceed([changed, release.model_copy(update={"progress": progress})])


def _kept(definitions: Definitions, release: Release, progress: Progress) -> Definitions:
    return definitions.proceed([release.model_copy(update={"progress": progress})])


def _not_now(release: Release, message: str, remedy: str) -> DefinitionError:
    wrong = Problem("release", message, release.name, remedy)
    return DefinitionError(409, f"Release {release.name} {message}", [wrong])
