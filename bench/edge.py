"""What lanes cost a request at the proxies: CPU time of real Envoys, beside a plain one.

    make bench-edge

The plain Envoy forwards everything to one cluster. For every number of lanes there is a control plane with an
edge and a sidecar, which report what they count; `--by-trace` names the numbers of lanes for which there is a
second one, whose group colours by trace. All Envoys have one worker, share one processor and run at the same
time; one of them is loaded at a time, for a short burst, and every pass loads each case once in an order of
its own. A case is compared with the plain Envoy's burst of the same pass, so that what disturbs the machine
disturbs both; the table has medians. Each lane is one `==` on the same header, requests in a lane are for the
last one. The whole takes less than four minutes: `--seconds` bounds the passes.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.proxies import Proxy, control_plane, cpu, on, plain, running
from bench.run import HERE, free_port

PLAIN = "plain"
FEWEST = 5
"""Passes that are made however long they take."""


@dataclass
class Case:
    """Requests of one kind to one proxy. `bursts` are microseconds of CPU for a request, one a pass."""

    name: str
    lanes: int
    proxy: Proxy
    port: int
    host: str
    headers: Sequence[str]
    expect: str
    goal: float | None = None
    """The highest ratio to the plain Envoy that is no failure."""
    bursts: list[float] = field(default_factory=list)

    def burst(self, client: Path, count: int) -> float:
        before = cpu(self.proxy.pid)
        command = [str(client), "-to", f"{self.proxy.address}:{self.port}", "-host", self.host]
        command += ["-count", str(count), "-expect", self.expect, "-connections", "8"]
        for header in self.headers:
            command += ["-header", header]
        subprocess.run(on(0, command), check=True)
        return (cpu(self.proxy.pid) - before) / count * 1e6

    def beyond(self, reference: Case) -> list[float]:
        return [own - other for own, other in zip(self.bursts, reference.bursts, strict=True)]

    def ratio(self, reference: Case) -> float:
        return 1 + statistics.median(self.beyond(reference)) / statistics.median(reference.bursts)


def cases_of(lanes: int, edge: Proxy, sidecar: Proxy) -> list[Case]:
    """What is measured with that number of lanes; `lanes - 1` is the last one's number."""
    lane = f"lane-{lanes - 1}"
    chosen = [f"canary: v{lanes - 1}"]
    coloured = [f"x-lane: {lane}", f"baggage: lane={lane}"]
    out, into = sidecar.ports["outbound"], sidecar.ports["inbound"]
    port = edge.ports["edge"]
    return [
        Case("edge, base", lanes, edge, port, "bench.example.com", [], "base", 1.25),
        Case("edge, lane", lanes, edge, port, "bench.example.com", chosen, "lane", 1.3),
        Case("outbound, base", lanes, sidecar, out, "sc-A", [], "base", 1.25),
        Case("outbound, lane", lanes, sidecar, out, "sc-A", coloured, "lane", 1.25),
        Case("inbound, base", lanes, sidecar, into, "sc-B", [], "base", 1.08),
        Case("inbound, lane", lanes, sidecar, into, "sc-B", coloured, "base", 1.08),
    ]


TRACE = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e{}-00f067aa0ba902b7-01"


def cases_by_trace(lanes: int, edge: Proxy, sidecar: Proxy) -> list[Case]:
    """The same where traces are remembered: each lane and base has one, each request its own id."""
    lane = [f"x-lane: lane-{lanes - 1}", f"baggage: lane=lane-{lanes - 1}", TRACE.format("4736")]
    base = [TRACE.format("0001")]
    chosen = [f"canary: v{lanes - 1}", lane[2]]
    out, into = sidecar.ports["outbound"], sidecar.ports["inbound"]
    port = edge.ports["edge"]
    return [
        Case("edge, base, by trace", lanes, edge, port, "bench.example.com", base, "base"),
        Case("edge, lane, by trace", lanes, edge, port, "bench.example.com", chosen, "lane"),
        Case("inbound, lane, by trace", lanes, sidecar, into, "sc-B", lane, "base"),
        Case("inbound, base, by trace", lanes, sidecar, into, "sc-B", base, "base"),
        Case("outbound, lane, by trace", lanes, sidecar, out, "sc-A", lane, "lane"),
        Case("outbound, base, by trace", lanes, sidecar, out, "sc-A", base, "base"),
        Case("outbound, lost lane, by trace", lanes, sidecar, out, "sc-A", [lane[2]], "lane"),
    ]


def table(cases: list[Case]) -> str:
    reference = cases[0]
    lines = [
        "| case | lanes | µs a request | beyond plain, quartiles | ratio to plain | goal |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in cases:
        low, _, high = statistics.quantiles(case.beyond(reference), n=4)
        middle = statistics.median(case.beyond(reference))
        goal = "" if case.goal is None else f"{case.goal:.2f}"
        lines.append(
            f"| {case.name} | {case.lanes or ''} | {statistics.median(case.bursts):.1f} | "
            f"{middle:+.1f} ({low:+.0f} to {high:+.0f}) | {case.ratio(reference):.2f} | {goal} |"
        )
    return "\n".join(lines)


def verdict(cases: list[Case], limit: float) -> list[str]:
    """What costs more than its goal, or more with many lanes than with few."""
    reference = cases[0]
    found: list[str] = []
    first: dict[str, Case] = {}
    for case in cases[1:]:
        few = first.setdefault(case.name, case)
        if case.goal is not None and case.ratio(reference) > case.goal:
            found.append(f"{case.name}, {case.lanes:,} lanes: {case.ratio(reference):.2f}× plain")
        growth = statistics.median(own / other for own, other in zip(case.bursts, few.bursts, strict=True))
        if growth > limit:
            found.append(f"{case.name}: {case.lanes:,} lanes cost {growth:.2f}× of {few.lanes}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lanes", default="1,100,1000", help="numbers of lanes, the first is compared with")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--count", type=int, default=4000, help="requests of a burst")
    parser.add_argument("--limit", type=float, default=1.1, help="the highest growth from few to many lanes")
    parser.add_argument(
        "--by-trace", default="100,1000", help='numbers of lanes that are coloured by trace; "" for none'
    )
    parser.add_argument("--seconds", type=float, default=170.0, help="no pass begins later, but for five")
    parser.add_argument("--dump", type=Path, help="write each proxy's configuration into this directory")
    arguments = parser.parse_args()
    go = shutil.which("go")
    if go is None:
        print("Go is not on PATH: the benchmark is skipped")
        return
    client = HERE / "build" / "request"
    client.parent.mkdir(exist_ok=True)
    subprocess.run([go, "build", "-o", str(client), "./request"], cwd=HERE, check=True)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        directory = Path(temporary)
        base, lane = free_port(), free_port()
        listeners = f"base=127.0.0.1:{base},lane=127.0.0.1:{lane}"
        serving = on(0, [str(client), "-serve", listeners])
        stack.enter_context(running(serving, directory / "upstream.log"))
        reference = stack.enter_context(plain(directory / "plain", base))
        cases = [Case(PLAIN, 0, reference, reference.ports["plain"], "bench.example.com", [], "base")]
        for number in map(int, arguments.lanes.split(",")):
            proxies = stack.enter_context(control_plane(number, (base, lane), directory / str(number)))
            cases += cases_of(number, *proxies)
        for number in map(int, filter(None, arguments.by_trace.split(","))):
            made = control_plane(number, (base, lane), directory / f"{number}-by-trace", by_trace=True)
            cases += cases_by_trace(number, *stack.enter_context(made))
        if arguments.dump:
            arguments.dump.mkdir(exist_ok=True)
            for proxy in {case.proxy.name: case.proxy for case in cases}.values():
                (arguments.dump / f"{proxy.name}.json").write_text(proxy.dump())
        end = time.monotonic() + arguments.seconds
        for number in range(arguments.passes + 1):
            if number > FEWEST and time.monotonic() > end:
                break
            order = cases[:]
            if number:  # in the first pass a trace comes in before it goes out
                random.Random(number).shuffle(order)
            for case in order:
                found = case.burst(client, arguments.count)
                if number:  # the first pass warms up
                    case.bursts.append(found)
    print(table(cases))
    print(
        f"\n{len(cases[0].bursts)} passes, bursts of {arguments.count} requests over 8 connections; medians."
    )
    failures = verdict(cases, arguments.limit)
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
