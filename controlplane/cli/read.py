"""Commands that read: get, describe, export, proxies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli import applications, completion, kinds
from controlplane.cli.arguments import GatewayOption, GroupOption, NameArgument
from controlplane.cli.client import Client
from controlplane.cli.following import Following
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import Harmless, console, dump, emit, fail, line, table, write
from controlplane.ip import authority

if TYPE_CHECKING:
    from rich.console import RenderableType

KindArgument = Annotated[
    str,
    typer.Argument(
        help="gateways, routes, applications, lane-groups, lanes, services, proxies or all; several with "
        "commas between; or KIND/NAME.",
        autocompletion=completion.kind,
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show every change, until Ctrl-C.")]


def get(
    kind: KindArgument,
    name: NameArgument = None,
    gateway: GatewayOption = None,
    group: GroupOption = None,
    watch: Watch = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """List what is defined, what the registries say, or which proxies are connected."""
    word, name = kinds.split(kind, name)
    wanted = kinds.every() if word == "all" else [kinds.find(one) for one in word.split(",")]
    if len(wanted) > 1 and name is not None:
        fail("a name needs one kind", Exit.USAGE)
    parents = {"gateway": gateway, "group": group}
    with Client(server, token) as client:

        def fetch() -> Any:
            found = [_fetched(client, of, name, parents.get(of.owner or "")) for of in wanted]
            if len(found) == 1:
                return found[0]
            return {"items": [item for one in found for item in one["items"]], "of": found}

        def render(value: Any) -> RenderableType:
            from rich.console import Group

            parts = value.get("of") or [value]
            tables = [_things(of, one, output) for of, one in zip(wanted, parts, strict=True)]
            if len(tables) == 1:
                return tables[0]
            texts = [(of.plural.upper(), one) for of, one in zip(wanted, tables, strict=True)]
            return Group(*(part for title, one in texts for part in (line((title, "bold")), one, "")))

        def printed(value: Any) -> None:
            emit(_machine(value), output, lambda: console().print(render(value)))

        if watch:
            _watch(fetch, render, printed, output, Following(client, _followed(wanted)))
        else:
            printed(fetch())


def _followed(wanted: list[kinds.Kind]) -> list[str]:
    """The collections that what is shown is made of."""
    paths = [f"/v1/{of.plural}" for of in wanted]
    if any(of.plural == "applications" for of in wanted):
        paths.append("/v1/services")  # the live ones come from there
    return list(dict.fromkeys(paths))


def _fetched(client: Client, of: kinds.Kind, name: str | None, parent: str | None) -> Any:
    if of.plural == "applications":
        return applications.fetched(client, of, name)
    if name is not None:
        return kinds.located(client, of, name, parent)[0]
    if of.plural == "services":
        return client.get(kinds.collection(of))
    return {"items": kinds.listed(client, of, parent)}


def _machine(value: Any) -> Any:
    """What programs get: without the parts that `get` keeps for its tables."""
    return {key: part for key, part in value.items() if key != "of"}


def _things(of: kinds.Kind, value: Any, output: Output) -> RenderableType:
    wide = output == Output.WIDE
    if of.plural == "applications":
        return applications.table_of(value, wide)
    things = _with_warnings(_table(of, value, wide), value)
    return _with_sources(things, value["sources"]) if "sources" in value else things


def describe(
    kind: KindArgument,
    name: NameArgument = None,
    gateway: GatewayOption = None,
    group: GroupOption = None,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Show one thing with everything that is known about it."""
    from controlplane.cli.inspection import matches_table

    word, name = kinds.split(kind, name)
    of = kinds.find(word)
    if name is None:
        fail(f"say which: laneway describe {of.plural} NAME", Exit.USAGE)
    parent = {"gateway": gateway, "group": group}.get(of.owner or "")
    with Client(server, token) as client:
        if of.plural == "applications":
            item = applications.fetched(client, of, name)
            emit(item, output, lambda: console().print(_document(item)))
            return
        item, path = kinds.located(client, of, name, parent)

        def draw() -> None:
            if of.plural == "services":
                _describe_service(item)
            elif of.plural == "proxies":
                for stream in item["items"]:
                    _describe_proxy(stream)
            else:
                console().print(_document(item))
                if of.plural == "lanes":
                    console().print(matches_table(client.get(f"{path}/matches")))

        emit(item, output, draw)


def export(server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """Print every definition as one YAML stream, which `laneway apply -f -` accepts."""
    with Client(server, token) as client:
        write(client.text("/v1/export"))


def proxies(
    node: Annotated[
        str | None, typer.Argument(help="Node id of one proxy.", autocompletion=completion.proxy)
    ] = None,
    watch: Watch = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """List the connected Envoys: what each was sent and what it acknowledged. With a node id, one in full."""
    if node is not None and output == Output.TABLE and not watch:
        describe("proxies", node, None, None, output, server, token)
    else:
        get("proxies", node, None, None, watch, output, server, token)


def _table(kind: kinds.Kind, value: Any, wide: bool) -> RenderableType:
    items = value["items"] if isinstance(value, dict) and "items" in value else value
    rows = [kind.cells(item) for item in (items if isinstance(items, list) else [items])]
    columns = kind.columns + (kind.wide if wide else ())
    return table(columns, [[row[column] for column in columns] for row in rows])


def _with_warnings(things: RenderableType, value: Any) -> RenderableType:
    """`things`, and below them the warnings on definitions."""
    from rich.console import Group

    items = value["items"] if isinstance(value, dict) and "items" in value else [value]
    texts = [
        line((f"{one['name']}: {text}", "yellow"))
        for one in items
        if isinstance(one, dict)
        for text in (one.get("status") or {}).get("warnings", ())
    ]
    return Group(things, "", *texts) if texts else things


def _with_sources(things: RenderableType, sources: list[dict[str, Any]]) -> RenderableType:
    """`things`, and below them the state of the registries that they came from."""
    from rich.console import Group

    columns = ("source", "version", "state", "services", "held", "updated", "problem")
    rows = [[kinds.source_cells(one)[column] for column in columns] for one in sources]
    return Group(things, "", table(columns, rows))


def _document(item: Any) -> RenderableType:
    """`item` as coloured YAML."""
    from rich.syntax import Syntax

    return Syntax(dump(item, Output.YAML), "yaml", background_color="default", word_wrap=True)


def _describe_service(item: dict[str, Any]) -> None:
    out = console()
    head = {key: value for key, value in item.items() if key not in ("instances", "refused", "conflicts")}
    out.print(_document(head))
    rows = [
        (
            authority(one["address"], one["port"]),
            one.get("tag") or "base",
            one.get("application", ""),
            one.get("health", "") + (" (held)" if one.get("held") else ""),
            f"{one.get('weight', 1):g}",
            ", ".join(f"{key}={value}" for key, value in (one.get("metadata") or {}).items()),
        )
        for one in item.get("instances", ())
    ]
    out.print(table(("instance", "tag", "application", "health", "weight", "metadata"), rows))
    if item.get("refused"):
        refused = [(authority(one["address"], one["port"]), one["reason"]) for one in item["refused"]]
        out.print(table(("refused", "reason"), refused))
    if item.get("conflicts"):
        out.print(_document({"conflicts": item["conflicts"]}))


def _describe_proxy(stream: dict[str, Any]) -> None:
    out = console()
    drift = stream.pop("drift", [])
    out.print(_document(stream))
    if not drift:
        out.print("no drift: the proxy has the current version of every resource that it subscribes to")
        return
    rows = [
        (one["type"], one["name"], one["state"], one["version"], (one["nack"] or {}).get("message", ""))
        for one in drift
    ]
    out.print(table(("drift of", "name", "state", "version", "why"), rows))


def _lasting(value: Any) -> Any:
    """`value` without the ages of sources, which change all the time."""
    if not isinstance(value, dict):
        return value
    if "of" in value:
        return [_lasting(one) for one in value["of"]]
    if "sources" not in value:
        return value
    sources = [{key: part for key, part in one.items() if key != "age"} for one in value["sources"]]
    return {**value, "sources": sources}


def _watch(
    fetch: Callable[[], Any],
    render: Callable[[Any], RenderableType],
    printed: Callable[[Any], None],
    output: Output,
    following: Following,
) -> None:
    """Show each change: a terminal gets a table that is redrawn, a file one more document."""
    from rich.live import Live

    out = console()
    live = Live(console=out, auto_refresh=False) if output.drawn and out.is_terminal else None
    last: Any = None
    try:
        if live:
            live.start()
        while True:
            value = fetch()
            if live:
                live.update(Harmless(render(value)), refresh=True)
            elif _lasting(value) != _lasting(last):
                sys.stdout.write("---\n" if output == Output.YAML else "")
                printed(value)
                sys.stdout.flush()
            last = value
            following.wait()
    except KeyboardInterrupt:
        return
    finally:
        if live:
            live.stop()
