"""The last snapshot of definitions, on disk: it shows that a store existed, and is served if the store is
lost.

A snapshot is a file of JSON lines: a header with the revision and a checksum of the rest, then the rows. The
file is replaced as a whole, so that after a kill, or on a full disk, the one before is still there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controlplane.model.definitions import Definitions
from controlplane.store.interface import Served, Stored
from controlplane.store.rows import Unreadable, definitions_of, rows_of, slots_rows_of

FORMAT = 1
ABOUT = "Laneway's last snapshot of definitions. `laneway store recover` puts it back."
SIZE_LIMIT = 1 << 30
"""Bytes of the largest file that is read as a snapshot."""


def beside(store: Path) -> Path:
    """The path of the snapshot of the SQLite file `store`."""
    return store.with_name(f"{store.name}.snapshot")


def within(state_dir: Path, store: str) -> Path:
    """The path of the snapshot of `store` in a state directory, which may have snapshots of other
    stores, too.
    """
    return state_dir / f"definitions-{hashlib.sha256(store.encode()).hexdigest()[:12]}.snapshot"


class Snapshots:
    """Copies of the snapshot of one store, at each of `paths`. `store` is its name for people."""

    def __init__(self, store: str, paths: Sequence[Path]) -> None:
        self.store = store
        self.paths = tuple(paths)
        self._writing = threading.Lock()

    def read(self) -> Served | None:
        """The newest snapshot that can be read, else one that cannot; None where there is none."""
        found = [served for path in self.paths if (served := read(path)) is not None]
        return max(found, key=lambda one: (one.stored is not None, one.revision), default=None)

    def write(self, stored: Stored) -> None:
        """Replace the snapshot at every path. May be called in any thread.

        Raises OSError, the last one, after all paths were tried.
        """
        text = encode(stored, self.store, time.time())
        failed: OSError | None = None
        with self._writing:
            for path in self.paths:
                try:
                    _replace(path, text)
                except OSError as error:
                    failed = error
        if failed is not None:
            raise failed


def encode(stored: Stored, store: str, at: float) -> bytes:
    """The content of a snapshot of `stored`; `at` is in seconds since the epoch."""
    definitions = stored.definitions
    rows: list[tuple[str, ...]] = [*rows_of(definitions), *slots_rows_of(definitions)]
    body = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    header = {
        "about": ABOUT,
        "format": FORMAT,
        "store": store,
        "revision": stored.revision,
        "at": at,
        "sha256": _checksum(stored.revision, body),
    }
    return json.dumps(header).encode() + b"\n" + body


def _checksum(revision: int, body: bytes) -> str:
    return hashlib.sha256(f"{revision}\n".encode() + body).hexdigest()


def decode(data: bytes) -> tuple[Stored, float]:
    """The definitions and the time of a snapshot, from its content. Raises Unreadable."""
    first, _, body = data.partition(b"\n")
    header = _header(first)
    if header["format"] != FORMAT:
        raise Unreadable(f"was written by another version of Laneway (format {header['format']!r})")
    if _checksum(header["revision"], body) != header["sha256"]:
        raise Unreadable("is damaged: its content does not have its checksum")
    try:
        rows: list[Any] = [json.loads(line) for line in body.splitlines()]
        definitions = definitions_of(
            [row for row in rows if len(row) == 4], [row for row in rows if len(row) == 3]
        )
    except Unreadable:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"cannot be read: {error}") from error
    return Stored(definitions, header["revision"]), float(header["at"])


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        if type(header["revision"]) is int and type(header["at"]) in (int, float) and header["sha256"]:
            return {"format": None, **header}
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise Unreadable("is not a snapshot of Laneway, or its first line is damaged")


def read(path: Path) -> Served | None:
    """The snapshot at `path`; without `stored` where it cannot be read; None where there is none."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > SIZE_LIMIT:
            return Served(path, None, problem=f"{path} is not a regular file of at most {SIZE_LIMIT} bytes")
        stored, at = decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Served(path, None, problem=f"{path} cannot be read: {error.strerror}")
    except Unreadable as error:
        return Served(path, None, problem=f"{path} {error}")
    return Served(path, stored, at)


def empty(stored: Stored) -> bool:
    """Whether nothing was ever defined, so that nothing can have been lost."""
    return stored.revision == 0 and stored.definitions == Definitions()


def _replace(path: Path, content: bytes) -> None:
    """Replace the file at `path` by one with `content`, durably; at every moment one of the two is there."""
    new = path.with_name(f"{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()  # a part of a file takes room on a full disk
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
