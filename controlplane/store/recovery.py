"""Checks, recovers and resets an SQLite store that no control plane uses, for `laneway store`.

Nothing is deleted: files that are replaced are renamed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.model.problems import DefinitionError
from controlplane.store import snapshots, sqlite_file
from controlplane.store.interface import Revision, Served, Stored, StoreInUse, StoreUnavailable
from controlplane.store.rows import Unreadable
from controlplane.store.snapshots import Snapshots

SQLITE_HEADER = b"SQLite format 3\x00"


class NotRecovered(Exception):
    """The store was not recovered or reset, and nothing was changed; the text is the reason."""


@dataclass(frozen=True)
class Found:
    """The state of a store: `stored` is None if there is none, or if it cannot be used because of `problem`.

    `in_use` tells whether another process uses it.
    """

    stored: Stored | None = None
    problem: str = ""
    in_use: bool = False


def look(path: Path, served: Served | None) -> Found:
    """What a control plane would find at `path`, given the snapshot `served`. Creates no file."""
    try:
        if not sqlite_file.holds_something(path, served):
            return Found()
        connection, stored = sqlite_file.load(path, 0.0, served)
    except StoreInUse as error:
        return Found(None, str(error), in_use=True)
    except StoreUnavailable as error:
        return Found(None, str(error))
    connection.close()
    return Found(stored)


def source(path: Path) -> Stored:
    """The definitions of a file: a snapshot, an SQLite store, or an export, which has no revision (0).

    The file is not changed. Raises NotRecovered if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(len(SQLITE_HEADER))
        if beginning == SQLITE_HEADER:
            return _of_sqlite(path)
        if beginning.startswith(b'{"about": '):
            return snapshots.decode(path.read_bytes())[0]
        return Stored(Definitions(at=time.time()).apply(parse_documents(path.read_bytes())).definitions)
    except OSError as error:
        raise NotRecovered(f"{path} cannot be read: {error.strerror}") from error
    except StoreUnavailable as error:
        raise NotRecovered(str(error)) from error
    except Unreadable as error:
        raise NotRecovered(f"{path} {error}") from error
    except DefinitionError as error:
        raise NotRecovered(f"the definitions in {path} cannot be used: {error.title}") from error


def _of_sqlite(path: Path) -> Stored:
    """The definitions of an SQLite file, read from a copy: opening the file itself would write to it."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        if sqlite_file.wal_of(path).exists():
            shutil.copyfile(sqlite_file.wal_of(path), sqlite_file.wal_of(copy))
        connection, stored = sqlite_file.load(copy, 0.0)
        connection.close()
    return stored


def recover(path: Path, stored: Stored, least: int, note: str) -> tuple[int, list[Path]]:
    """Make a store of the definitions `stored` at `path`.

    Its revision is greater than `least` and than any known revision of the store; `note` is kept with it.
    Returns the revision, and the new names of the files that were replaced. Raises NotRecovered.
    """
    now = look(path, None)
    if now.in_use:
        raise NotRecovered(f"{now.problem}; stop it first")
    number = max(stored.revision, least, now.stored.revision if now.stored else 0) + 1
    new = path.with_name(f"{path.name}.recovered")
    try:
        _remove(new)
        connection, _ = sqlite_file.load(new, 0.0)
        try:
            revision = Revision(number, time.time(), "", note, (), "")
            sqlite_file.write(connection, Definitions(), stored.definitions, revision)
        finally:
            connection.close()
        _like(path, new)
        aside = set_aside([sqlite_file.wal_of(path), _shm_of(path)], "damaged")
        return number, _replace(path, new, aside)
    except StoreUnavailable as error:
        raise NotRecovered(str(error)) from error
    except OSError as error:
        raise NotRecovered(f"{path} cannot be written: {error.strerror}") from error


def _replace(path: Path, new: Path, aside: list[Path]) -> list[Path]:
    """Replace the file `path` by `new`, and keep the old one under another name.

    There is a file at every moment: otherwise a control plane that waits for the store would make an empty
    one.
    """
    if path.is_dir():
        aside = [*set_aside([path], "damaged"), *aside]
    elif path.exists():
        kept = _name(path, "damaged")
        try:
            os.link(path, kept)
        except OSError:
            path.rename(kept)
        aside = [kept, *aside]
    new.replace(path)
    return aside


def reset(path: Path, kept: Snapshots) -> list[Path]:
    """Rename the store and its snapshots `kept`, so that the next start makes an empty store.

    Returns the new names. Raises NotRecovered.
    """
    now = look(path, None)
    if now.in_use:
        raise NotRecovered(f"{now.problem}; stop it first")
    try:
        return set_aside([path, sqlite_file.wal_of(path), _shm_of(path), *kept.paths], "old")
    except OSError as error:
        raise NotRecovered(f"{error.filename} cannot be renamed: {error.strerror}") from error


def set_aside(paths: list[Path], what: str) -> list[Path]:
    """Rename those of `paths` that exist to `PATH.<what>-<time>`; returns the new names. Raises OSError."""
    names = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            name = _name(path, what)
            path.rename(name)
            names.append(name)
    return names


def _name(path: Path, what: str) -> Path:
    """A name in the same directory that no file has."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, number = path.with_name(f"{path.name}.{what}-{stamp}"), 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}.{what}-{stamp}-{number}")
    return name


def _shm_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _remove(path: Path) -> None:
    for one in (path, sqlite_file.wal_of(path), _shm_of(path)):
        one.unlink(missing_ok=True)


def _like(old: Path, new: Path) -> None:
    """Give `new` the owner of the file that it replaces: root may recover for a service of another user."""
    if os.geteuid() == 0:
        model = (old if old.is_file() else old.parent).stat()
        os.chown(new, model.st_uid, model.st_gid)
