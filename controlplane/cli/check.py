"""`laneway check`: likely mistakes in the definitions that are served, or in files that may be applied."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.client import Client
from controlplane.cli.files import Given, read
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, line, notice, problem_lines, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.registry.source import RawService

UNDECIDED = "undecided: "


def check(
    file: Annotated[
        list[str],
        typer.Option("--file", "-f", help="A file, a directory, or - for standard input; may be repeated."),
    ] = [],  # noqa: B006 - Typer reads the default, nothing changes it
    services: Annotated[
        Path | None,
        typer.Option(
            "--services",
            help="Services in a file or directory: check the files of -f without a control plane.",
        ),
    ] = None,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Say what is likely to be a mistake in what is served, or in files (-f) as they would be applied.

    Exit codes: 0 nothing; 4 warnings; 1 the definitions would be refused. What is undecided is shown, and is
    no reason for 4.
    """
    if services is not None and not file:
        fail("--services needs the definitions, too: give them with -f", Exit.USAGE)
    if services is not None:
        found = _offline(read(file), services)
    else:
        with Client(server, token) as client:
            found = _online(client, file)
    emit(found, output, lambda: _draw(found))
    told = [one["message"] for one in (*found["warnings"], *found["services"])]
    if any(not text.startswith(UNDECIDED) for text in told):
        raise typer.Exit(Exit.WARNED)


def _online(client: Client, files: list[str]) -> dict[str, Any]:
    if not files:
        found = client.get("/v1/warnings")
        return {"warnings": found["items"], "services": found["services"]}
    given = read(files)
    result = client.send("POST", "/v1/apply?dry_run=true", content=given.text, places=given.places())
    moves = {"moves": result["moves"]} if "moves" in result else {}
    return {"warnings": result.get("warnings", []), "services": [], **moves}


def _offline(given: Given, path: Path) -> dict[str, Any]:
    """The warnings about the documents of `given` as the only definitions, with the services in `path`."""
    from controlplane.model.definitions import Definitions
    from controlplane.model.kinds import key_of
    from controlplane.model.parsing import parse_documents
    from controlplane.model.problems import DefinitionError
    from controlplane.plan.warnings import warnings
    from controlplane.registry.file import FileSource
    from controlplane.registry.names import ServiceNames

    sink = _Services()
    FileSource(path).look(sink)
    if sink.wrong:
        fail(sink.wrong, Exit.USAGE)
    try:
        definitions = Definitions().apply(parse_documents(given.text)).definitions
    except DefinitionError as error:
        places = given.places()
        for one in error.problems:
            say(problem_lines(places.get(one.document, one.document), one.as_json()))
        raise typer.Exit(Exit.FAILED) from None
    known = sink.services()
    found = warnings(definitions, known, ServiceNames(known).resolve, time.time())
    told = [
        {"document": str(key), "message": text}
        for document in definitions.documents()
        for key in [key_of(document)]
        for text in (*definitions.status_of(document).get("warnings", ()), *found.of(key))
    ]
    of_services = [
        {"service": name, "message": text}
        for name, one in sorted(known.items())
        for text in (*one.warnings, *found.services.get(name, ()))
    ]
    return {"warnings": told, "services": of_services}


class _Services:
    """A sink of the file source that keeps what it is told."""

    def __init__(self) -> None:
        self._raw: dict[str, RawService] = {}
        self.wrong = ""

    def update(self, service_id: str, service: RawService) -> None:
        self._raw[service_id] = service

    def remove(self, service_id: str) -> None:
        del self._raw[service_id]

    def problem(self, text: str) -> None:
        self.wrong = text

    def synced(self) -> None:
        """It has read all."""

    def unreachable(self, reason: str) -> None:
        self.wrong = reason

    def reconnected(self) -> None:
        """It is asked once."""

    def pod(self, address: str, metadata: Mapping[str, str] | None) -> None:
        """Files have no pods."""

    def version(self, text: str) -> None:
        """Files have no version."""

    def services(self) -> dict[str, Any]:
        from controlplane.registry.metadata import read_service
        from controlplane.registry.types import Service

        found: dict[str, Service] = {}
        for name, raw in self._raw.items():
            reading = read_service(raw)
            found[name] = Service(
                name,
                "file",
                raw.name,
                reading.instances,
                reading.refused,
                warnings=reading.warnings,
                protocol=reading.protocol,
            )
        return found


def _draw(found: dict[str, Any]) -> None:
    out = console()
    for one in found["warnings"]:
        out.print(line((one["document"], "bold"), f": {one['message']}"))
    for one in found["services"]:
        out.print(line((one["service"], "bold"), f": {one['message']}"))
    tell_moves(found.get("moves"))
    if not found["warnings"] and not found["services"]:
        notice("no warnings")


def tell_moves(moves: dict[str, Any] | None) -> None:
    """Say which requests a change would move to another lane."""
    for one in (moves or {}).get("items", ()):
        before, after = _place(one["before"]), _place(one["after"])
        notice(f"would move{_since(one)}: {before} -> {after}, for example: {one['explain']}")
    for one in (moves or {}).get("shares", ()):
        share = f"{one['before']:g} % -> {one['after']:g} %"
        notice(f"would change{_since(one)}: share of lane {one['lane']} on route {one['route']}: {share}")
    if (moves or {}).get("incomplete"):
        notice("more requests may move: not all were looked for, or it is undecided")


def _since(one: dict[str, Any]) -> str:
    """From when on, because of the times of lanes."""
    return f" from {one['since']} on" if one.get("since") else ""


def _place(place: dict[str, Any]) -> str:
    if place["route"] is None:
        return "no route (404)"
    lane = place["lane"] or ("by share" if place.get("by_share") else "base")
    return f"route {place['route']}, {'lane ' if place['lane'] else ''}{lane}"
