"""Definitions in one SQLite file: the default store.

Every change is one transaction in WAL mode with synchronous=FULL: a change that was answered survives kill -9
and loss of power. One process at a time uses the file (exclusive locking), so that no other can write between
two changes. Calls of SQLite block, so they run in a thread of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from controlplane.model.problems import DefinitionError, Problem
from controlplane.store import sqlite_file
from controlplane.store.base import LocalStore
from controlplane.store.history import decode_changes
from controlplane.store.interface import Revision, Served, Stored, StoreDamaged, StoreUnavailable

log = structlog.get_logger("laneway.store")

T = TypeVar("T")
BUSY_WAIT = 5.0
"""Seconds for which a start waits until the process before it has closed the file."""

WRITE_RETRY = 2.0
"""Seconds between two attempts to write a file that could not be written."""


class SQLiteStore(LocalStore):
    """A DefinitionStore in the file `path`, which is made if there never was one.

    A file that can be read but not written, on a full disk for instance, is served and `read_only`: a change
    is tried and refused, and accepted when there is room again. `busy_wait` is in seconds, `clock` gives
    seconds since the epoch.
    """

    def __init__(
        self,
        path: Path | str,
        busy_wait: float = BUSY_WAIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self._path = Path(path)
        self._busy_wait = busy_wait
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="definitions")
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._probing: asyncio.Task[None] | None = None

    async def _open(self, served: Served | None) -> None:
        try:
            self._current = await self._run(lambda: self._load(served))
        except StoreDamaged as error:
            store = shlex.quote(f"sqlite:{self._path}")
            raise StoreDamaged(
                f"{error}. To replace it by the last snapshot or a backup: "
                f"laneway store recover --store {store}"
            ) from error
        self.aligned = await self._run(lambda: sqlite_file.aligned(self._connected()))
        if not self._current.revision:
            log.info("the store of definitions is empty", path=str(self._path))
        try:
            await self._run(lambda: sqlite_file.probe(self._ours()))
        except StoreUnavailable as error:
            self._not_writable(error)

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})
        async with self._lock:
            self._subscribers.clear()
            with contextlib.suppress(StoreUnavailable):
                await self._run(self._disconnect)
            self._thread.shutdown(wait=False)

    async def revisions(self, limit: int = 100) -> list[Revision]:
        query = "SELECT * FROM revisions ORDER BY number DESC LIMIT ?"
        return await self._run(lambda: [_shown(row) for row in self._connected().execute(query, (limit,))])

    async def _revision(self, number: int) -> Revision | None:
        if not 0 <= number < 2**63:
            return None
        query = "SELECT * FROM revisions WHERE number = ?"
        found = await self._run(lambda: self._connected().execute(query, (number,)).fetchone())
        if found is None:
            return None
        try:
            return _revision(found)
        except ValueError:
            wrong = Problem("revision", "cannot be read", number, "undo it by hand, with `laneway apply`")
            raise DefinitionError(409, f"Revision {number} {wrong.message}", [wrong]) from None

    async def _write(self, old: Stored, new: Stored, revision: Revision) -> None:
        try:
            await self._run(
                lambda: sqlite_file.write(
                    self._ours(), old.definitions, new.definitions, revision, self.aligned
                )
            )
        except StoreUnavailable as error:
            if self._connection is not None:
                self._not_writable(error)
            raise
        self._writable()

    # Files that cannot be written.

    def _not_writable(self, error: StoreUnavailable) -> None:
        if not self.read_only:
            log.error("definitions can be read but not changed", reason=str(error))
        self.problem, self.read_only = (
            f"{error}; changes are refused, the definitions are served as they are",
            True,
        )
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(), name="look for a writable store")

    def _writable(self) -> None:
        if self.read_only:
            log.info("definitions can be changed again")
        self.problem, self.read_only = "", False

    async def _probe(self) -> None:
        """Try to write the file from time to time, until that works."""
        while self.read_only:
            await asyncio.sleep(WRITE_RETRY)
            with contextlib.suppress(StoreUnavailable):
                await self._run(lambda: sqlite_file.probe(self._ours()))
                self._writable()

    # In the thread.

    async def _run(self, work: Callable[[], T]) -> T:
        """The result of `work`, in the store's thread. Raises StoreUnavailable for errors of SQLite
        and the disk.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise sqlite_file.explained(self._path, error) from error
        except RuntimeError as error:  # the executor after close()
            raise StoreUnavailable(f"{self._path}: the store is closed") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"{self._path}: the store is not open")
        return self._connection

    def _ours(self) -> sqlite3.Connection:
        """The connection, for writing: changes written to a file that was deleted or replaced would be lost.

        Raises StoreDamaged if it was.
        """
        connection = self._connected()
        if sqlite_file.identity(self._path) != self._identity:
            raise StoreDamaged(
                f"{self._path} was deleted or replaced while it was in use; "
                "put it back, or restart and recover"
            )
        return connection

    def _load(self, served: Served | None) -> Stored:
        self._connection, stored = sqlite_file.load(self._path, self._busy_wait, served)
        self._identity = sqlite_file.identity(self._path)
        return stored

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _revision(row: tuple[Any, ...]) -> Revision:
    """The revision of a row. Raises ValueError where somebody changed the row by hand."""
    number, at, author, note, changes, diff = row
    try:
        return Revision(number, float(at), str(author), str(note), decode_changes(changes), str(diff))
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _shown(row: tuple[Any, ...]) -> Revision:
    """The revision of a row; without content where somebody changed the row by hand."""
    try:
        return _revision(row)
    except ValueError:
        return Revision(row[0], 0.0, "", "this revision cannot be read", (), "")
