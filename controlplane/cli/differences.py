"""What changes differ in, field by field, for people; and the command `diff`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from controlplane.cli.arguments import GatewayOption, GroupOption
from controlplane.cli.check import tell_moves
from controlplane.cli.client import Client
from controlplane.cli.files import FileOption, read
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, line

if TYPE_CHECKING:
    from rich.text import Text

STYLES = {"created": "green", "changed": "yellow", "deleted": "red"}

Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Delete what is under --gateway or --group, and in no file. The gateway or group itself stays.",
    ),
]
Note = Annotated[str, typer.Option("--note", help="Why; `laneway history` shows it.")]


def query(
    dry_run: bool = False,
    prune: bool = False,
    gateway: str | None = None,
    group: str | None = None,
    note: str = "",
) -> str:
    """The query of a change, such as `?dry_run=true`. Ends the command where --prune is without its scope."""
    if prune and not gateway and not group:
        fail("say what to prune: --prune --group GROUP, or --prune --gateway GATEWAY", Exit.USAGE)
    if (gateway or group) and not prune:
        fail("--gateway and --group say what to prune: give --prune, too", Exit.USAGE)
    given = {
        "dry_run": "true" if dry_run else "",
        "prune_gateway": gateway,
        "prune_group": group,
        "note": note,
    }
    text = urlencode({name: value for name, value in given.items() if value})
    return f"?{text}" if text else ""


def told(changes: Iterable[dict[str, Any]]) -> Iterator[Text]:
    """The lines that tell changes: `changed Lane/gray`, `  priority: 100 -> 7`."""
    for one in changes:
        yield line((one["change"], STYLES[one["change"]]), f" {one['document']}")
        for field in one["fields"]:
            before, after = _text(field["before"]), _text(field["after"])
            yield line(f"  {field['field']}: ", (before, "red"), " -> ", (after, "green"))


def _text(value: Any) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def diff(
    file: FileOption,
    prune: Prune = False,
    gateway: GatewayOption = None,
    group: GroupOption = None,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Say what `apply` would change, field by field. Exit code 0: nothing; 1: something; 2: it would fail."""
    try:
        given = read(file)
        path = f"/v1/apply{query(True, prune, gateway, group)}"
        with Client(server, token) as client:
            result = client.send("POST", path, content=given.text, places=given.places())
    except typer.Exit as end:
        raise typer.Exit(Exit.USAGE if end.exit_code == Exit.FAILED else end.exit_code) from None
    changes = result.get("changes", [])

    def draw() -> None:
        for one in told(changes):
            console().print(one)
        tell_moves(result.get("moves"))

    emit(result, output, draw)
    if changes:
        raise typer.Exit(Exit.FAILED)
