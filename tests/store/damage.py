"""What may become of a store's file between two starts: each a function of the directory that it is in."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application
from controlplane.store import sqlite_file
from controlplane.store.interface import Revision

Damage = Callable[[Path], None]


def db(home: Path) -> Path:
    return home / "laneway.db"


def wal(home: Path) -> Path:
    return home / "laneway.db-wal"


def settled(home: Path) -> Path:
    """The file, with all that its write-ahead log had."""
    edited(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert not wal(home).exists()
    return db(home)


def edited(home: Path, *statements: str) -> None:
    connection = sqlite3.connect(db(home), isolation_level=None)
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def edits(*statements: str) -> Damage:
    """Somebody with an SQLite shell."""
    return lambda home: edited(home, *statements)


def missing(home: Path) -> None:
    settled(home).unlink()


def missing_but_for_its_log(home: Path) -> None:
    db(home).unlink()
    assert wal(home).stat().st_size


def cut(size: int) -> Damage:
    """The first `size` bytes are left; as many from the end are gone if it is negative."""

    def damage(home: Path) -> None:
        file = settled(home)
        os.truncate(file, size if size >= 0 else file.stat().st_size + size)

    return damage


def empty_but_for_its_log(home: Path) -> None:
    os.truncate(db(home), 0)
    assert wal(home).stat().st_size


def overwritten(start: int, length: int) -> Damage:
    def damage(home: Path) -> None:
        with settled(home).open("r+b") as file:
            file.seek(start)
            file.write(random.Random(start).randbytes(length))

    return damage


def directory(home: Path) -> None:
    missing(home)
    db(home).mkdir()


def fifo(home: Path) -> None:
    missing(home)
    os.mkfifo(db(home))


def text(home: Path) -> None:
    settled(home).write_text("these are no definitions, whatever its name says\n" * 100)


def of_another_program(home: Path) -> None:
    missing(home)
    edited(home, "CREATE TABLE customers (name TEXT)")


def older_copy(home: Path) -> None:
    """A backup that was put back by copying it."""
    settled(home)
    edited(home, "DELETE FROM revisions WHERE number = (SELECT max(number) FROM revisions)")


def replaced(old: str, new: str, where: str) -> Damage:
    return edits(f"UPDATE documents SET body = replace(body, '{old}', '{new}') WHERE {where}")


def slots(table: list[list[object]]) -> Damage:
    return edits(f"UPDATE slots SET ranges = '{json.dumps(table)}'")


def twice(home: Path) -> None:
    """One lane's name in two groups."""
    edited(
        home,
        "INSERT INTO documents SELECT kind, parent, 'second', replace(body, 'order-flow', 'second') "
        "FROM documents WHERE kind = 'LaneGroup'",
        "INSERT INTO documents SELECT kind, 'second', name, replace(body, 'order-flow', 'second') "
        "FROM documents WHERE kind = 'Lane' AND name = 'red'",
    )


def log_missing(home: Path) -> None:
    assert wal(home).stat().st_size
    wal(home).unlink()


def log_garbage(home: Path) -> None:
    with wal(home).open("r+b") as file:
        size = wal(home).stat().st_size
        assert size
        file.write(random.Random(1).randbytes(size))


def recovered_elsewhere(home: Path) -> None:
    """A good store of something else."""
    missing(home)
    connection, _ = sqlite_file.load(db(home), 0.0)
    other = Definitions().put(Application(name="other"))
    sqlite_file.write(connection, Definitions(), other, Revision(2, 0.0, "", "", (), ""))
    connection.close()


KINDS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, "is missing, although revision 2 was served from it"),
    "missing-but-log": (missing_but_for_its_log, "is missing, but its write-ahead log"),
    "empty": (cut(0), "is empty, although revision 2 was served from it"),
    "empty-but-log": (empty_but_for_its_log, "is empty, but its write-ahead log"),
    "cut-to-a-byte": (cut(1), "is damaged"),
    "cut-in-the-header": (cut(60), "is damaged"),
    "cut-to-a-page": (cut(4096), "is damaged"),
    "cut-in-the-middle": (cut(-9000), "is damaged"),
    "cut-by-a-byte": (cut(-1), "is damaged"),
    "header": (overwritten(0, 100), "is damaged: file is not a database"),
    "first-page": (overwritten(100, 3996), "is damaged"),
    "second-page": (overwritten(4096, 4096), "is damaged"),
    "directory": (directory, "is a directory, but should be a file of definitions"),
    "fifo": (fifo, "is not a regular file"),
    "no-database": (text, "is damaged: file is not a database"),
    "another-program": (of_another_program, "an SQLite file of another program than Laneway"),
    "newer": (edits("PRAGMA user_version = 99"), "was written by a newer version of Laneway (format 99"),
    "older": (edits("PRAGMA user_version = -1"), "was written by an unknown version of Laneway (format -1"),
    "no-version": (edits("PRAGMA user_version = 0"), "an SQLite file of another program than Laneway"),
    "no-documents": (edits("DROP TABLE documents"), "has lost its table documents"),
    "no-slots": (edits("DROP TABLE slots"), "has lost its table slots"),
    "no-column": (
        edits("ALTER TABLE documents RENAME body TO text"),
        "was changed by another program than Laneway",
    ),
    "no-rows": (edits("DELETE FROM documents", "DELETE FROM slots"), "was changed by another program"),
    "nothing": (
        edits("DELETE FROM documents", "DELETE FROM slots", "DELETE FROM revisions"),
        "is at revision 0, although revision 2 was served",
    ),
    "no-revisions": (edits("DELETE FROM revisions"), "none of the revisions that made them"),
    "older-copy": (older_copy, "is at revision 1, although revision 2 was served"),
    "another-store": (recovered_elsewhere, "was changed by another program"),
    "no-json": (replaced("}", "", "kind = 'Route'"), "Route/a, which cannot be read"),
    "no-utf8": (
        edits("UPDATE documents SET body = CAST(x'7bff7d' AS TEXT) WHERE kind = 'Route'"),
        "was changed by another program than Laneway",
    ),
    "unknown-field": (replaced('"tag"', '"tga"', "name = 'red'"), "Lane/red, which cannot be read"),
    "unknown-kind": (
        edits("UPDATE documents SET kind = 'Road' WHERE kind = 'Route'"),
        "Road/a, which is not of a known kind",
    ),
    "wrong-type": (replaced('"percent":30', '"percent":"much"', "name = 'red'"), "must be a number"),
    "no-text": (edits("UPDATE documents SET body = x'00ff' WHERE name = 'red'"), "that is not text"),
    "moved": (edits("UPDATE documents SET name = 'b' WHERE kind = 'Route'"), "in the row of Route/b"),
    "slots-overlap": (slots([[0, 2000, "blue"], [1000, 4000, "red"]]), "that overlap"),
    "slots-outside": (slots([[0, 2000, "blue"], [9000, 12000, "red"]]), "out of range"),
    "slots-no-json": (edits("UPDATE slots SET ranges = 'x'"), "that are not JSON"),
    "slots-no-table": (slots([[0, 2000], [7, "red", 8]]), "that are not [[start, end, lane]"),
    "slots-of-nobody": (slots([[0, 2000, "blue"], [2000, 5000, "green"]]), "do not fit the shares"),
    "slots-too-few": (slots([[0, 2000, "blue"], [2000, 4000, "red"]]), "do not fit the shares"),
    "slots-lost": (edits("DELETE FROM slots"), "do not fit the shares"),
    "over-100": (replaced('"percent":30', '"percent":90', "name = 'red'"), "to 110 %"),
    "orphan-lanes": (edits("DELETE FROM documents WHERE kind = 'LaneGroup'"), "is not a known lane group"),
    "orphan-routes": (
        edits("DELETE FROM documents WHERE kind = 'Gateway'"),
        "gateway is not a known gateway",
    ),
    "lane-twice": (twice, "lane names are unique"),
    "edited": (replaced('"/a"', '"/b"', "kind = 'Route'"), "Route/a differs from the snapshot"),
    "log-missing": (log_missing, "although revision 2 was served"),
    "log-garbage": (log_garbage, "although revision 2 was served"),
}
"""By name: the damage, and what is said of it."""

UNNOTICED = {"edited", "older-copy", "another-store", "no-rows", "nothing"}
"""What only the snapshot tells from a good store."""

LOOKS_NEW = {"missing", "empty", "log-missing", "log-garbage"}
"""What only the snapshot tells from no store."""
