"""Looking after an SQLite store while no control plane has it: what is there, put back, begin anew.

Nothing is deleted: what was in the way is renamed.
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
    """Nothing was changed, for the reason in the text."""


@dataclass(frozen=True)
class Found:
    """What is there: `stored` None where there is no store, or none that can be used, see `problem`."""

    stored: Stored | None = None
    problem: str = ""
    in_use: bool = False


def look(path: Path, served: Served | None) -> Found:
    """What a control plane would find at `path`. Makes nothing."""
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
    """The definitions in a file: a snapshot, an SQLite store, or an export (then without a revision: 0).

    The file is left as it is. Raises NotRecovered.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(len(SQLITE_HEADER))
        if beginning == SQLITE_HEADER:
            return _of_sqlite(path)
        if beginning.startswith(b'{"about": '):
            return snapshots.decode(path.read_bytes())[0]
        return Stored(Definitions().apply(parse_documents(path.read_bytes())).definitions)
    except OSError as error:
        raise NotRecovered(f"{path} cannot be read: {error.strerror}") from error
    except StoreUnavailable as error:
        raise NotRecovered(str(error)) from error
    except Unreadable as error:
        raise NotRecovered(f"{path} {error}") from error
    except DefinitionError as error:
        raise NotRecovered(f"{path} holds no definitions that can be used: {error.title}") from error


def _of_sqlite(path: Path) -> Stored:
    """Of a copy: opening a file would write to it."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        if sqlite_file.wal_of(path).exists():
            shutil.copyfile(sqlite_file.wal_of(path), sqlite_file.wal_of(copy))
        connection, stored = sqlite_file.load(copy, 0.0)
        connection.close()
    return stored


def recover(path: Path, stored: Stored, least: int, note: str) -> tuple[int, list[Path]]:
    """Make a store of `stored` at `path`; returns its revision, and where what was there is now.

    The revision is above `least`, and above all that is known of the store. Raises NotRecovered.
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
    """Put `new` in the place of `path`, of which a name is kept. There is a store at every moment: a control
    plane that waits for one would else make it.
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
    """Rename the store and its snapshots, so that the next start begins empty. Raises NotRecovered."""
    now = look(path, None)
    if now.in_use:
        raise NotRecovered(f"{now.problem}; stop it first")
    try:
        return set_aside([path, sqlite_file.wal_of(path), _shm_of(path), *kept.paths], "old")
    except OSError as error:
        raise NotRecovered(f"{error.filename} cannot be renamed: {error.strerror}") from error


def set_aside(paths: list[Path], what: str) -> list[Path]:
    """Rename those of `paths` that are there; returns the new names."""
    names = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            name = _name(path, what)
            path.rename(name)
            names.append(name)
    return names


def _name(path: Path, what: str) -> Path:
    """A name beside `path` that nothing has."""
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
    """Give `new` the owner of what it replaces: root recovers for a service that is not root."""
    if os.geteuid() == 0:
        model = (old if old.is_file() else old.parent).stat()
        os.chown(new, model.st_uid, model.st_gid)
