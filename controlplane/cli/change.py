"""Commands that change definitions: apply, delete, lane enable and disable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from controlplane.cli import kinds
from controlplane.cli.client import Client
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, fail, notice, show, table

FILE_ENDINGS = (".yaml", ".yml", ".json")

FileOption = Annotated[
    list[str],
    typer.Option("--file", "-f", help="A file, a directory, or - for standard input; may be repeated."),
]


def read_documents(files: list[str]) -> bytes:
    """All documents of `files` as one YAML stream, directories in the order of their names.

    Ends the command with exit code USAGE if a file cannot be read.
    """
    texts: list[str] = []
    for name in files:
        if name == "-":
            texts.append(sys.stdin.read())
            continue
        path = Path(name)
        members = (
            sorted(one for one in path.rglob("*") if one.suffix in FILE_ENDINGS) if path.is_dir() else [path]
        )
        if not members:
            fail(f"{name} contains no file that ends in {', '.join(FILE_ENDINGS)}", Exit.USAGE)
        for member in members:
            try:
                texts.append(member.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                fail(f"cannot read {member}: {error}", Exit.USAGE)
    return "\n---\n".join(text.rstrip("\n") for text in texts).encode() + b"\n"


def apply(
    file: FileOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Create or change everything that the files define, all or nothing."""
    documents = read_documents(file)
    with Client(server, token) as client:
        result = client.send("POST", "/v1/apply" + ("?dry_run=true" if dry_run else ""), content=documents)
    if output in (Output.JSON, Output.YAML):
        show(result, output)
        return
    for one in result.get("warnings", ()):
        notice(f"warning: {one['document']}: {one['message']}")
    for one in result.get("kept", ()):
        value = str(one["value"]).lower() if isinstance(one["value"], bool) else one["value"]
        notice(f"note: {one['document']} keeps {one['field']}: {value}, as the document does not give it")
    rows = [(what, name) for what in ("created", "changed", "unchanged") for name in result.get(what, ())]
    if rows:
        console().print(table(("result", "definition"), rows))
    if dry_run:
        notice("dry run: nothing was changed")


def delete(
    kind: Annotated[
        str | None, typer.Argument(help="Kind of the definition.", autocompletion=kinds.complete)
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="Its name; routes and lanes also as PARENT/NAME.")
    ] = None,
    file: FileOption = [],  # noqa: B006 - Typer reads the default, nothing changes it
    gateway: Annotated[str | None, typer.Option("--gateway", help="Gateway of the route.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Group of the lane.")] = None,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Delete one definition, or with -f all that the files define."""
    if file and kind is None:
        with Client(server, token) as client:
            _delete_files(client, file)
        return
    if file or kind is None or name is None:
        fail("say what to delete: KIND NAME, or -f FILE", Exit.USAGE)
    of = kinds.find(kind)
    if of.document is None:
        fail(f"{of.plural} are observed, not defined: there is nothing to delete", Exit.USAGE)
    with Client(server, token) as client:
        path = kinds.located(client, of, name, {"gateway": gateway, "group": group}.get(of.owner or ""))[1]
        client.send("DELETE", path)
    console().print(f"deleted {of.document}/{name}")


def _delete_files(client: Client, files: list[str]) -> None:
    """Delete what `files` define, children before their parents; skip what does not exist."""
    import yaml

    try:
        documents = [one for one in yaml.safe_load_all(read_documents(files)) if one is not None]
    except yaml.YAMLError as error:
        fail(f"not YAML: {error}", Exit.USAGE)
    order = [kind.document for kind in reversed(kinds.every()) if kind.document is not None]
    wrong = [
        one
        for one in documents
        if not isinstance(one, dict) or one.get("kind") not in order or "name" not in one
    ]
    if wrong:
        fail(f"not a definition with a kind and a name: {str(wrong[0])[:200]}", Exit.USAGE)
    for document in sorted(documents, key=lambda one: order.index(one["kind"])):
        of = kinds.find(document["kind"])
        response = client.request("DELETE", kinds.member(of, document["name"], document.get(of.owner or "")))
        if response.status_code == 404:
            console().print(f"absent  {document['kind']}/{document['name']}")
            continue
        client.checked(response)
        console().print(f"deleted {document['kind']}/{document['name']}")


LaneArgument = Annotated[str, typer.Argument(help="Name of the lane.")]


def enable(
    lane: LaneArgument,
    ttl: Annotated[
        str,
        typer.Option(help="How long it stays on, such as 30m or 2h; without it, until it is switched off."),
    ] = "",
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Switch a lane on: matching requests enter it."""
    _switch(lane, f"enable?ttl={quote(ttl, safe='')}" if ttl else "enable", server, token)


def disable(lane: LaneArgument, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """Switch a lane off: its requests go to base, after those in flight have ended."""
    _switch(lane, "disable", server, token)


def _switch(lane: str, how: str, server: str, token: str) -> None:
    with Client(server, token) as client:
        path = kinds.located(client, kinds.find("lane"), lane)[1]
        result: dict[str, Any] = client.send("POST", f"{path}/{how}")
    times = kinds.times_text((result.get("status") or {}).get("times"))
    word = "enabled" if result["enabled"] else "disabled"
    console().print(f"lane {result['name']} is {word}{f'; {times}' if times else ''}")
