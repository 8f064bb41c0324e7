"""Looks for likely mistakes in definitions, in a thread and after a change has reached the proxies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from controlplane.app.times import LaneTimes
from controlplane.model.definitions import Definitions
from controlplane.model.kinds import Key
from controlplane.plan.moves import Moves, moved
from controlplane.plan.warnings import Warner, Warnings
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Services

YIELDS = 100
"""Turns of the event loop for which a change of definitions goes first."""
PAUSES = 20
"""Milliseconds for which a thread that looks waits for such a change."""


class _Kept(NamedTuple):
    """What was found, and what it was found of. It holds until a lane opens or closes."""

    definitions: Definitions
    services: Services
    resting: frozenset[str]
    found: Warnings

    def of(self, definitions: Definitions, services: Services, resting: frozenset[str]) -> bool:
        return self.definitions is definitions and self.services is services and self.resting == resting


class Looking:
    """services: those that there are now. pending: whether a change waits to be sent to proxies. times: when
    lanes open and close. more: what other parts say of definitions.
    """

    def __init__(
        self,
        services: Callable[[], Services],
        pending: Callable[[], bool],
        times: LaneTimes,
        more: Callable[[Definitions], Mapping[Key, tuple[str, ...]]],
    ) -> None:
        self._services = services
        self._pending = pending
        self._times = times
        self._more = more
        self._warner = Warner(self._pause)
        self._one = asyncio.Lock()
        self._kept: list[_Kept] = []
        self._last: tuple[Warnings, Mapping[Key, tuple[str, ...]], Warnings] | None = None

    def latest(self, definitions: Definitions) -> Warnings:
        """What was found last, if need be with other services or definitions. It is empty at first."""
        found = next((one.found for one in self._kept if one.definitions is definitions), None)
        if found is None:
            found = self._kept[0].found if self._kept else Warnings()
        return self._whole(definitions, found)

    async def look(self, definitions: Definitions) -> Warnings:
        """The warnings. What many ask at once is looked for once, and kept until something changes."""
        async with self._one:
            services, resting = self._services(), self._times.resting
            kept = next((one for one in self._kept if one.of(definitions, services, resting)), None)
            if kept is None:
                for _ in range(YIELDS):
                    if not self._pending():
                        break
                    await asyncio.sleep(0)
                resolve = ServiceNames(services).resolve  # of these services, whatever changes meanwhile
                at = self._times.clock()
                found = await asyncio.to_thread(self._warner.warnings, definitions, services, resolve, at)
                kept = _Kept(definitions, services, resting, found)
                self._kept = [kept, *(one for one in self._kept[:1] if one.definitions is not definitions)]
        return self._whole(definitions, kept.found)

    async def moves(self, before: Definitions, after: Definitions) -> Moves:
        """What a change moves to other lanes and routes."""
        return await asyncio.to_thread(moved, before, after, self._times.clock())

    def _pause(self) -> None:
        """Called in the thread: let the event loop go on, and a change of definitions first."""
        time.sleep(0)
        for _ in range(PAUSES):
            if not self._pending():
                break
            time.sleep(0.001)

    def _whole(self, definitions: Definitions, found: Warnings) -> Warnings:
        more = self._more(definitions)
        if not more:
            return found
        if self._last is None or self._last[0] is not found or self._last[1] != more:
            both = {key: (*found.of(key), *more.get(key, ())) for key in {**found.definitions, **more}}
            self._last = (found, more, Warnings(both, found.services))
        return self._last[2]  # the same one: watches see a change by another
