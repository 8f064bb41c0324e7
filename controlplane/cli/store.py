"""`laneway store`: check, recover and reset where definitions are kept, without a control plane."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import console, fail
from controlplane.cli.serve import load_or_fail

if TYPE_CHECKING:
    from controlplane.app.settings import Settings
    from controlplane.store.interface import Served, Stored
    from controlplane.store.snapshots import Snapshots

ConfigOption = Annotated[
    Path | None, typer.Option("--config", envvar="LANEWAY_CONFIG", help="YAML file with settings.")
]
StoreOption = Annotated[
    str | None, typer.Option(help="sqlite:PATH or nacos, as for serve. [default: sqlite:laneway.db]")
]
StateOption = Annotated[Path | None, typer.Option(help="State directory, as for serve.")]


def check(config: ConfigOption = None, store: StoreOption = None, state_dir: StateOption = None) -> None:
    """Say what a control plane would find in the store and in its last snapshot. Changes nothing.

    Exit code 1 if a control plane could not serve what is in the store.
    """
    settings, snapshots = _settings(config, store, state_dir)
    served = snapshots.read()
    stored, problem = _found(settings, served)
    if not problem:
        line = told(stored) if stored is not None else "no definitions yet; the first start creates the store"
        console().print(f"store {settings.store}: {line}", markup=False)
    for path in snapshots.paths:
        console().print(f"snapshot {path}: {_snapshot(path)}", markup=False)
    if not problem:
        return
    if served is not None and served.stored is not None:
        remedy = "serve uses the snapshot, read-only; `laneway store recover` makes a new store from it"
    else:
        remedy = (
            "serve waits; `laneway store recover --from FILE` makes a new store from a backup or an export"
        )
    fail(f"{problem}\n{remedy}; `laneway store reset` starts with an empty one")


def recover(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A snapshot, a copy of an SQLite store, or an export. [the last snapshot]"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    config: ConfigOption = None,
    store: StoreOption = None,
    state_dir: StateOption = None,
) -> None:
    """Make a new store from the last snapshot, or from --from. The old one is renamed, not deleted."""
    from controlplane.store import recovery

    settings, snapshots = _settings(config, store, state_dir)
    served = snapshots.read()
    found, problem = _found(settings, served)
    if not problem and found is not None and source is None:
        console().print(f"nothing to do: store {settings.store}: {told(found)}", markup=False)
        return
    try:
        if source is not None:
            stored = recovery.source(source)
        elif served is None or served.stored is None:
            reason = served.problem if served is not None else "there is no snapshot"
            fail(f"{reason}; name a backup of the store or an export with --from")
        else:
            source, stored = served.path, served.stored
        if dry_run:
            console().print(f"would make {settings.store} of {source}: {told(stored)}", markup=False)
            return
        least = served.revision if served is not None else 0
        number = _made(settings, stored, least, f"recovered from {source}")
    except recovery.NotRecovered as error:
        fail(str(error))
    console().print(f"made {settings.store} of {source}: {told(stored)}", markup=False)
    console().print(f"it is revision {number} now; a waiting control plane loads it within 10 s")


def reset(config: ConfigOption = None, store: StoreOption = None, state_dir: StateOption = None) -> None:
    """Start over: rename the store and its snapshots, so that the next start finds none."""
    from controlplane.app.parts import sqlite_of
    from controlplane.store import recovery

    settings, snapshots = _settings(config, store, state_dir)
    try:
        if settings.store == "nacos":
            renamed = recovery.set_aside(list(snapshots.paths), "old")
        else:
            renamed = recovery.reset(sqlite_of(settings), snapshots)
    except recovery.NotRecovered as error:
        fail(str(error))
    for path in renamed:
        console().print(f"renamed to {path}", markup=False)
    if not renamed:
        console().print("nothing to do: there is no store and no snapshot", markup=False)


def told(stored: Stored) -> str:
    """A line about `stored`."""
    counts = Counter(document.kind for document in stored.definitions.documents())
    kinds = ", ".join(f"{kind} {number}" for kind, number in counts.items())
    return f"revision {stored.revision}, {counts.total()} definitions" + (f" ({kinds})" if kinds else "")


def _settings(config: Path | None, store: str | None, state_dir: Path | None) -> tuple[Settings, Snapshots]:
    from controlplane.app import logs
    from controlplane.app.parts import snapshots_of

    settings = load_or_fail(config, {"store": store, "state_dir": state_dir})
    if settings.stores_in_kubernetes:
        fail("definitions in Kubernetes are restored with Kubernetes' own means", Exit.USAGE)
    if settings.store == "memory":
        fail("the store `memory` keeps nothing between starts", Exit.USAGE)
    logs.configure(settings.log_format, "warning")
    return settings, snapshots_of(settings)


def _found(settings: Settings, served: Served | None) -> tuple[Stored | None, str]:
    """What a control plane would find, or why it could not. Ends the command if one uses the store."""
    from controlplane.app.parts import nacos_of, sqlite_of
    from controlplane.store import recovery

    if settings.store == "nacos":
        from controlplane.store.nacos import restore as nacos_restore

        return nacos_restore.look(nacos_of(settings), served)
    found = recovery.look(sqlite_of(settings), served)
    if found.in_use:
        fail(f"{found.problem}; ask that control plane: its /readyz tells the state of the store")
    return found.stored, found.problem


def _made(settings: Settings, stored: Stored, least: int, note: str) -> int:
    from controlplane.app.parts import nacos_of, sqlite_of
    from controlplane.store import recovery

    if settings.store == "nacos":
        from controlplane.store.nacos import restore as nacos_restore

        return nacos_restore.recover(nacos_of(settings), stored, least, note)
    number, renamed = recovery.recover(sqlite_of(settings), stored, least, note)
    for path in renamed:
        console().print(f"renamed to {path}", markup=False)
    return number


def _snapshot(path: Path) -> str:
    from controlplane.store.snapshots import read

    served = read(path)
    if served is None:
        return "none"
    if served.stored is None:
        return served.problem
    at = datetime.fromtimestamp(served.at, UTC).isoformat(timespec="seconds")
    return f"{told(served.stored)}, of {at}"
