"""Commands that change definitions: apply, delete, lane enable and disable."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from controlplane.cli import completion, kinds
from controlplane.cli.arguments import GatewayOption, GroupOption, NameArgument
from controlplane.cli.check import tell_moves
from controlplane.cli.client import Client
from controlplane.cli.differences import Note, Prune, query, told
from controlplane.cli.files import FileOption, read
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, notice, table


def apply(
    file: FileOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    prune: Prune = False,
    gateway: GatewayOption = None,
    group: GroupOption = None,
    note: Note = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Stop releases that move shares of these lanes.")
    ] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Create or change everything that the files define, all or nothing."""
    given = read(file)
    path = f"/v1/apply{query(dry_run, prune, gateway, group, note)}"
    if take_over:
        path += "&take_over=true" if "?" in path else "?take_over=true"
    with Client(server, token) as client:
        result = client.send("POST", path, content=given.text, places=given.places())
    for one in result.get("warnings", ()):
        notice(f"warning: {one['document']}: {one['message']}")
    for one in result.get("kept", ()):
        value = str(one["value"]).lower() if isinstance(one["value"], bool) else one["value"]
        why = "the document does not give it"
        if one["field"].startswith("ratio."):
            why = "a release moves it; to stop the release, give --take-over"
        notice(f"note: {one['document']} keeps {one['field']}: {value}, because {why}")

    def draw() -> None:
        whats = ("created", "changed", "unchanged", "deleted")
        rows = [(what, name) for what in whats for name in result.get(what, ())]
        console().print(table(("result", "definition"), rows))
        changed = [one for one in result.get("changes", ()) if one["fields"]]
        if changed:
            console().print()
        for one in told(changed):
            console().print(one)
        tell_moves(result.get("moves"))

    emit(result, output, draw)
    if dry_run:
        notice("dry run: nothing was changed")


def delete(
    kind: Annotated[
        str | None,
        typer.Argument(help="Kind of the definition, or KIND/NAME.", autocompletion=completion.defined),
    ] = None,
    name: NameArgument = None,
    file: FileOption = [],  # noqa: B006 - Typer reads the default, nothing changes it
    gateway: GatewayOption = None,
    group: GroupOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    note: Note = "",
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Delete one definition, or with -f all that the files define, with all that goes with it."""
    with Client(server, token) as client:
        if file and kind is None:
            given = read(file)
            content, places = given.text, given.places()
        else:
            if file or kind is None:
                fail("say what to delete: KIND NAME, or -f FILE", Exit.USAGE)
            content, places = _named(client, kind, name, {"gateway": gateway, "group": group}), {}

        def send(dry: bool) -> dict[str, Any]:
            path = f"/v1/delete{query(dry, note=note)}"
            return client.send("POST", path, content=content, places=places)

        result = send(True)
        named = set(places) if places else {f"{one['kind']}/{one['name']}" for one in json.loads(content)}
        if also := [one for one in result["deleted"] if one not in named]:
            notice(f"with what is named {'would go' if dry_run else 'go'}: {', '.join(also)}")
        if not dry_run:
            result = send(False)

    def draw() -> None:
        for what in ("absent", "deleted"):
            for one in result[what]:
                console().print(f"{what} {one}")
        tell_moves(result.get("moves"))

    emit(result, output, draw)
    if dry_run:
        notice("dry run: nothing was deleted")


def _named(client: Client, kind: str, name: str | None, parents: dict[str, str | None]) -> bytes:
    """The document that KIND NAME means, as the body of a request: JSON, which is YAML, too."""
    word, name = kinds.split(kind, name)
    if name is None:
        fail("say what to delete: KIND NAME, or -f FILE", Exit.USAGE)
    of = kinds.find(word)
    if of.document is None:
        fail(f"{of.plural} are observed, not defined: there is nothing to delete", Exit.USAGE)
    item, _ = kinds.located(client, of, name, parents.get(of.owner or ""))
    owner = {of.owner: item[of.owner]} if of.owner else {}
    return json.dumps([{"kind": of.document, "name": item["name"], **owner}]).encode()


LaneArgument = Annotated[str, typer.Argument(help="Name of the lane.", autocompletion=completion.lane)]


def enable(
    lane: LaneArgument,
    ttl: Annotated[
        str,
        typer.Option(help="How long it stays on, such as 30m or 2h; without it, until it is switched off."),
    ] = "",
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Switch a lane on: matching requests enter it."""
    _switch(lane, f"enable?ttl={quote(ttl, safe='')}" if ttl else "enable", output, server, token)


def disable(
    lane: LaneArgument,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Switch a lane off: its requests go to base, after those in flight have ended."""
    _switch(lane, "disable", output, server, token)


def _switch(lane: str, how: str, output: Output, server: str, token: str) -> None:
    with Client(server, token) as client:
        path = kinds.located(client, kinds.find("lane"), lane)[1]
        result: dict[str, Any] = client.send("POST", f"{path}/{how}")
    times = kinds.times_text((result.get("status") or {}).get("times"))
    said = f"lane {result['name']} is {'enabled' if result['enabled'] else 'disabled'}"
    emit(result, output, lambda: console().print(f"{said}; {times}" if times else said))
