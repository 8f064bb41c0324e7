"""Commands over the history of definitions: history and undo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from controlplane.cli import completion
from controlplane.cli.client import Client, segment
from controlplane.cli.options import DEFAULT_SERVER, Format, Output, Server, Token
from controlplane.cli.output import console, emit, table


def history(output: Format = Output.TABLE, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """List the changes of definitions, the newest first: when, who and what."""
    with Client(server, token) as client:
        items = client.items("/v1/revisions")
    rows = [(str(one["revision"]), str(one["at"]), one.get("who") or "-", _what(one)) for one in items]
    columns = ("revision", "time", "who", "what")
    emit({"items": items}, output, lambda: console().print(table(columns, rows)))


def undo(
    revision: Annotated[
        str,
        typer.Argument(
            help="Number of the revision, as `laneway history` shows it.",
            autocompletion=completion.revision,
        ),
    ],
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Undo one change; the undo is a new change."""
    with Client(server, token) as client:
        made = client.send("POST", f"/v1/revisions/{segment(revision)}/undo")
    emit(made, output, lambda: console().print(f"revision {revision} is undone"))


def _what(revision: dict[str, Any]) -> str:
    what = revision.get("what") or revision.get("changes") or ""
    return what if isinstance(what, str) else ", ".join(map(str, what))
