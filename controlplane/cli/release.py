"""`laneway release`: start a release, see how it does, and act on it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from controlplane.cli import kinds
from controlplane.cli.client import Client
from controlplane.cli.files import read
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, line, notice, table

Name = Annotated[str, typer.Argument(help="Name of the release, or GROUP/NAME.")]
UNFINISHED = ("starting", "running", "paused", "waiting")
_COLOURS = {"succeeded": "green", "aborted": "red", "stopped": "yellow", "paused": "yellow"}
_EVERY = 1.0


def start(
    name: Name,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="Apply these documents first.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start although the preflight found something.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Begin with the first step: the lane is enabled with its share."""
    with Client(server, token) as client:
        if file:
            given = read(file)
            client.send("POST", "/v1/apply", content=given.text, places=given.places())
        found, path = kinds.located(client, kinds.find("release"), name)
        result: dict[str, Any] = client.send("POST", f"{path}/start" + ("?force=true" if force else ""))
    console().print(f"release {found['name']} of lane {found['lane']}: {_where(result)}")


def pause(name: Name, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """Make no further step. Checks that fail still end the release."""
    _act(name, "pause", server, token)


def resume(name: Name, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """Go on with a paused release."""
    _act(name, "resume", server, token)


def approve(name: Name, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """Let a step that waits for approval end."""
    _act(name, "approve", server, token)


def abort(name: Name, server: Server = DEFAULT_SERVER, token: Token = "") -> None:
    """End the release: the lane's share is 0 at once."""
    _act(name, "abort", server, token)


def status(
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Print every change until the end.")] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Show where a release is and why, with every decision and its figures.

    With --watch the exit code is 1 unless the release succeeds.
    """
    with Client(server, token) as client:
        _, path = kinds.located(client, kinds.find("release"), name)
        result: dict[str, Any] = client.get(f"{path}/status")
        if not watch:
            emit(result, output, lambda: _print(result))
            return
        said = ""
        while True:
            progress, look = result["release"].get("progress"), result["look"]
            text = _where(result["release"]) + (f": {look['why']}" if look else "")
            if text != said:
                said = text
                console().print(f"{datetime.now(UTC):%H:%M:%S} {text}")
            if progress is None or progress["phase"] not in UNFINISHED:
                break
            time.sleep(_EVERY)
            result = client.get(f"{path}/status")
    if progress is None or progress["phase"] != "succeeded":
        raise typer.Exit(Exit.FAILED)


def _act(name: str, word: str, server: str, token: str) -> None:
    with Client(server, token) as client:
        found, path = kinds.located(client, kinds.find("release"), name)
        result: dict[str, Any] = client.send("POST", f"{path}/{word}")
    console().print(f"release {found['name']} of lane {found['lane']}: {_where(result)}")


def _where(release: dict[str, Any]) -> str:
    progress = release.get("progress")
    if progress is None:
        return "not started"
    step = progress["step"]
    share = release["steps"][step]["percent"]
    return f"{progress['phase']}, step {step + 1} of {len(release['steps'])} ({share:g} %)"


def _print(result: dict[str, Any]) -> None:
    release, look, preflight = result["release"], result["look"], result["preflight"]
    out, progress = console(), release.get("progress")
    colour = _COLOURS.get(progress["phase"] if progress else "", "bold")
    out.print(
        line("release  ", (release["name"], "bold"), f" of lane {release['lane']}, group {release['group']}")
    )
    out.print(line("now      ", (_where(release), colour)))
    if look is not None:
        out.print(line("why      ", look["why"]))
        if look["findings"]:
            out.print()
            out.print(
                table(("check", "verdict", "service", "value", "limit", "requests"), _rows(look["findings"]))
            )
    if progress is not None:
        out.print()
        rows = [
            (f"{datetime.fromtimestamp(one['at'], UTC):%Y-%m-%d %H:%M:%S}", str(one["step"]), one["what"])
            for one in progress["decisions"]
        ]
        out.print(table(("when (UTC)", "step", "what"), rows))
    if progress is None or progress["phase"] not in UNFINISHED:
        for text in preflight["wrong"]:
            notice(f"the release cannot start: {text}")
    for text in preflight["notes"]:
        out.print(line((text, "dim")))


def _rows(findings: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            one["check"],
            one["verdict"] + (f" ({one['note']})" if one.get("note") else ""),
            one["service"],
            "" if one.get("value") is None else f"{one['value']:g}",
            "" if one.get("limit") is None else f"{one['limit']:g}",
            str(one["requests"]),
        )
        for one in findings
    ]
