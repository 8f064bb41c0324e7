"""Commands that inspect lanes: matches (which instances take part), explain (where a request would go)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from controlplane.cli import completion, explanation, kinds
from controlplane.cli.client import Client
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, fail, line, table

if TYPE_CHECKING:
    from rich.console import RenderableType


class By(StrEnum):
    """The plan by which a request is explained."""

    SERVED = "served"
    DEFINITIONS = "definitions"


def matches(
    lane: Annotated[
        str | None, typer.Argument(help="Name of the lane.", autocompletion=completion.lane)
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Group of a lane that does not exist yet; with --tag.",
            autocompletion=completion.group,
        ),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Its tag, to see who would serve it before it is made.")
    ] = None,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Confirm which tagged instances of each application a lane would use."""
    if (lane is None) == (tag is None) or (group is None) != (tag is None):
        fail("give the name of a lane, or --group and --tag of one that does not exist yet", Exit.USAGE)
    with Client(server, token) as client:
        if lane is not None:
            path = kinds.located(client, kinds.find("lane"), lane)[1]
            result = client.get(f"{path}/matches")
        else:
            path = kinds.located(client, kinds.find("lane-group"), group or "")[1]
            result = client.get(f"{path}/matches?tag={quote(tag or '', safe='')}")

    def draw() -> None:
        if times := kinds.times_text(result.get("times")):
            console().print(f"the lane is {times}")
        console().print(matches_table(result))

    emit(result, output, draw)


def matches_table(result: dict[str, Any]) -> RenderableType:
    """The answer of `matches`, one row for each service."""
    rows = []
    for application in result["applications"]:
        for one in application["services"] or [{"service": "-", "tagged": [], "base": 0, "fallback": False}]:
            tagged, unhealthy = one["tagged"], one.get("unhealthy", ())
            goes = "lane" if tagged else kinds.NO_INSTANCES
            if one["fallback"]:
                goes = "base (fallback)"
            elif one.get("refused"):
                goes = f"{kinds.NO_INSTANCES}: 503, because fallback is none"
            elif seen := fallen_back(one):
                goes = f"lane; {seen}"
            rows.append(
                (
                    application["application"],
                    one["service"],
                    ", ".join(f"{x} (unhealthy)" if x in unhealthy else x for x in tagged)
                    or kinds.NO_INSTANCES,
                    str(one["base"]),
                    goes,
                )
            )
    return table(("application", "service", "tagged instances", "base instances", "served by"), rows)


def fallen_back(one: dict[str, Any]) -> str:
    """What was observed of a service whose instances of the lane should answer: "" if they do."""
    seen = one.get("observed")
    if not seen or one["fallback"]:
        return ""
    if seen["fallbacks"]:
        return f"base answered {seen['fallbacks']} of {seen['requests']} in the last minute"
    return left_out(seen)


def left_out(seen: dict[str, Any]) -> str:
    """What proxies leave out of a lane's instances, because they failed: "" for none."""
    if not (number := seen.get("ejected", 0)):
        return ""
    by = "1 proxy" if seen["ejected_by"] == 1 else f"{seen['ejected_by']} proxies"
    return f"{number} left out by {by}"


def explain(
    gateway: Annotated[
        str, typer.Option("--gateway", help="Name of the gateway.", autocompletion=completion.gateway)
    ],
    path: Annotated[str, typer.Option("--path", help="Path with its query, for example /a?city=hz.")] = "/",
    method: Annotated[str, typer.Option("--method", "-X", help="HTTP method.")] = "GET",
    host: Annotated[str, typer.Option("--host", help="Host header of the request.")] = "",
    header: Annotated[
        list[str], typer.Option("--header", "-H", help="A header as `Name: value`; may be repeated.")
    ] = [],  # noqa: B006 - Typer reads the default, nothing changes it
    client_address: Annotated[
        str,
        typer.Option(
            "--client-address",
            help="IP address from which the connection to the edge comes; by default one that is nobody's.",
        ),
    ] = "",
    port: Annotated[
        int, typer.Option("--port", help="Port of the gateway's listener; by default its only one.")
    ] = 0,
    by: Annotated[
        By,
        typer.Option(
            "--as",
            help="served: what the proxies do now; definitions: what they do once every lane is rolled out.",
        ),
    ] = By.SERVED,
    at: Annotated[
        str,
        typer.Option(
            "--at", help="By the definitions, with the lanes that are open at this time (RFC 3339)."
        ),
    ] = "",
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Say where a request would go, hop by hop, and why."""
    headers = []
    for one in header:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            fail(f"-H {one!r} is not of the form `Name: value`", Exit.USAGE)
        headers.append([name.strip(), value.strip()])
    question = {"gateway": gateway, "method": method, "host": host, "path": path, "headers": headers}
    if client_address:
        question["client_address"] = client_address
    if port:
        question["port"] = port
    with Client(server, token) as client:
        asked = urlencode({"as": by.value, **({"at": at} if at else {})})
        result = client.send("POST", f"/v1/explain?{asked}", question)
    emit(result, output, lambda: _print_explanation(result))


def _print_explanation(result: dict[str, Any]) -> None:
    out = console()
    lane = result.get("lane")
    out.print(line("route  ", (str(result.get("route") or "none (404)"), "bold")))
    reason = str(result.get("reason") or "")
    out.print(line("lane   ", (str(lane or "base"), "bold cyan"), "  ", (reason, "dim")))
    forwarded, answered = result.get("forwarded"), result.get("answered")
    if path := result.get("path"):
        same = (
            "as routes match it"
            if forwarded or answered
            else "as routes match it and the application gets it"
        )
        out.print(line(f"path   {path}  ", (same, "dim")))
    if forwarded:
        out.print(line(f"       {forwarded['path']}  ", ("as the route rewrites it", "dim")))
        out.print(line(f"host   {forwarded['host']}  ", ("as the application gets it", "dim")))
    if answered:
        to = f" to {answered['location']}" if answered.get("location") else ""
        out.print(line((f"       the edge answers {answered['status']}{to}", "yellow")))
    for text in explanation.parts(result):
        out.print(line(text[:7], text[7:]))
    if limit := result.get("request_timeout"):
        out.print(line(f"limit  {limit:g} s  ", ("until the whole answer is there", "dim")))
    if client := result.get("client_address"):
        out.print(line(f"client {client}  ", ("as the gateway's trusted hops say", "dim")))
    if removed := result.get("removed_headers"):
        out.print(line((f"       the edge removes {', '.join(removed)}", "yellow")))
    for one in result.get("evaluated") or ():
        mark = ("✓", "green") if one["matched"] else ("✗", "red")
        out.print(line("  ", mark, f" lane {one['lane']}"))
        for condition in one.get("conditions") or ():
            met = ("met", "green") if condition["met"] else ("not met", "red")
            what = condition["condition"]
            if isinstance(what, dict):
                what = kinds.rule_text({"rule": {"conditions": [what]}})
            seen = condition.get("value")
            found = "none" if seen is None else repr(seen)
            if "length" in condition:
                found += f", {condition['length']} bytes long"
            out.print(line("      ", met, f": {what} ", (f"(the request has {found})", "dim")))
    if left_out := result.get("evaluated_left_out"):
        out.print(line((f"  {left_out} more lanes were looked at and passed over", "dim")))
    for one in result.get("resting") or ():
        closed = kinds.times_text({"open": False, **one})
        out.print(line(("  -", "dim"), f" lane {one['lane']} ", (f"is {closed}", "yellow")))
    if candidates := result.get("candidates"):
        shares = [(str(one["lane"] or "base"), f"{one['share']:g} %") for one in candidates]
        out.print(table(("by ratio", "share"), shares))
    rows = [
        (
            one.get("application") or "",
            one["service"],
            one.get("tag") or "base",
            ", ".join([*one.get("instances", ()), *(f"{x} (unhealthy)" for x in one.get("unhealthy", ()))])
            or kinds.NO_INSTANCES,
            "none: 503" if one.get("refused") else "yes" if one.get("fallback") else fallen_back(one) or "no",
        )
        for one in result.get("hops") or ()
    ]
    if rows:
        out.print(table(("application", "service", "tag", "instances", "fallback"), rows))
    for one in result.get("hops") or ():
        if calls := one.get("calls"):
            out.print(line(f"calls to {one['service']}: ", (_said(calls), "dim")))
    for text in dict.fromkeys(_written(one) for one in result.get("hops") or ()):
        if text:
            out.print(line((text, "dim")))
    traced = [str(one["application"]) for one in result.get("hops") or () if one.get("by_trace")]
    if traced:
        where = ", ".join(dict.fromkeys(traced))
        out.print(line((f"calls of {where} that lost their lane take that of their trace", "dim")))
    for text in dict.fromkeys(_inheritance(one, lane) for one in result.get("hops") or ()):
        if text:
            out.print(line((text, "yellow")))


def _written(hop: dict[str, Any]) -> str:
    """What the sidecars of an application write down, in one line; empty for nothing."""
    written = (("access_log", "lines"), ("tracing", "spans"))
    found = [f"{what} to {hop[key]}" for key, what in written if hop.get(key)]
    return f"sidecars of {hop['application']}: {', '.join(found)}" if found else ""


def _said(calls: dict[str, Any]) -> str:
    """What an application says of calls to it, in one line."""
    bounds = calls.get("circuit_breaking") or {}
    parts = [
        calls.get("load_balancing"),
        f"whole answer within {calls['request_timeout']:g} s" if "request_timeout" in calls else None,
        f"silent for {calls['idle_timeout']:g} s at most" if calls.get("idle_timeout") else None,
        f"at most {', '.join(f'{n} {what}' for what, n in bounds.items())}" if bounds else None,
        f"health by {calls['health_check']}" if "health_check" in calls else None,
        f"idle connections kept for {calls['keep_alive']:g} s" if "keep_alive" in calls else None,
    ]
    return "; ".join(part for part in parts if part)


def _inheritance(hop: dict[str, Any], lane: str | None) -> str:
    """What becomes of calls that lost their lane, where that is not the lane of the request."""
    inherited = hop.get("inherited")
    if not inherited or inherited["lane"] == lane:
        return ""
    goes = f"take lane {inherited['lane']}" if inherited["lane"] else "are base"
    instances = f"{hop['tag']} instances of {hop['application']}"
    return f"calls without a lane from {instances} {goes}: {inherited['reason']}"
