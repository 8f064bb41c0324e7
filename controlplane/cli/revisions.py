"""Commands over the history of definitions: history and undo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from controlplane.cli import completion
from controlplane.cli.check import tell_moves
from controlplane.cli.client import Client
from controlplane.cli.differences import told
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, line, notice, table

RevisionArgument = typer.Argument(
    help="Number of the revision, as `laneway history` shows it.", autocompletion=completion.revision
)


def history(
    revision: Annotated[int | None, RevisionArgument] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show whole documents, as a unified diff.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many revisions.")] = 100,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """List the changes of definitions, the newest first: when, who, what, why. With a number: one in full."""
    with Client(server, token) as client:
        items = client.items(f"/v1/revisions?limit={limit if revision is None else 1000}")
    if revision is not None:
        found = [one for one in items if one["revision"] == revision]
        if not found:
            fail(f"revision {revision} does not exist or is no longer kept; see `laneway history`")
        emit(found[0], output, lambda: _draw(found[0], diff))
        return
    rows = [
        (str(one["revision"]), str(one["at"]), one.get("who") or "-", ", ".join(one["what"]), one["note"])
        for one in items
    ]
    columns = ("revision", "time", "who", "what", "note")

    def draw() -> None:
        console().print(table(columns, rows))
        for one in items if diff else ():
            _draw(one, diff)

    emit({"items": items}, output, draw)


def _draw(one: dict[str, Any], diff: bool) -> None:
    out = console()
    by = f", by {one['who']}" if one.get("who") else ""
    out.print(line((f"revision {one['revision']}", "bold"), f", {one['at']}{by}"))
    if one["note"]:
        out.print(line(f"note: {one['note']}"))
    for text in [line(one["diff"])] if diff else told(one.get("changes", ())):
        out.print(text)


def undo(
    revision: Annotated[int | None, RevisionArgument] = None,
    to: Annotated[
        int | None,
        typer.Option(
            help="Undo everything after this revision, so that all is as it was then; 0: before the first.",
            autocompletion=completion.revision,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Undo one change, or with --to all changes after a revision; the undo is a new change."""
    if (revision is None) == (to is None):
        fail("give the number of a revision, or --to REVISION", Exit.USAGE)
    path = f"/v1/revisions/{revision}/undo" if to is None else f"/v1/revisions/{to}/restore"
    with Client(server, token) as client:
        made = client.send("POST", path + ("?dry_run=true" if dry_run else ""))

    def draw() -> None:
        for one in told(made.get("changes", ())):
            console().print(one)
        if not dry_run:
            all_is = f"all is as after revision {to}"
            console().print(f"revision {revision} is undone" if to is None else all_is)
        tell_moves(made.get("moves"))

    emit(made, output, draw)
    if dry_run:
        notice("dry run: nothing was changed")
