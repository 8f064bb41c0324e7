"""What was served last, on disk: it says that a store existed, and is served where the store is lost.

One file of JSON lines: a header with the revision and a checksum of the rest, then the rows. It is replaced
as a whole, so that a kill or a full disk leaves the one before.
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
"""Bytes that are read of a file that calls itself a snapshot."""


def beside(store: Path) -> Path:
    """Where the snapshot of the SQLite file `store` is."""
    return store.with_name(f"{store.name}.snapshot")


def within(state_dir: Path, store: str) -> Path:
    """Where a snapshot of `store` is in a state directory, which other stores may have used before."""
    return state_dir / f"definitions-{hashlib.sha256(store.encode()).hexdigest()[:12]}.snapshot"


class Snapshots:
    """The snapshots of the store that people call `store`: the same one at each of `paths`."""

    def __init__(self, store: str, paths: Sequence[Path]) -> None:
        self.store = store
        self.paths = tuple(paths)
        self._writing = threading.Lock()

    def read(self) -> Served | None:
        """The newest that can be read, else one that cannot; None where there is none at all."""
        found = [served for path in self.paths if (served := read(path)) is not None]
        return max(found, key=lambda one: (one.stored is not None, one.revision), default=None)

    def write(self, stored: Stored) -> None:
        """Replace every one. May be called in any thread.

        Raises OSError, of the last that failed, when all were tried.
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
    """The content of a snapshot file."""
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
    """The reverse of `encode`. Raises Unreadable."""
    first, _, body = data.partition(b"\n")
    header = _header(first)
    if header["format"] != FORMAT:
        raise Unreadable(f"was written by another version of Laneway (format {header['format']!r})")
    if _checksum(header["revision"], body) != header["sha256"]:
        raise Unreadable("is damaged: its checksum does not fit what it holds")
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
    raise Unreadable("is not a snapshot of Laneway, or its beginning is damaged")


def read(path: Path) -> Served | None:
    """The snapshot at `path`; one without `stored` where it cannot be read, None where there is none."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > SIZE_LIMIT:
            return Served(path, None, problem=f"{path} is no file of a snapshot")
        stored, at = decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Served(path, None, problem=f"{path} cannot be read: {error.strerror}")
    except Unreadable as error:
        return Served(path, None, problem=f"{path} {error}")
    return Served(path, stored, at)


def empty(stored: Stored) -> bool:
    """Whether nothing was ever defined, so that nothing can be lost."""
    return stored.revision == 0 and stored.definitions == Definitions()


def _replace(path: Path, content: bytes) -> None:
    """Make `content` the file at `path`, durably: at every moment the old or the new one is there, whole."""
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
            new.unlink()  # half a file takes room on a disk that is full
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
