"""Looks for likely mistakes in definitions, in a thread and after a change has reached the proxies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from controlplane.model.definitions import Definitions
from controlplane.model.kinds import Key
from controlplane.plan.moves import Moves, moved
from controlplane.plan.warnings import Warner, Warnings
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Services

YIELDS = 100
"""Turns of the event loop for which a change of definitions goes first."""


class Looking:
    """services: those that there are now. pending: whether a change waits to be sent to proxies. more: what
    other parts say of definitions.
    """

    def __init__(
        self,
        services: Callable[[], Services],
        pending: Callable[[], bool],
        more: Callable[[Definitions], Mapping[Key, tuple[str, ...]]],
    ) -> None:
        self._services = services
        self._pending = pending
        self._more = more
        self._warner = Warner()
        self._one = asyncio.Lock()
        self._kept: list[tuple[Definitions, Services, Warnings]] = []
        self._last: tuple[Warnings, Mapping[Key, tuple[str, ...]], Warnings] | None = None

    def latest(self, definitions: Definitions) -> Warnings:
        """What was found last, if need be with other services or definitions. It is empty at first."""
        found = next((one[2] for one in self._kept if one[0] is definitions), None)
        if found is None:
            found = self._kept[0][2] if self._kept else Warnings()
        return self._whole(definitions, found)

    async def look(self, definitions: Definitions) -> Warnings:
        """The warnings. What many ask at once is looked for once, and kept until something changes."""
        async with self._one:
            services = self._services()
            kept = next((one for one in self._kept if one[0] is definitions and one[1] is services), None)
            if kept is None:
                for _ in range(YIELDS):
                    if not self._pending():
                        break
                    await asyncio.sleep(0)
                resolve = ServiceNames(services).resolve  # of these services, whatever changes meanwhile
                found = await asyncio.to_thread(self._warner.warnings, definitions, services, resolve)
                kept = (definitions, services, found)
                self._kept = [kept, *(one for one in self._kept[:1] if one[0] is not definitions)]
        return self._whole(definitions, kept[2])

    async def moves(self, before: Definitions, after: Definitions) -> Moves:
        """What a change moves to other lanes and routes."""
        return await asyncio.to_thread(moved, before, after)

    def _whole(self, definitions: Definitions, found: Warnings) -> Warnings:
        more = self._more(definitions)
        if not more:
            return found
        if self._last is None or self._last[0] is not found or self._last[1] != more:
            both = {key: (*found.of(key), *more.get(key, ())) for key in {**found.definitions, **more}}
            self._last = (found, more, Warnings(both, found.services))
        return self._last[2]  # the same one: watches see a change by another
