"""`laneway status`: one look at the control plane, its registries, its proxies and its lanes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from controlplane.cli import kinds
from controlplane.cli.client import Client
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, line, table


def status(output: Format = Output.TABLE, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """Say at a glance whether the control plane is ready, and what it serves.

    Exit code 1 if it is not ready.
    """
    with Client(server, token) as client:
        alive = client.get("/healthz")
        ready = client.request("GET", "/readyz").json()
        found: dict[str, Any] = {
            "server": server,
            "version": alive["version"],
            "ready": bool(ready.get("ready")),
            "detail": ready.get("detail", ""),
            "store": ready["store"],
            "sources": ready["sources"],
        }
        # Before the definitions are loaded there is nothing to count.
        lists = {of.plural: client.request("GET", f"/v1/{of.plural}") for of in kinds.every()}
        for answer in lists.values():
            if answer.status_code != 503:
                client.checked(answer)
    known = {name: answer.json()["items"] for name, answer in lists.items() if answer.status_code == 200}
    found["counts"] = {name: len(items) for name, items in known.items()}
    found["lanes"] = {
        "enabled": [one["name"] for one in known.get("lanes", ()) if one["enabled"]],
        "disabled": [one["name"] for one in known.get("lanes", ()) if not one["enabled"]],
    }
    states = Counter(kinds.proxy_state(one) for one in known.get("proxies", ()))
    found["proxies"] = dict(sorted(states.items()))
    found["warnings"] = [
        {"of": f"{of.aliases[0]} {item[of.key]}", "message": text}
        for of in kinds.every()
        for item in known.get(of.plural, ())
        for text in (item.get("status") or item).get("warnings") or ()
    ]
    emit(found, output, lambda: _draw(found))
    if not found["ready"]:
        raise typer.Exit(Exit.FAILED)


def _draw(found: dict[str, Any]) -> None:
    out = console()
    state = ("ready", "green") if found["ready"] else (f"not ready: {found['detail']}", "bold red")
    out.print(line(f"laneway {found['version']} at {found['server']}: ", state))
    if problem := found["store"]["problem"]:
        out.print(line((f"store: {problem}", "bold red")))
    counts = ", ".join(f"{name} {number}" for name, number in found["counts"].items())
    out.print(line(counts or "the definitions are not loaded"))
    for what in ("enabled", "disabled"):
        if names := found["lanes"][what]:
            out.print(line(f"lanes {what}: {', '.join(names)}"))
    proxies = ", ".join(f"{number} {state}" for state, number in found["proxies"].items())
    out.print(line(f"proxies: {proxies or 'none is connected'}"))
    columns = ("source", "version", "state", "services", "held", "updated", "problem")
    rows = [[kinds.source_cells(one)[column] for column in columns] for one in found["sources"]]
    out.print(table(columns, rows))
    for one in found["warnings"]:
        out.print(line(("warning: ", "yellow"), f"{one['of']}: {one['message']}"))
