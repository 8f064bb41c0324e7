"""Drives the releases that are under way: looks at their checks, and makes the steps that follow.

Each step is a change of the definitions that holds only while the release is where it was seen. So of several
control planes on one store each may drive; one makes the step, and the others find it made. Times are of the
system's clock and stored with the release: a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from controlplane.model.definitions import Definitions, Key
from controlplane.model.fields import seconds
from controlplane.model.problems import DefinitionError
from controlplane.model.releases import Progress, Release
from controlplane.release import actions
from controlplane.release.checks import findings
from controlplane.release.engine import Advice, advise
from controlplane.release.samples import samples
from controlplane.store.interface import DefinitionStore, StoreUnavailable
from controlplane.traffic.figures import Traffic

_log = structlog.get_logger("laneway.release")
_LOOK = 1.0
"""Seconds between two looks at what is due."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found when a release was looked at last. at: seconds since the epoch."""

    at: float
    advice: Advice


@dataclass(slots=True)
class _Watched:
    """Of a release in one step: how often each check has failed in a row."""

    since: float
    due: float
    failures: dict[int, int] = field(default_factory=dict[int, int])


class Releasing:
    """store, traffic: asked again each time. clock: seconds since the epoch."""

    def __init__(
        self,
        store: Callable[[], DefinitionStore],
        traffic: Callable[[], Traffic],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._traffic = traffic
        self._clock = clock
        self._watched: dict[Key, _Watched] = {}
        self.looks: dict[Key, Look] = {}
        """By release that is under way: the last look."""

    async def run(self) -> None:
        """Drive until cancelled."""
        said = ""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self.turn()
                said = ""
            except StoreUnavailable as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("releases wait: the store cannot be used", reason=said)

    async def turn(self) -> None:
        """Look at the releases that are due. Raises StoreUnavailable."""
        definitions = self._store().current.definitions
        under_way = {
            Key("Release", one.group, one.name): one
            for one in actions.releases(definitions)
            if one.unfinished
        }
        for gone in [key for key in self._watched if key not in under_way]:
            del self._watched[gone]
            self.looks.pop(gone, None)
        for key, release in under_way.items():
            try:
                await self._look(definitions, key, release)
            except StoreUnavailable:
                raise
            except Exception:
                # The other releases, and the proxies, are served all the same.
                _log.exception("a release could not be looked at", release=release.name, lane=release.lane)

    async def _look(self, definitions: Definitions, key: Key, release: Release) -> None:
        now, progress = self._clock(), release.progress
        assert progress is not None, "it is under way"
        watched = self._watched.get(key)
        if watched is None or watched.since != progress.since:
            watched = self._watched[key] = _Watched(progress.since, now)
        if now < watched.due:
            return
        watched.due = now + seconds(release.interval)
        advice = self._advice(definitions, release, progress, watched, now)
        before = self.looks.get(key)
        self.looks[key] = Look(now, advice)
        if advice.do == "hold":
            if before is None or before.advice.what != advice.what:
                _log.info("release holds", release=release.name, lane=release.lane, why=advice.what)
            return
        await self._act(key, release, progress, advice, now)

    def _advice(
        self, definitions: Definitions, release: Release, progress: Progress, watched: _Watched, now: float
    ) -> Advice:
        lane = definitions.lanes.get(release.lane)
        by_window = {
            window: {} if lane is None else samples(self._traffic(), definitions, lane, window, progress, now)
            for window in {check.window for check in release.checks}
        }
        seen = [by_window[check.window] for check in release.checks]
        found = findings(release.checks, seen, release.steps[progress.step].percent >= 100)
        for index, one in enumerate(found):
            if one.verdict == "failed":
                watched.failures[index] = watched.failures.get(index, 0) + 1
            elif one.verdict == "passed":
                watched.failures.pop(index, None)
        return advise(release, lane, found, watched.failures, now)

    async def _act(self, key: Key, release: Release, seen: Progress, advice: Advice, now: float) -> None:
        def transform(definitions: Definitions) -> Definitions:
            about = (advice.what, advice.findings, now)
            match advice.do:
                case "forward":
                    return actions.forward(definitions, key, seen, *about)
                case "wait":
                    return actions.wait(definitions, key, seen, *about)
                case "finish":
                    return actions.ended(definitions, key, seen, "succeeded", *about)
                case "abort":
                    return actions.ended(definitions, key, seen, "aborted", *about)
                case _:
                    return actions.ended(definitions, key, seen, "stopped", *about)

        note = f"release {release.name}: {advice.what}"
        try:
            stored = await self._store().change(transform, "release", note[:500])
        except DefinitionError as error:
            # Such as shares of other lanes that were raised meanwhile: it holds until there is room.
            self.looks[key] = Look(now, Advice("hold", f"the next step is refused: {error}", advice.findings))
            _log.warning("release holds", release=release.name, lane=release.lane, why=str(error))
            return
        after = stored.definitions.get(key)
        log = _log.warning if advice.do in ("abort", "stop") else _log.info
        log(
            "release moved",
            release=release.name,
            lane=release.lane,
            what=advice.do,
            why=advice.what,
            phase=after.progress.phase if isinstance(after, Release) and after.progress else "",
        )
