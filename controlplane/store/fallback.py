"""A store whose last snapshot is served, read-only, while the store itself cannot be opened.

The snapshot is written within SNAPSHOT_WAIT after every change. While the store cannot be opened, opening it
is tried again, and it is used as soon as that works.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from controlplane.store.base import BaseStore, Subscribers
from controlplane.store.interface import (
    Check,
    Revision,
    Served,
    Stored,
    StoreInUse,
    StoreUnavailable,
    Subscriber,
    Transform,
)
from controlplane.store.snapshots import Snapshots, empty

log = structlog.get_logger("laneway.store")

SNAPSHOT_WAIT = 1.0
"""Seconds between two snapshots. The second one has all changes that were made since the first."""

SNAPSHOT_RETRY = 10.0
"""Seconds until writing a snapshot is tried again after an error."""

FIRST_RETRY, LONGEST_RETRY = 1.0, 10.0
"""Seconds between attempts to open a store, at first and at most; doubled each time."""


class FallbackStore:
    """A DefinitionStore made of `store` and `snapshots` of its definitions."""

    def __init__(self, store: BaseStore, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._subscribers = Subscribers()
        self._served: Stored | None = None  # what is served in place of the store
        self._reason = ""
        self._returning: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._kept: Stored | None = None
        store.subscribe(self._store_changed)

    @property
    def store(self) -> BaseStore:
        """The store itself."""
        return self._store

    @property
    def current(self) -> Stored:
        return self._served if self._served is not None else self._store.current

    @property
    def problem(self) -> str:
        return self._reason or self._store.problem

    @property
    def read_only(self) -> bool:
        return self._served is not None or self._store.read_only

    @property
    def snapshot_revision(self) -> int | None:
        return self._kept.revision if self._kept is not None else None

    async def open(self) -> None:
        """Open the store, or serve its last snapshot. Raises StoreUnavailable if neither is possible.

        StoreInUse is raised although there is a snapshot: the process that has the store may change it.
        """
        served = await asyncio.to_thread(self._snapshots.read)
        self._kept = served.stored if served is not None else None
        try:
            await self._store.open(served)
        except StoreInUse as error:
            # The process that has it may change it at any time, and then the snapshot would be out of date.
            self._reason = str(error)
            raise
        except StoreUnavailable as error:
            if served is None:
                self._reason = str(error)
                raise
            if served.stored is None:
                self._reason = f"{error}; its snapshot cannot be served either: {served.problem}"
                raise StoreUnavailable(self._reason) from error
            self._fall_back(served.stored, served, error)
            return
        self._opened(served)

    def _fall_back(self, stored: Stored, served: Served, error: StoreUnavailable) -> None:
        self._served = stored
        self._say(error)
        log.error(
            "the store of definitions cannot be opened; its last snapshot is served, read-only",
            reason=str(error),
            snapshot=str(served.path),
            revision=stored.revision,
        )
        self._returning = asyncio.create_task(self._return(), name="return to the store")

    def _say(self, error: StoreUnavailable) -> None:
        assert self._served is not None
        self._reason = f"{error}; the last snapshot (revision {self._served.revision}) is served, read-only"

    def _opened(self, served: Served | None) -> None:
        self._reason = ""
        if served is not None and served.problem:
            log.warning(
                "a snapshot of definitions cannot be read; it is written again", reason=served.problem
            )
        self._keeping = asyncio.create_task(self._keep(), name="snapshots of definitions")
        if not empty(self._store.current) and self._store.current != self._kept:
            self._changed.set()

    async def _return(self) -> None:
        """Try to open the store until that works; then use it in place of the snapshot."""
        pause = FIRST_RETRY
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY)
            served = await asyncio.to_thread(self._snapshots.read)
            before = self._reason
            try:
                await self._store.open(served)
            except StoreUnavailable as error:
                self._say(error)
                if self._reason != before:
                    log.error("the store of definitions still cannot be opened", reason=str(error))
                continue
            old, self._served = self.current, None
            self._opened(served)
            log.info(
                "the store of definitions is open; changes are accepted again", revision=self.current.revision
            )
            if old != self.current:
                self._subscribers.tell(old, self.current)
            return

    # Snapshots.

    def _store_changed(self, old: Stored, new: Stored) -> None:
        self._changed.set()
        if self._served is None:
            self._subscribers.tell(old, new)

    async def _keep(self) -> None:
        """Write a snapshot after each change, until cancelled."""
        problem = ""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
                problem = ""
                await asyncio.sleep(SNAPSHOT_WAIT)
            except OSError as error:
                self._changed.set()
                if str(error) != problem:
                    log.warning(
                        "the snapshot of definitions cannot be written; trying again", reason=str(error)
                    )
                problem = str(error)
                await asyncio.sleep(SNAPSHOT_RETRY)

    async def _write(self) -> None:
        stored = self._store.current
        await asyncio.to_thread(self._snapshots.write, stored)
        self._kept = stored

    # The rest of a DefinitionStore.

    async def change(self, transform: Transform, author: str = "", note: str = "") -> Stored:
        self._refuse()
        return await self._store.change(transform, author, note)

    async def align(self) -> None:
        if self._served is None:
            await self._store.align()

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        return self._subscribers.add(callback)

    async def revisions(self, limit: int = 100) -> list[Revision]:
        self._refuse()
        return await self._store.revisions(limit)

    async def undo(self, revision: int, author: str = "", check: Check | None = None) -> Stored:
        self._refuse()
        return await self._store.undo(revision, author, check)

    def _refuse(self) -> None:
        if self._served is not None:
            raise StoreUnavailable(self._reason)

    async def close(self) -> None:
        for task in (self._returning, self._keeping):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await self._store.close()
        if self._keeping is not None and self._store.current not in (self._kept, Stored()):
            with contextlib.suppress(OSError):
                await self._write()
        self._subscribers.clear()
