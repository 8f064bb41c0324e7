"""Commands that change definitions: apply, delete, lane enable and disable."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from controlplane.cli import completion, kinds
from controlplane.cli.arguments import GatewayOption, GroupOption, NameArgument
from controlplane.cli.client import Client, refuse
from controlplane.cli.files import FileOption, read
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, notice, table


def apply(
    file: FileOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Create or change everything that the files define, all or nothing."""
    given = read(file)
    path = "/v1/apply" + ("?dry_run=true" if dry_run else "")
    with Client(server, token) as client:
        result = client.send("POST", path, content=given.text, places=given.places())
    for one in result.get("warnings", ()):
        notice(f"warning: {one['document']}: {one['message']}")
    for one in result.get("kept", ()):
        value = str(one["value"]).lower() if isinstance(one["value"], bool) else one["value"]
        notice(f"note: {one['document']} keeps {one['field']}: {value}, as the document does not give it")

    def draw() -> None:
        whats = ("created", "changed", "unchanged")
        rows = [(what, name) for what in whats for name in result.get(what, ())]
        console().print(table(("result", "definition"), rows))

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
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Delete one definition, or with -f all that the files define."""
    if file and kind is None:
        with Client(server, token) as client:
            result = _delete_files(client, file)
    else:
        if file or kind is None:
            fail("say what to delete: KIND NAME, or -f FILE", Exit.USAGE)
        word, name = kinds.split(kind, name)
        if name is None:
            fail("say what to delete: KIND NAME, or -f FILE", Exit.USAGE)
        of = kinds.find(word)
        if of.document is None:
            fail(f"{of.plural} are observed, not defined: there is nothing to delete", Exit.USAGE)
        with Client(server, token) as client:
            parent = {"gateway": gateway, "group": group}.get(of.owner or "")
            item, path = kinds.located(client, of, name, parent)
            client.send("DELETE", path)
        result = {"deleted": [f"{of.document}/{item['name']}"], "absent": []}

    def draw() -> None:
        for what in ("absent", "deleted"):
            for one in result[what]:
                console().print(f"{what} {one}")

    emit(result, output, draw)


def _delete_files(client: Client, files: list[str]) -> dict[str, list[str]]:
    """Delete what `files` define, children before their parents; what does not exist is `absent`."""
    given = read(files)
    order = [kind.document for kind in reversed(kinds.every()) if kind.document is not None]
    for place, one in given.documents:
        if not isinstance(one, dict) or one.get("kind") not in order or "name" not in one:
            fail(f"{place}: is not a definition with a kind and a name", Exit.USAGE)
    result: dict[str, list[str]] = {"deleted": [], "absent": []}
    for place, document in sorted(given.documents, key=lambda one: order.index(one[1]["kind"])):
        of = kinds.find(document["kind"])
        response = client.request("DELETE", kinds.member(of, document["name"], document.get(of.owner or "")))
        name = f"{document['kind']}/{document['name']}"
        if response.status_code >= 400 and response.status_code != 404:
            refuse(response, {name: str(place)})
        result["absent" if response.status_code == 404 else "deleted"].append(name)
    return result


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
