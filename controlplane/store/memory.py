"""Definitions in memory, for trials and tests: they are lost when the process ends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from controlplane.store.base import LocalStore
from controlplane.store.history import REVISIONS_KEPT
from controlplane.store.interface import Revision, Served, Stored


class MemoryStore(LocalStore):
    """A DefinitionStore in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._revisions: deque[Revision] = deque(maxlen=REVISIONS_KEPT)

    async def _open(self, served: Served | None) -> None:
        return

    async def close(self) -> None:
        async with self._lock:
            self._subscribers.clear()

    async def revisions(self, limit: int = 100) -> list[Revision]:
        return list(reversed(self._revisions))[:limit]

    async def _write(self, old: Stored, new: Stored, revision: Revision) -> None:
        self._revisions.append(revision)

    async def _revision(self, number: int) -> Revision | None:
        return next((one for one in self._revisions if one.number == number), None)
