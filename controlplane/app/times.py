"""Which lanes rest, because their times do not let them be used: kept up to date as time passes.

Each lane with times has the moment at which it opens or closes next, and one timer waits for the first of
these. The clock of the system may be set meanwhile, which no timer notices, so it is read once a second, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane
from controlplane.model.times import phase, timed
from controlplane.registry.timers import Deadlines

log = structlog.get_logger("laneway")

LOOK = 1.0
"""Seconds between two looks at the clock."""

Clock = Callable[[], float]
"""Gives seconds since the epoch."""


class LaneTimes:
    """`changed` is called when a lane opens or closes by itself. `clock`: see Clock."""

    def __init__(self, changed: Callable[[], None], clock: Clock = time.time) -> None:
        self.clock = clock
        self._changed = changed
        self._deadlines = Deadlines(clock, self._due)
        self._lanes: dict[str, Lane] = {}
        self._resting: frozenset[str] = frozenset()
        self._looked = 0.0

    @property
    def resting(self) -> frozenset[str]:
        """The lanes that their times close now, enabled or not."""
        return self._resting

    def take(self, definitions: Definitions) -> None:
        """Take over the lanes of `definitions`. The cost is that of the lanes that changed."""
        lanes = {name: lane for name, lane in definitions.lanes.items() if timed(lane)}
        before, self._lanes = self._lanes, lanes
        for name in before.keys() - lanes.keys():
            self._deadlines.set(name, None)
        self._resting &= lanes.keys()
        self._judge(name for name, lane in lanes.items() if before.get(name) is not lane)

    def look(self) -> None:
        """Look at the clock: open and close what is due."""
        now = self.clock()
        back = now < self._looked
        self._looked = now
        if back:
            log.warning("the system's clock was set back; the times of all lanes are looked at again")
            self._due(self._lanes)
        self._deadlines.check()

    async def run(self) -> None:
        """Look at the clock until cancelled, so that it may be set at any time."""
        try:
            while True:
                await asyncio.sleep(LOOK)
                self.look()
        finally:
            self._deadlines.close()

    def _due(self, names: Iterable[str]) -> None:
        before = self._resting
        self._judge(names)
        if closed := sorted(self._resting - before):
            log.info("lanes are closed by their times", lanes=closed)
        if opened := sorted(before - self._resting):
            log.info("lanes are open by their times", lanes=opened)
        if closed or opened:
            self._changed()

    def _judge(self, names: Iterable[str]) -> None:
        now = self.clock()
        self._looked = max(self._looked, now)
        rest, wake = set[str](), set[str]()
        for name in names:
            found = phase(self._lanes[name], now)
            (wake if found.open else rest).add(name)
            self._deadlines.set(name, found.until)
        self._resting = (self._resting - wake) | rest
