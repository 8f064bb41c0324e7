"""`laneway trace` (the way of one request) and `laneway doctor propagation` (who loses the lane)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from controlplane.cli.client import Client, segment
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, line, notice, table

SETTLED = 0.6
"""Seconds without another report after which a way counts as whole: proxies send what they have after 0.2."""


def trace(
    url: Annotated[str, typer.Argument(help="URL of the request, at an edge of the gateway.")],
    header: Annotated[
        list[str], typer.Option("--header", "-H", help="A header as `Name: value`; may be repeated.")
    ] = [],  # noqa: B006 - Typer reads the default, nothing changes it
    method: Annotated[str, typer.Option("--method", "-X", help="HTTP method.")] = "GET",
    data: Annotated[str, typer.Option("--data", "-d", help="Body of the request.")] = "",
    gateway: Annotated[
        str, typer.Option("--gateway", help="Name of the gateway. [default: the only one]")
    ] = "",
    wait: Annotated[
        float, typer.Option("--wait", min=0, max=30, help="Seconds to wait for calls after the answer.")
    ] = 1.0,
    insecure: Annotated[
        bool, typer.Option("--insecure", "-k", help="Do not verify the edge's certificate.")
    ] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Send one request and print its way: who served each hop in which lane, and who lost the lane.

    Exit code 1 if an application lost it.
    """
    headers = _headers(header)
    with Client(server, token) as client:
        name = gateway or _only_gateway(client)
        begun = client.send("POST", "/v1/traces", {"gateway": name, "seconds": min(30 + wait, 60)})
        path = f"/v1/traces/{segment(begun['id'])}"
        try:
            status = _send(method, url, [*headers, (begun["header"], begun["token"])], data, insecure)
            way = _whole(lambda: client.get(path), wait)
        finally:
            client.send("DELETE", path)
    way["status"] = status
    emit(way, output, lambda: _print(way, status))
    if way["lost"] or not way["seen"]:
        raise typer.Exit(Exit.FAILED)


def _headers(given: list[str]) -> list[tuple[str, str]]:
    found = []
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            fail(f"-H {one!r} is not of the form `Name: value`", Exit.USAGE)
        found.append((name.strip(), value.strip()))
    return found


def _only_gateway(client: Client) -> str:
    names = [one["name"] for one in client.items("/v1/gateways")]
    if len(names) != 1:
        known = f"there are {', '.join(sorted(names)[:10])}" if names else "there is none"
        fail(f"say which gateway the request goes to with --gateway: {known}", Exit.USAGE)
    return names[0]


def _send(method: str, url: str, headers: list[tuple[str, str]], data: str, insecure: bool) -> int:
    import httpx

    try:
        answer = httpx.request(
            method,
            url,
            headers=headers,
            content=data.encode() if data else None,
            timeout=30,
            verify=not insecure,
            trust_env=False,
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        fail(f"{url!r} is not a URL of an edge: {error}", Exit.USAGE)
    except httpx.HTTPError as error:
        fail(f"no answer from {url}: {error or type(error).__name__}", Exit.UNREACHABLE)
    return answer.status_code


def _whole(read: Callable[[], Any], wait: float) -> dict[str, Any]:
    """The way, once nothing has been added to it for a while."""
    begun = changed = time.monotonic()
    way = read()
    while True:
        now = time.monotonic()
        settled = now - changed >= SETTLED and (way["seen"] or now - begun > 5)
        if settled and now - begun >= wait:
            return way
        time.sleep(0.1)
        again = read()
        if again["reports"] != way["reports"]:
            changed = time.monotonic()
        way = again


def _print(way: dict[str, Any], status: int) -> None:
    out = console()
    _say_silent(way)
    if not way["seen"]:
        out.print(line(f"status {status}"))
        fail(
            "no edge of this gateway has reported the request: does the URL lead to one of its edges, "
            "and not to another server or a cache in front of it?"
        )
    out.print(line("status ", (str(status), "bold"), "   route ", (str(way["route"] or "none"), "bold")))
    out.print(line("lane   ", (str(way["lane"] or "base"), "bold cyan")))
    rows = []
    for hop in way["hops"]:
        carried = hop["carrier"] or ("-" if hop["lane"] else "none")
        notes = [
            text
            for text, said in (
                ("after the answer", hop["late"]),
                ("perhaps of another request", hop["known"] == "perhaps"),
                (" ".join(hop["flags"]), bool(hop["flags"])),
            )
            if said
        ]
        rows.append(
            (
                f"{'  ' * hop['depth']}{hop['caller']} -> {hop['application']}",
                hop["lane"] or "base",
                carried,
                hop["tag"] or "-",
                "yes" if hop["fallback"] else "no",
                str(hop["status"]),
                f"{hop['duration_ms']:.1f} ms",
                hop["instance"],
                ", ".join(notes),
            )
        )
    columns = ("hop", "lane", "carrier", "tag", "fallback", "status", "duration", "instance", "notes")
    out.print(table(columns, rows))
    for one in way["lost"]:
        sure = "lost" if one["certain"] else "has probably lost"
        sent = f"with the lane {one['sent']}" if one["sent"] else "without a lane"
        healed = "; the sidecar gave the call its lane again" if one["healed"] else ""
        out.print(
            line(
                (f"{one['application']} {sure} the lane {one['lane']}", "bold red"),
                f": {one['instance']} called {one['to']} {sent}{healed}.",
            )
        )
    if way["lane"] and not way["lost"]:
        out.print(line(("no application lost the lane", "green")))


def _say_silent(found: dict[str, Any]) -> None:
    silent = found.get("not_reporting") or []
    if silent:
        some = ", ".join(silent[:5]) + (", …" if len(silent) > 5 else "")
        notice(
            f"{len(silent)} proxies do not report ({some}): their bootstraps have no node.metadata.reports; "
            "write them anew with `laneway bootstrap`"
        )


def propagation(
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=60, help="How long sidecars report their requests.")
    ] = 10.0,
    group: Annotated[str, typer.Option("--group", help="Only the applications of this lane group.")] = "",
    last: Annotated[
        bool, typer.Option("--last", help="Show what the last observation found, without a new one.")
    ] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Observe live traffic for some seconds, and say which applications hand on the lane.

    Exit code 1 if an application loses it.
    """
    with Client(server, token) as client:
        if not last:
            body: dict[str, Any] = {"seconds": seconds}
            if group:
                body["group"] = group
            client.send("POST", "/v1/propagation", body)
        found = client.get("/v1/propagation")
        while found["running"]:
            time.sleep(0.5)
            found = client.get("/v1/propagation")
    emit(found, output, lambda: _print_propagation(found))
    if any(one["verdict"] == "loses" for one in found["items"]):
        raise typer.Exit(Exit.FAILED)


def _print_propagation(found: dict[str, Any]) -> None:
    out = console()
    _say_silent(found)
    if found["observed"] is None:
        fail("nothing was observed yet: leave out --last")
    out.print(
        line(f"observed for {found['seconds']:g} s until {found['observed']}: {found['reports']} reports")
    )
    if found["left_out"]:
        notice(f"{found['left_out']} reports were more than are kept: observe for a shorter time")
    if not found["coloured"]:
        out.print(line(("no request in a lane came to any sidecar", "yellow")))
        return
    rows = [
        (
            one["application"],
            str(found["coloured"].get(one["application"], 0)),
            _verdict(one),
            str(one["kept"]),
            str(one["lost"]),
            one["reason"],
        )
        for one in found["items"]
    ]
    out.print(table(("application", "in a lane", "verdict", "kept", "lost", "why"), rows))


def _verdict(one: dict[str, Any]) -> str:
    if one["verdict"] == "loses":
        return f"loses the lane: {one['share']:.0f} % of calls to {one['to']}"
    if one["verdict"] == "keeps":
        return f"propagation: 100 % of calls to {one['to']}"
    return f"undecided for {one['to']}"
