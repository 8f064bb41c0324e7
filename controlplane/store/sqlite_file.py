"""Creates, checks, reads and writes the SQLite file of definitions. Blocks; for one thread.

Everything is checked: the file may have been deleted, cut, overwritten, or edited by hand. An error is one
sentence that begins with the path, and a file with an error is never written to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from controlplane.model.definitions import Definitions, key_of
from controlplane.store.history import BYTES_KEPT, REVISIONS_KEPT, encode_changes
from controlplane.store.interface import (
    Revision,
    Served,
    Stored,
    StoreDamaged,
    StoreInUse,
    StoreUnavailable,
)
from controlplane.store.rows import Unreadable, definitions_of, document_row, slots_row

SCHEMA_VERSION = 1
ALIGNED = 0x1A4E_0002
"""Application id of a file whose tables of slots give a user one lane on all routes; it was 0 before."""
SMALLEST = 512
"""Bytes of the smallest SQLite file. SQLite treats a smaller one as new."""

TABLES = {
    "documents": """CREATE TABLE documents (
        kind TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, parent, name)
    ) WITHOUT ROWID""",
    "slots": """CREATE TABLE slots (
        gateway TEXT NOT NULL, route TEXT NOT NULL, ranges TEXT NOT NULL, PRIMARY KEY (gateway, route)
    ) WITHOUT ROWID""",
    "revisions": """CREATE TABLE revisions (
        number INTEGER PRIMARY KEY, at REAL NOT NULL, author TEXT NOT NULL, note TEXT NOT NULL,
        changes TEXT NOT NULL, diff TEXT NOT NULL
    )""",
}


def load(path: Path, busy_wait: float, served: Served | None = None) -> tuple[sqlite3.Connection, Stored]:
    """Open the store at `path` for this process alone, and read it. It is made if there never was one.

    `busy_wait` is for how many seconds another process that uses it is waited for; `served` is its snapshot.
    Returns the connection and the definitions. Raises StoreUnavailable, StoreInUse, StoreDamaged.
    """
    is_new = not holds_something(path, served)
    try:
        if is_new:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, busy_wait, create=is_new)
    except (sqlite3.Error, OSError) as error:
        raise explained(path, error) from error
    try:
        stored = _checked(connection, path, served)
    except (sqlite3.Error, OSError) as error:
        connection.close()
        raise explained(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection, stored


def wal_of(path: Path) -> Path:
    """SQLite's write-ahead log of the file `path`."""
    return path.with_name(f"{path.name}-wal")


def identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of the file at `path`, which a replaced file has not; None if it cannot
    be read.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it does not exist or cannot be accessed."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def holds_something(path: Path, served: Served | None) -> bool:
    """Whether there is a file to read at `path`; False if a new one may be made, given the snapshot `served`.

    SQLite treats a missing or an empty file as new, and deletes the write-ahead log that belongs to it.
    Raises StoreUnavailable, StoreDamaged.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise explained(path, error) from error
    if found is not None and not stat.S_ISREG(found.st_mode):
        what = "is a directory" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
        raise StoreDamaged(f"{path} {what}, but should be a file of definitions")
    if found is not None and found.st_size:
        if found.st_size < SMALLEST:
            raise StoreDamaged(f"{path} is damaged: it has only {found.st_size} bytes")
        return True
    what = "is missing" if found is None else "is empty"
    if _size(wal_of(path)):
        raise StoreDamaged(f"{path} {what}, but its write-ahead log {wal_of(path).name} exists")
    if served is not None and served.revision:
        raise StoreDamaged(f"{path} {what}, although {remembered(served)}")
    return False


def remembered(served: Served) -> str:
    """What the snapshot shows, as the end of an error message."""
    if served.stored is None:
        return f"there is a snapshot of it ({served.path})"
    return f"revision {served.revision} was served from it (snapshot {served.path})"


def connect(path: Path, busy_wait: float, create: bool = False) -> sqlite3.Connection:
    """A connection that excludes other processes from its first use on. Raises sqlite3.Error."""
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_wait,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def _checked(connection: sqlite3.Connection, path: Path, served: Served | None) -> Stored:
    if _is_blank(connection, path):
        if served is not None and served.revision:
            raise StoreDamaged(f"{path} has no tables, although {remembered(served)}")
        _create(connection)
        return Stored()
    stored = read(connection, path)
    if served is not None and (wrong := contradiction(stored, served)):
        raise StoreDamaged(f"{path} {wrong}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return stored


def _is_blank(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file has no tables yet. Raises StoreDamaged if it is not of this format."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version == 0:
        if not tables:
            return True
        raise StoreDamaged(f"{path} is an SQLite file of another program than Laneway")
    if version != SCHEMA_VERSION:
        age = "a newer" if version > SCHEMA_VERSION else "an unknown"
        raise StoreDamaged(
            f"{path} was written by {age} version of Laneway (format {version}; this one reads "
            f"{SCHEMA_VERSION}): use that version"
        )
    if missing := sorted(TABLES.keys() - tables):
        raise StoreDamaged(f"{path} has lost its table {', '.join(missing)}")
    return False


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    with transaction(connection):
        for statement in TABLES.values():
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute(f"PRAGMA application_id={ALIGNED}")


def aligned(connection: sqlite3.Connection) -> bool:
    """Whether the tables of slots were made by a version that gives a user one lane on all routes."""
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    return found == ALIGNED


def read(connection: sqlite3.Connection, path: Path) -> Stored:
    """The definitions of the file, after checking every page and rule. Raises StoreDamaged, sqlite3.Error."""
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size % page and not _size(wal_of(path)):
        # SQLite would read zeros for the missing part, unless its log has the page.
        raise StoreDamaged(f"{path} is damaged: it ends in the middle of a page")
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise StoreDamaged(f"{path} is damaged: {' '.join(str(said).split())[:200]}")
    rows = connection.execute("SELECT kind, parent, name, body FROM documents").fetchall()
    slots = connection.execute("SELECT gateway, route, ranges FROM slots").fetchall()
    number = connection.execute("SELECT max(number) FROM revisions").fetchone()[0] or 0
    try:
        definitions = definitions_of(rows, slots)
    except Unreadable as error:
        raise StoreDamaged(f"{path} {error}") from error
    if number == 0 and definitions != Definitions():
        raise StoreDamaged(f"{path} has definitions, but none of the revisions that made them")
    return Stored(definitions, number)


def contradiction(stored: Stored, served: Served) -> str:
    """Why the file with `stored` cannot be the one of which `served` is the snapshot, or ""."""
    if stored.revision < served.revision:
        return f"is at revision {stored.revision}, although {remembered(served)}"
    if served.stored is None or stored.revision > served.revision:
        return ""
    if stored.definitions == served.stored.definitions:
        return ""
    changed = _difference(stored.definitions, served.stored.definitions)
    return (
        f"was changed by another program than Laneway since {remembered(served)}: {changed} "
        "differs from the snapshot"
    )


def _difference(one: Definitions, other: Definitions) -> str:
    """The names of the first definitions that differ, for an error."""
    first = {key_of(document): document for document in one.documents()}
    second = {key_of(document): document for document in other.documents()}
    keys = [
        str(key) for key in [*first, *(second.keys() - first.keys())] if first.get(key) != second.get(key)
    ]
    if not keys:
        return "a table of slots"
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def explained(path: Path, error: sqlite3.Error | OSError) -> StoreUnavailable:
    """The error of a store for `error` of SQLite or the system; it tells what is wrong with the
    file or disk.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreInUse(f"{path} is locked; probably another control plane uses it")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return StoreDamaged(f"{path} is damaged: {error}")
    if name in ("SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_SCHEMA") or (not name and _is_text(error)):
        return StoreDamaged(f"{path} was changed by another program than Laneway: {error}")
    if name == "SQLITE_FULL" or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StoreUnavailable(f"{path} cannot be written: the disk is full")
    if isinstance(error, OSError):
        return StoreUnavailable(f"{path} cannot be used: {error.strerror}")
    return StoreUnavailable(f"{path} cannot be used: {_obstacle(path) or error}")


def _is_text(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "decode" in str(error)


def _obstacle(path: Path) -> str:
    """Why this process cannot use the file, where SQLite does not tell; "" if that is not known."""
    at = path if path.exists() else path.parent
    if not os.access(at, os.R_OK | (os.X_OK if at.is_dir() else 0)):
        return f"user {os.geteuid()} is not allowed to read it"
    if os.statvfs(at).f_flag & os.ST_RDONLY:
        return "the file system is read-only"
    if not os.access(at, os.W_OK) or not os.access(path.parent, os.W_OK):
        return f"user {os.geteuid()} is not allowed to write it and its directory"
    return ""


# Writing.


def probe(connection: sqlite3.Connection) -> None:
    """Write a value that the file has already. Raises sqlite3.Error if the file cannot be written."""
    with transaction(connection):
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make all statements of the block durable together, or none if it raises. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # After some errors, such as a full disk, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def write(
    connection: sqlite3.Connection,
    old: Definitions,
    new: Definitions,
    revision: Revision,
    aligned: bool = True,
) -> None:
    """Replace the definitions `old`, which are stored, by `new`, and add `revision`, in one transaction.

    aligned: every table of slots of `new` is as the present rules make it. Raises sqlite3.Error.
    """
    with transaction(connection):
        if aligned:
            connection.execute(f"PRAGMA application_id={ALIGNED}")
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


def _write_documents(connection: sqlite3.Connection, old: Definitions, new: Definitions) -> None:
    before = {key_of(document): document for document in old.documents()}
    after = {key_of(document): document for document in new.documents()}
    connection.executemany(
        "DELETE FROM documents WHERE kind = ? AND parent = ? AND name = ?",
        [tuple(key) for key in before if key not in after],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
        [document_row(document) for key, document in after.items() if before.get(key) is not document],
    )


def _write_slots(connection: sqlite3.Connection, old: Definitions, new: Definitions) -> None:
    connection.executemany(
        "DELETE FROM slots WHERE gateway = ? AND route = ?",
        [key for key in old.slots if key not in new.slots],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO slots VALUES (?, ?, ?)",
        [slots_row(key, table) for key, table in new.slots.items() if old.slots.get(key) != table],
    )


def _prune(connection: sqlite3.Connection, newest: int) -> None:
    """Delete all but the last REVISIONS_KEPT revisions that fit into BYTES_KEPT; the newest is
    always kept.
    """
    connection.execute("DELETE FROM revisions WHERE number <= ?", (newest - REVISIONS_KEPT,))
    size = 0
    query = "SELECT number, length(changes) + length(diff) FROM revisions ORDER BY number DESC"
    for number, length in connection.execute(query).fetchall():
        size += length
        if size > BYTES_KEPT and number != newest:
            connection.execute("DELETE FROM revisions WHERE number <= ?", (number,))
            return
