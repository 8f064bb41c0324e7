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
from functools import partial

import structlog

from controlplane.app.asking import Ask, Asking
from controlplane.app.telling import Telling
from controlplane.callouts.answers import of_query
from controlplane.callouts.client import Callouts
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.fields import seconds
from controlplane.model.problems import DefinitionError
from controlplane.model.releases import Check, Finding, Progress, Release
from controlplane.release import actions
from controlplane.release.checks import findings, verdict
from controlplane.release.engine import Advice, Judged, advise
from controlplane.release.gates import closed
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
    """Of a release in one step: when it is looked at next, how often each check has failed in a row, what the
    checks of its traffic found last, and since when data or answers are missing.
    """

    since: float
    due: float
    lacking: float
    failures: dict[str, int] = field(default_factory=dict[str, int])
    found: tuple[Judged, ...] = ()

    def judged(self, name: str, finding: Finding, most: int, counts: bool = True) -> Judged:
        """With this finding, where it `counts` as one more."""
        if counts and finding.verdict == "failed":
            self.failures[name] = self.failures.get(name, 0) + 1
        elif finding.verdict == "passed":
            self.failures.pop(name, None)
        return Judged(finding, finding.verdict == "failed" and self.failures.get(name, 0) >= most)


class Releasing:
    """store, traffic: asked again each time. clock: seconds since the epoch."""

    def __init__(
        self,
        store: Callable[[], DefinitionStore],
        traffic: Callable[[], Traffic],
        clock: Callable[[], float] = time.time,
        callouts: Callouts | None = None,
    ) -> None:
        self._store = store
        self._traffic = traffic
        self._clock = clock
        self.callouts = callouts or Callouts()
        self.asking = Asking()
        self.telling = Telling(store, self.callouts, clock)
        self._watched: dict[Key, _Watched] = {}
        self.looks: dict[Key, Look] = {}
        """By release that is under way: the last look."""

    def refused(self, release: Release) -> list[str]:
        """Why URLs of this release are not allowed."""
        urls = [one.prometheus for one in release.checks if one.prometheus]
        urls += [one.url for one in release.hooks]
        return [said for said in map(self.callouts.refused, urls) if said]

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
        self.asking.forget(lambda one: one[0] in self._watched and self._watched[one[0]].since == one[1])
        self.telling.turn(definitions)
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
            watched = self._watched[key] = _Watched(progress.since, now, now)
        due = now >= watched.due
        if not due and not self.asking.has_news(key):
            return
        if due:
            watched.due = now + seconds(release.interval)
        advice = self._advice(definitions, key, release, progress, watched, due)
        before = self.looks.get(key)
        self.looks[key] = Look(now, advice)
        if advice.do == "hold":
            if before is None or before.advice.what != advice.what:
                _log.info("release holds", release=release.name, lane=release.lane, why=advice.what)
            return
        await self._act(key, release, progress, advice, now)

    def _advice(
        self,
        definitions: Definitions,
        key: Key,
        release: Release,
        progress: Progress,
        watched: _Watched,
        due: bool,
    ) -> Advice:
        now = self._clock()
        lane = definitions.lanes.get(release.lane)
        shut = closed(definitions, release, now)
        if due and progress.phase != "starting":
            watched.found = self._of_traffic(definitions, lane, release, progress, watched, now)
        judged = [*watched.found, *self._of_others(definitions, key, release, progress, watched, bool(shut))]
        said = verdict([one.finding for one in judged])
        if said != "not enough data" or shut or progress.phase in ("paused", "waiting"):
            watched.lacking = now
        holds = 0.0 if progress.phase == "starting" else seconds(release.steps[progress.step].hold)
        lacking = now - max(watched.lacking, progress.since + holds)
        return advise(release, lane, judged, now, shut, lacking)

    def _of_traffic(
        self,
        definitions: Definitions,
        lane: Lane | None,
        release: Release,
        progress: Progress,
        watched: _Watched,
        now: float,
    ) -> tuple[Judged, ...]:
        checks = [one for one in release.checks if one.measure != "query"]
        by_window = {
            window: {} if lane is None else samples(self._traffic(), definitions, lane, window, progress, now)
            for window in {check.window for check in checks}
        }
        seen = [by_window[check.window] for check in checks]
        found = findings(checks, seen, release.steps[progress.step].percent >= 100)
        return tuple(
            watched.judged(f"check {number}", one, check.failures)
            for number, (check, one) in enumerate(zip(checks, found, strict=True))
        )

    def _of_others(
        self,
        definitions: Definitions,
        key: Key,
        release: Release,
        progress: Progress,
        watched: _Watched,
        shut: bool,
    ) -> list[Judged]:
        """What was answered last; whatever is due is asked again."""
        starting = progress.phase == "starting"
        if starting and shut:
            return []
        asks: list[tuple[str, str, int, Ask]] = []
        for number, check in enumerate(release.checks):
            if check.measure == "query" and not starting:
                asks.append((f"query {number}", check.words, check.failures, partial(self._query, check)))
        for hook in release.hooks:
            if hook.when == ("before" if starting else "during"):
                ask = partial(self.telling.post, definitions, key, hook, progress)
                asks.append((f"hook {hook.name}", hook.words, hook.failures, ask))
        judged: list[Judged] = []
        now, every = self._clock(), seconds(release.interval)
        for name, words, failures, ask in asks:
            question = (key, progress.since, name)
            finding, fresh = self.asking.answered(question, 0.0 if starting else now - 2 * every)
            if not (starting and finding is not None and finding.verdict == "passed"):
                self.asking.begin(question, ask, now, every)
            if finding is None:
                finding = Finding(check=words, verdict="not enough data", note="it has not answered yet")
            judged.append(watched.judged(name, finding, failures, fresh))
        return judged

    async def _query(self, check: Check) -> Finding:
        assert check.prometheus is not None, "a query has an address"
        assert check.query is not None, "and a text"
        return of_query(check, await self.callouts.query(check.prometheus, check.query))

    async def _act(self, key: Key, release: Release, seen: Progress, advice: Advice, now: float) -> None:
        def transform(definitions: Definitions) -> Definitions:
            about = (advice.what, advice.findings, now)
            match advice.do:
                case "begin":
                    return actions.begin(definitions, key, seen, *about)
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
        if advice.do in ("finish", "abort", "stop"):
            self.telling.mine(key, seen.since)
        log = _log.warning if advice.do in ("abort", "stop") else _log.info
        log(
            "release moved",
            release=release.name,
            lane=release.lane,
            what=advice.do,
            why=advice.what,
            phase=after.progress.phase if isinstance(after, Release) and after.progress else "",
        )
