"""Definitions in one SQLite file: the default store.

Every change is one transaction in WAL mode with synchronous=FULL: what was answered survives kill -9 and
loss of power. The file belongs to one process at a time (exclusive locking), so no second writer can get in
between. SQLite blocks, so it runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from controlplane.model.definitions import AnyKind, Definitions, SlotRange, key_of
from controlplane.model.kinds import KINDS
from controlplane.store.base import LocalStore
from controlplane.store.history import BYTES_KEPT, REVISIONS_KEPT, decode_changes, encode_changes
from controlplane.store.interface import Revision, Stored, StoreUnavailable

T = TypeVar("T")
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, parent, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slots (
    gateway TEXT NOT NULL, route TEXT NOT NULL, ranges TEXT NOT NULL, PRIMARY KEY (gateway, route)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, author TEXT NOT NULL, note TEXT NOT NULL,
    changes TEXT NOT NULL, diff TEXT NOT NULL
);
"""
BUSY_WAIT = 5.0  # seconds that a restart waits for the process before it to let go of the file


class SQLiteStore(LocalStore):
    """A DefinitionStore in the file `path`, which is created if it is absent."""

    def __init__(self, path: Path | str, busy_wait: float = BUSY_WAIT) -> None:
        super().__init__()
        self._path = Path(path)
        self._busy_wait = busy_wait
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="definitions")
        self._connection: sqlite3.Connection | None = None

    async def _open(self) -> None:
        self._current = await self._run(self._load)

    async def close(self) -> None:
        async with self._lock:
            self._subscribers.clear()
            with contextlib.suppress(StoreUnavailable):
                await self._run(self._disconnect)
            self._thread.shutdown(wait=False)

    async def revisions(self, limit: int = 100) -> list[Revision]:
        query = "SELECT * FROM revisions ORDER BY number DESC LIMIT ?"
        return await self._run(lambda: [_revision(row) for row in self._connected().execute(query, (limit,))])

    async def _revision(self, number: int) -> Revision | None:
        if not 0 <= number < 2**63:
            return None
        query = "SELECT * FROM revisions WHERE number = ?"
        found = await self._run(lambda: self._connected().execute(query, (number,)).fetchone())
        return _revision(found) if found else None

    async def _write(self, old: Stored, new: Stored, revision: Revision) -> None:
        await self._run(lambda: self._transaction(old.definitions, new.definitions, revision))

    async def _run(self, work: Callable[[], T]) -> T:
        """Run `work` in the store's thread. Raises StoreUnavailable for whatever SQLite or the disk says."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            hint = " (is another control plane using it?)" if "locked" in str(error) else ""
            raise StoreUnavailable(f"{self._path}: {error}{hint}") from error
        except RuntimeError as error:  # the executor after close()
            raise StoreUnavailable(f"{self._path}: the store is closed") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the store is not open")
        return self._connection

    def _load(self) -> Stored:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=self._busy_wait, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"was written by another version of Laneway (format {version})")
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
            stored = _read(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return stored

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transaction(self, old: Definitions, new: Definitions, revision: Revision) -> None:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            _write_documents(connection, old, new)
            _write_slots(connection, old, new)
            connection.execute(
                "INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?)",
                (
                    revision.number,
                    revision.at,
                    revision.author,
                    revision.note,
                    encode_changes(revision.changes),
                    revision.diff,
                ),
            )
            _prune(connection, revision.number)
            connection.execute("COMMIT")
        except BaseException:
            # After some errors (a full disk) SQLite has rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _write_documents(connection: sqlite3.Connection, old: Definitions, new: Definitions) -> None:
    before = {key_of(document): document for document in old.documents()}
    after = {key_of(document): document for document in new.documents()}
    connection.executemany(
        "DELETE FROM documents WHERE kind = ? AND parent = ? AND name = ?",
        [tuple(key) for key in before if key not in after],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
        [
            (*key, document.model_dump_json())
            for key, document in after.items()
            if before.get(key) is not document
        ],
    )


def _write_slots(connection: sqlite3.Connection, old: Definitions, new: Definitions) -> None:
    connection.executemany(
        "DELETE FROM slots WHERE gateway = ? AND route = ?",
        [key for key in old.slots if key not in new.slots],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO slots VALUES (?, ?, ?)",
        [(*key, json.dumps(table)) for key, table in new.slots.items() if old.slots.get(key) != table],
    )


def _prune(connection: sqlite3.Connection, newest: int) -> None:
    """Keep the last REVISIONS_KEPT, and of these what fits into BYTES_KEPT; the newest always stays."""
    connection.execute("DELETE FROM revisions WHERE number <= ?", (newest - REVISIONS_KEPT,))
    size = 0
    query = "SELECT number, length(changes) + length(diff) FROM revisions ORDER BY number DESC"
    for number, length in connection.execute(query).fetchall():
        size += length
        if size > BYTES_KEPT and number != newest:
            connection.execute("DELETE FROM revisions WHERE number <= ?", (number,))
            return


def _read(connection: sqlite3.Connection) -> Stored:
    rows = connection.execute("SELECT kind, body FROM documents").fetchall()
    slots = {
        (gateway, route): tuple(SlotRange(*entry) for entry in json.loads(ranges))
        for gateway, route, ranges in connection.execute("SELECT gateway, route, ranges FROM slots")
    }
    try:
        documents = [cast("AnyKind", KINDS[kind].model.model_validate_json(body)) for kind, body in rows]
    except (ValueError, KeyError) as error:
        raise sqlite3.DatabaseError(f"holds a definition that cannot be read: {error}") from error
    number = connection.execute("SELECT max(number) FROM revisions").fetchone()[0] or 0
    return Stored(Definitions.of(documents, slots), number)


def _revision(row: tuple[Any, ...]) -> Revision:
    number, at, author, note, changes, diff = row
    return Revision(number, at, author, note, decode_changes(changes), diff)
