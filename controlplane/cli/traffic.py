"""Commands that show traffic: `laneway top` (all at a glance), `laneway lane status` (a lane beside base)."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli import completion, kinds
from controlplane.cli.client import Client, segment
from controlplane.cli.inspection import left_out
from controlplane.cli.options import DEFAULT_SERVER, Format, Output, Server, Token
from controlplane.cli.output import Harmless, console, emit, line, notice, table

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S = 1.0
KEPT = 30
"""Values that a sparkline has room for."""
BARS = "▁▂▃▄▅▆▇█"

Window = Annotated[str, typer.Option("--window", help="How far back to look, at most 1h: 30s, 5m.")]


def top(
    once: Annotated[bool, typer.Option("--once", help="Print once, instead of until Ctrl-C.")] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Show the live traffic of gateways, applications and lanes, over the last ten seconds.

    With -o json or yaml, or without a terminal, each new summary is printed as one more document.
    """
    from rich.live import Live

    out = console()
    past = Past()
    seen = ""
    live = (
        Live(console=out, auto_refresh=False, screen=True)
        if output.drawn and out.is_terminal and not once
        else None
    )
    try:
        with Client(server, token) as client:
            if live:
                live.start()
            while True:
                summary = client.get("/v1/metrics/summary")
                new = summary["at"] != seen
                seen = summary["at"]
                if new:
                    past.add(summary)
                if live:
                    live.update(Harmless(top_table(summary, past)), refresh=True)
                elif new and output == Output.JSON and not once:
                    print(json.dumps(summary), flush=True)  # a line each, for programs
                elif new:
                    if output == Output.YAML and not once:
                        print("---")
                    emit(summary, output, lambda now=summary: out.print(top_table(now, past)))
                if once:
                    return
                time.sleep(INTERVAL_S)
    except KeyboardInterrupt:
        return
    finally:
        if live:
            live.stop()


class Past:
    """The QPS that were shown before, by kind and name."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], deque[float]] = {}

    def add(self, summary: dict[str, Any]) -> None:
        """Take in a new summary, and forget what is not in it."""
        kept: dict[tuple[str, str], deque[float]] = {}
        for kind, name, one in _lines(summary):
            values = self._values.get((kind, name)) or deque(maxlen=KEPT)
            values.append(one["qps"])
            kept[kind, name] = values
        self._values = kept

    def line(self, kind: str, name: str) -> str:
        """A sparkline of what `name` had, the newest last."""
        return sparkline(self._values.get((kind, name), ()))


def _lines(summary: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (kind, one[kind], one)
        for kind, plural in (("gateway", "gateways"), ("application", "applications"), ("lane", "lanes"))
        for one in summary[plural]
    ]


def sparkline(values: Any) -> str:
    """The values as bars between 0 and the highest."""
    highest = max(values, default=0)
    if not highest:
        return BARS[0] * len(values)
    return "".join(BARS[min(len(BARS) - 1, round(one / highest * (len(BARS) - 1)))] for one in values)


def top_table(summary: dict[str, Any], past: Past) -> RenderableType:
    """Gateways, applications and lanes of a summary, each with the QPS that it had."""
    from rich.console import Group

    proxies = summary["proxies"]
    head = line(
        f"{summary['at']}, the last {summary['seconds']} s; ",
        (
            f"{proxies['reporting']} of {proxies['connected']} proxies report",
            "green" if proxies["reporting"] >= proxies["connected"] else "yellow",
        ),
    )
    lanes = [
        (
            one["lane"],
            one["group"],
            rate(one["qps"]),
            share(one["share"]),
            share(one["error_rate"]),
            share(one["base_error_rate"]),
            span(one["p99"]),
            span(one["base_p99"]),
            rate(one["fallback_qps"]),
            rate(one["refusal_qps"]),
            past.line("lane", one["lane"]),
        )
        for one in summary["lanes"]
    ]
    applications = [
        (
            one["application"],
            rate(one["qps"]),
            rate(one["exception_qps"]),
            rate(one["gray_qps"]),
            span(one["p50"]),
            span(one["p99"]),
            past.line("application", one["application"]),
        )
        for one in summary["applications"]
    ]
    gateways = [
        (
            one["gateway"],
            rate(one["qps"]),
            rate(one["exception_qps"]),
            span(one["p99"]),
            past.line("gateway", one["gateway"]),
        )
        for one in summary["gateways"]
    ]
    return Group(
        head,
        *(line((text, "yellow")) for text in absent(summary)),
        "",
        table(("gateway", "qps", "exceptions", "p99", "qps before"), gateways),
        "",
        table(
            (
                "lane",
                "group",
                "qps",
                "share",
                "errors",
                "base errors",
                "p99",
                "base p99",
                "fallbacks",
                "refusals",
                "qps before",
            ),
            lanes,
        ),
        "",
        table(("application", "qps", "exceptions", "gray qps", "p50", "p99", "qps before"), applications),
    )


def lane_status(
    name: Annotated[
        str, typer.Argument(help="Name of the lane, or GROUP/NAME.", autocompletion=completion.lane)
    ],
    window: Window = "5m",
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Show how a lane does beside base: share, errors, latency, fallbacks, and instances that are gone."""
    with Client(server, token) as client:
        lane, path = kinds.located(client, kinds.find("lane"), name)
        result = {
            "lane": lane,
            "traffic": client.get(
                f"/v1/metrics/lanes/{segment(lane['name'])}?window={segment(window)}&step=10s"
            ),
            "matches": client.get(f"{path}/matches"),
            "propagation": client.get("/v1/propagation"),
        }
    emit(result, output, lambda: _print_status(result))


def absent(answer: dict[str, Any]) -> list[str]:
    """Sentences about the control planes that did not say what they have counted."""
    return [
        f"the control plane at {one['peer']} did not answer ({one['problem']}): the figures lack its proxies"
        for one in answer["peers"]
        if one.get("problem")
    ]


def _print_status(result: dict[str, Any]) -> None:
    lane, traffic = result["lane"], result["traffic"]
    out = console()
    for text in absent(traffic):
        notice(text)
    proxies = traffic["proxies"]
    if proxies["reporting"] < proxies["connected"]:
        silent = proxies["connected"] - proxies["reporting"]
        notice(
            f"{silent} of {proxies['connected']} proxies do not report; the figures lack theirs. Write their "
            "bootstraps anew with `laneway bootstrap`."
        )
    for gap in traffic["gaps"]:
        until = gap["end"] or "now"
        notice(f"requests of {gap['node']} may be missing from {gap['start']} to {until}: {gap['why']}")
    state = ("enabled", "green") if lane["enabled"] else ("disabled", "yellow")
    out.print(
        line("lane   ", (lane["name"], "bold"), f" of group {lane['group']}, tag {lane['tag']}, ", state)
    )
    if times := kinds.times_text(traffic.get("times")):
        out.print(line(f"times  {times}"))
    out.print(line(f"share  asked {_asked(lane)}, seen {share(traffic['share'])}"))
    for kind in ("lane", "base"):
        part = traffic[kind]
        out.print(line(f"{kind}   {sparkline(part['steps']['qps'])} {rate(part['qps'])} qps"))
    rows = [("all", "lane", *_sums(traffic["lane"])), ("", "base", *_sums(traffic["base"]))]
    for one in traffic["services"]:
        rows.append((f"{one['application']} {one['service']}", "lane", *_sums(one["lane"])))
        rows.append(("", "base", *_sums(one["base"])))
    columns = ("service", "in", "requests", "errors", "4xx", "p50", "p99", "fallbacks", "refusals", "retries")
    out.print()
    out.print(table(columns, rows))
    for text, style in _remarks(result):
        out.print(line((text, style)))


def _sums(sums: dict[str, Any]) -> tuple[str, ...]:
    latency = sums["latency"]
    return (
        str(sums["requests"]),
        share(sums["error_rate"]),
        str(sums["client_errors"]),
        span(latency["p50"]),
        span(latency["p99"]),
        str(sums["fallbacks"]),
        str(sums["refusals"]),
        str(sums["retries"]),
    )


def _asked(lane: dict[str, Any]) -> str:
    ratio = lane.get("ratio")
    if not ratio:
        return "what its rule matches"
    routes = "".join(f", {name} {percent:g} %" for name, percent in ratio.get("routes", {}).items())
    return f"{ratio['percent']:g} %{routes}"


def _remarks(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What is not as it should be: instances that cannot answer, and applications that lose the lane."""
    counted = {one["service"]: one["lane"] for one in result["traffic"]["services"]}
    found = [
        remark
        for application in result["matches"]["applications"]
        for one in application["services"]
        for remark in _of_service(one, counted.get(one["service"]))
    ]
    if not found:
        found.append(("its instances answer", "green"))
    return found + _propagation(result)


def _propagation(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What the last observation of calls found, of the applications of the lane's group."""
    group = {one["application"] for one in result["matches"]["applications"]}
    said: list[tuple[str, str]] = []
    for one in result["propagation"]["items"]:
        if one["application"] not in group:
            continue
        calls = f"of calls to {one['to']}"
        if one["verdict"] == "loses":
            said.append((f"{one['application']} loses the lane: {one['share']:.0f} % {calls}", "bold red"))
        elif one["verdict"] == "keeps":
            said.append((f"{one['application']} propagation: 100 % {calls}", "green"))
    if not result["propagation"]["observed"]:
        said.append(("propagation: not observed yet, see `laneway doctor propagation`", "dim"))
    return said


def _of_service(one: dict[str, Any], sums: dict[str, Any] | None) -> list[tuple[str, str]]:
    service, tagged = one["service"], ", ".join(one["tagged"])
    found: list[tuple[str, str]] = []
    if gone := one.get("unhealthy", ()):
        found.append((f"{service}: {', '.join(gone)} is registered as unhealthy", "yellow"))
    if one["fallback"]:
        found.append((f"{service}: the lane has no instance; base answers", "yellow"))
    elif one.get("refused"):
        found.append((f"{service}: the lane has no instance, and its fallback is none: 503", "bold red"))
    elif sums and sums["fallbacks"]:
        part = f"{sums['fallbacks']} of {sums['requests']} requests"
        text = f"{service}: base answered {part}, although the lane has {tagged}: proxies could not reach it"
        found.append((text, "bold red"))
    if text := left_out(one.get("observed") or {}):
        found.append((f"{service}: of {tagged}, {text}, because it failed", "bold red"))
    return found


def rate(value: float) -> str:
    """Requests a second."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def share(value: float | None) -> str:
    """A part of one as per cent; a dash where nothing was counted."""
    return "-" if value is None else f"{value * 100:.2f} %".replace(".00 %", " %")


def span(value: float | None) -> str:
    """Milliseconds; a dash where nothing was counted."""
    return "-" if value is None else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"
