"""Web hooks of releases: what is sent to them, and who is told how a release has ended.

An end is told at least once: it is stored which hooks know it, so a restart goes on. Of several control
planes the one that ended the release tells it; the others wait a moment, and find it told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from controlplane.callouts.answers import Answer, of_hook
from controlplane.callouts.client import Callouts
from controlplane.model.definitions import Definitions, Key
from controlplane.model.fields import seconds
from controlplane.model.releases import Finding, Hook, Progress, Release
from controlplane.release import actions
from controlplane.store.interface import DefinitionStore, StoreUnavailable

_log = structlog.get_logger("laneway.release")

TRIES = 8
"""Of telling an end, with growing waits between them: some two minutes."""
LONGEST_WAIT = 60.0
OTHERS_WAIT = 5.0
"""Seconds that a control plane gives the one which ended the release."""
OLD = 24 * 3600.0
"""Seconds after which nobody is told any more."""

_Run = tuple[Key, float]


class Telling:
    """Posts to hooks. store: asked again each time. clock: seconds since the epoch."""

    def __init__(
        self,
        store: Callable[[], DefinitionStore],
        callouts: Callouts,
        clock: Callable[[], float] = time.time,
        first_wait: float = 1.0,
    ) -> None:
        self._store = store
        self._callouts = callouts
        self._clock = clock
        self._first_wait = first_wait
        self._mine: set[_Run] = set()
        self._tasks: dict[tuple[_Run, str], asyncio.Task[None]] = {}

    def mine(self, key: Key, since: float) -> None:
        """This control plane has ended the release."""
        self._mine.add((key, since))

    async def post(self, definitions: Definitions, key: Key, hook: Hook, progress: Progress) -> Finding:
        """Ask a hook before or during a release."""
        return of_hook(hook, await self._sent(definitions, key, hook, progress))

    def turn(self, definitions: Definitions) -> None:
        """Begin to tell what is not told yet."""
        for run in [one for one, task in self._tasks.items() if task.done()]:
            del self._tasks[run]
        for release in actions.releases(definitions):
            progress = release.progress
            if progress is None or progress.unfinished or not progress.decisions:
                continue
            run = (Key("Release", release.group, release.name), progress.since)
            late = self._clock() - progress.decisions[-1].at > OLD
            for hook in release.hooks:
                begun = hook.name in progress.told or (run, hook.name) in self._tasks
                if hook.when != "after" or begun or late:
                    continue
                task = asyncio.create_task(self._tell(run, hook, progress), name=f"tell {hook.name}")
                self._tasks[run, hook.name] = task

    async def wait(self) -> None:
        """Until everything that was begun is told."""
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _tell(self, run: _Run, hook: Hook, progress: Progress) -> None:
        key, _ = run
        try:
            if run not in self._mine:
                await asyncio.sleep(OTHERS_WAIT * (0.5 + random.random()))
            wait, failed = self._first_wait, ""
            for number in range(TRIES):
                if number:
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, LONGEST_WAIT)
                if not self._open(key, progress, hook):
                    return
                finding = of_hook(
                    hook, await self._sent(self._store().current.definitions, key, hook, progress)
                )
                failed = "" if finding.verdict == "passed" else finding.note or "no answer"
                if finding.verdict != "not enough data" or self._callouts.refused(hook.url):
                    break
            if failed:
                _log.warning("a hook was not told how a release ended", hook=hook.name, reason=failed)
            await self._store().change(
                lambda now: actions.told(now, key, progress, hook.name, failed, self._clock()),
                "release",
                f"release {key.name}: hook {hook.name} " + ("was not told" if failed else "was told"),
            )
        except StoreUnavailable as error:
            _log.warning("it is not stored which hook was told", hook=hook.name, reason=str(error))
        except Exception:
            _log.exception("a hook could not be told how a release ended", hook=hook.name)
        finally:
            self._mine.discard(run)

    def _open(self, key: Key, progress: Progress, hook: Hook) -> bool:
        """Whether the release is still where it ended, and nobody else told it."""
        found = self._store().current.definitions.get(key)
        now = found.progress if isinstance(found, Release) else None
        return now is not None and now.since == progress.since and hook.name not in now.told

    async def _sent(self, definitions: Definitions, key: Key, hook: Hook, progress: Progress) -> Answer:
        release = definitions.get(key)
        if not isinstance(release, Release):
            return Answer(failed="the release is gone")
        delivery = f"{key.parent}/{key.name}/{hook.name}/{progress.since:.3f}/{progress.step + 1}"
        value = message(release, definitions.lanes.get(release.lane), hook, progress, self._clock())
        return await self._callouts.post(hook.url, value, delivery, seconds(hook.timeout))


def message(release: Release, lane: Any, hook: Hook, progress: Progress, now: float) -> dict[str, Any]:
    """The JSON that a hook gets."""
    last = progress.decisions[-1] if progress.decisions else None
    return {
        "hook": hook.name,
        "when": hook.when,
        "release": release.name,
        "group": release.group,
        "lane": release.lane,
        "tag": lane.tag if lane is not None else None,
        "phase": progress.phase,
        "step": progress.step + 1,
        "steps": len(release.steps),
        "percent": release.steps[progress.step].percent,
        "since": _time(progress.since),
        "now": _time(now),
        "started_by": progress.by,
        "why": last.what if last is not None else "",
        "findings": [one.model_dump() for one in last.findings] if last is not None else [],
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
