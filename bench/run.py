"""Laneway's xDS server, on both of its transports, beside go-control-plane, in one run, with one load client.

    make bench                      # everything, some ten minutes; writes docs/benchmarks.md
    python bench/run.py --quick     # fewer streams and changes; prints only

Every workload is run against each server in turn, for `--rounds` rounds, so that what disturbs the machine
disturbs all; the table shows each server's best round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import document

HERE = Path(__file__).resolve().parent
SNAPSHOT, LINEAR, LANEWAY, GRPCIO = "SnapshotCache", "LinearCache", "Laneway", "Laneway on grpcio"
SERVERS = (SNAPSHOT, LINEAR, LANEWAY, GRPCIO)
#: All ask before one reads, with the windows that HTTP/2 begins with: what is sent waits in the server.
UNREAD = ("-hold", "5s", "-window", "65535")
#: The same, and no two streams are sent the same bytes.
OWN = ("-hold", "1s", "-window", "65535", "-own")
Report = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """One start of a server with a load client."""

    title: str
    streams: int
    phases: tuple[str, ...]
    mode: str = "delta"
    how: tuple[str, ...] = ()
    """Further arguments of the load client."""
    servers: tuple[str, ...] = SERVERS


@dataclass(frozen=True)
class Figure:
    """One row of the table: what to take from a workload's report and the ratios to reach."""

    label: str
    take: Callable[[Report], float | None]
    unit: str = "ms"
    snapshot: float | None = None
    linear: float | None = None


def figures(workload: Workload) -> Iterator[Figure]:
    """The rows that a workload gives. Ratios are Laneway's figure divided by the peer's."""
    delta = workload.mode == "delta"
    change = 1 / 7 if delta else 1 / 10
    for phase in workload.phases:
        if phase == "sync" and workload.how:
            yield Figure("first sync, last stream", _of("sync", "last"))
            yield Figure("most resident memory", _of("sync", "peak"), "MiB")
        elif phase == "sync":
            yield Figure("first sync, last stream", _of("sync", "last"), "ms", 0.35 if delta else 1 / 3, 0.6)
        elif phase == "change":
            yield Figure("one change, last stream, p50", _of("change", "last_p50"), "ms", change)
            yield Figure("one change, last stream, p99", _of("change", "last_p99"), "ms", change, 1 / 7)
            yield Figure("one change, server's CPU", _cpu_of_change, "ms")
            yield Figure("one change, bytes a stream", _of("change", "bytes_per_change"), "B")
        elif phase == "settle":
            yield Figure("resident memory", _of("settle", "rss"), "MiB", 0.5)
        elif phase == "storm":
            yield Figure("all come back at once, last stream", _of("storm", "last"), "ms", 1 / 3)
        elif phase == "idle":
            yield Figure("one change, 5 % read nothing, p99 of the others", _of("idle", "last_p99"))
            yield Figure("the same against no idle streams", _idle_ratio, "×")
        elif phase == "rate":
            yield Figure("changes a second that were sent", _of("rate", "sent_per_second"), "/s")
            yield Figure("change to stream, p50", _of("rate", "each_p50"))
            yield Figure("change to stream, p99", _of("rate", "each_p99"))
            yield Figure("until all have the last versions", _of("rate", "convergence"))
            yield Figure("stale versions after newer ones", _of("rate", "stale"), "")
            yield Figure("resident memory: end / start", _memory_growth, "×")
            yield Figure("server's CPU", _of("rate", "server_cpu_share"), "cores")


def _of(phase: str, name: str) -> Callable[[Report], float | None]:
    return lambda report: report.get(phase, {}).get(name)


def _cpu_of_change(report: Report) -> float | None:
    seconds = report.get("change", {}).get("server_cpu")
    return None if seconds is None else seconds * 1000


def _idle_ratio(report: Report) -> float | None:
    if "idle" not in report:
        return None
    return report["idle"]["last_p99"] / report["change"]["last_p99"]


def _memory_growth(report: Report) -> float | None:
    samples = report.get("rate", {}).get("rss")
    return samples[-1] / samples[0] if samples else None


def workloads(quick: bool, largest: int) -> list[Workload]:
    own = (LANEWAY,)
    if quick:
        return [
            Workload("delta, 100 streams", 100, ("sync", "change")),
            Workload(f"delta, {largest:,} streams", largest, ("sync", "change", "settle", "storm")),
            Workload("state of the world, 100 streams", 100, ("sync", "change", "settle"), "sotw"),
            Workload("200 changes a second, 100 streams", 100, ("sync", "rate")),
            Workload(f"{largest:,} streams at once, each its own", largest, ("sync",), how=OWN, servers=own),
        ]
    return [
        Workload("delta, 100 streams", 100, ("sync", "change")),
        Workload("delta, 500 streams", 500, ("sync", "change", "idle")),
        Workload(f"delta, {largest:,} streams", largest, ("sync", "change", "settle", "storm")),
        Workload("state of the world, 500 streams", 500, ("sync", "change", "settle"), "sotw"),
        Workload("200 changes a second, 500 streams", 500, ("sync", "rate")),
        Workload("5,000 streams at once, all the same", 5000, ("sync",), how=UNREAD, servers=own),
        Workload("5,000 streams at once, each its own", 5000, ("sync",), how=OWN, servers=own),
    ]


def build() -> Path | None:
    """The directory of the built binaries, None where there is no Go."""
    go = shutil.which("go")
    if go is None:
        return None
    out = HERE / "build"
    out.mkdir(exist_ok=True)
    subprocess.run([go, "build", "-o", f"{out}/", "./load", "./peer"], cwd=HERE, check=True)
    return out


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def serving(server: str, binaries: Path, streams: int, more: Sequence[str] = ()) -> Iterator[list[str]]:
    """Run a server; the load client's arguments that find it."""
    xds, control = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    if server in (LANEWAY, GRPCIO):
        command = [sys.executable, str(HERE / "server.py"), "--xds", xds, "--control", control]
        command += ["--transport", "grpcio" if server == GRPCIO else "laneway"]
    else:
        cache = {SNAPSHOT: "snapshot", LINEAR: "linear"}[server]
        command = [str(binaries / "peer"), "-xds", xds, "-control", control, "-cache", cache]
        command += ["-nodes", str(streams)]
    command += more
    with ended(subprocess.Popen(command)) as process:
        await_port(xds, process)
        await_port(control, process)
        yield ["-xds", xds, "-control", control, "-pid", str(process.pid)]


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End the process at the end of the block: SIGTERM, and SIGKILL if it is still there after 10 s."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}: {process.args}")
        with socket.socket() as attempt:
            if attempt.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {address}")


def run(workload: Workload, server: str, binaries: Path, changes: int, duration: str) -> Report:
    with serving(server, binaries, workload.streams) as where:
        command = [str(binaries / "load"), *where, "-mode", workload.mode]
        command += ["-streams", str(workload.streams), "-phases", ",".join(workload.phases)]
        # In the state of the world a change takes SnapshotCache seconds: it sends everything to everyone.
        count = changes if workload.mode == "delta" else max(5, changes // 4)
        command += ["-changes", str(count), "-duration", duration, *workload.how]
        with tempfile.TemporaryFile("w+") as log:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True)
            if done.returncode:
                log.seek(0)
                print(f"{workload.title}, {server}: failed\n{log.read()}", file=sys.stderr)
                return {}
        return json.loads(done.stdout)


def best(take: Callable[[Report], float | None], reports: list[Report]) -> float | None:
    values = [value for report in reports if (value := take(report)) is not None]
    return min(values) if values else None


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = 2 if unit in ("×", "cores") else 0 if value >= 100 or value == int(value) else 1
    return f"{value:,.{digits}f} {unit}".strip()


def versus(own: float | None, other: float | None, target: float | None) -> str:
    if own is None or not other:
        return "–"
    text = f"{own / other:.3f}"
    return (
        text if target is None else f"{text} (≤ {target:.3f}: {'yes' if own / other <= target else '**no**'})"
    )


def table(results: dict[Workload, dict[str, list[Report]]]) -> str:
    lines = [
        f"| workload | {' | '.join(SERVERS)} | to SnapshotCache | to LinearCache | to grpcio |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- | --- |",
    ]
    for workload, by_server in results.items():
        lines.append(f"| **{workload.title}** | | | | | | | |")
        for figure in figures(workload):
            values = {server: best(figure.take, reports) for server, reports in by_server.items()}
            own = values.get(LANEWAY)
            cells = [shown(values.get(server), figure.unit) for server in SERVERS]
            comparable = figure.unit in ("ms", "MiB", "B", "cores")
            ratios = [
                versus(own, values.get(SNAPSHOT), figure.snapshot) if comparable else "",
                versus(own, values.get(LINEAR), figure.linear) if comparable else "",
                versus(own, values.get(GRPCIO), None) if comparable else "",
            ]
            lines.append(f"| {' | '.join([figure.label, *cells, *ratios])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short, and only print")
    parser.add_argument("--write", action="store_true", help="write the document also after a quick run")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, help="these alone (default: all)")
    parser.add_argument("--only", default="", help="workloads whose title has this text")
    parser.add_argument("--largest", type=int, default=0, help="streams at most (default 1000, quick 300)")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each workload (default 2, quick 1)")
    parser.add_argument("--changes", type=int, default=0, help="changes in a round (default 60, quick 20)")
    parser.add_argument("--rate-seconds", type=int, default=0, help="of the 200 changes a second")
    arguments = parser.parse_args()
    binaries = build()
    if binaries is None:
        print("Go is not on PATH: the benchmark is skipped")
        return
    quick = arguments.quick
    rounds = arguments.rounds or (1 if quick else 2)
    changes = arguments.changes or (20 if quick else 60)
    duration = f"{arguments.rate_seconds or (10 if quick else 60)}s"
    description = f"{document.machine()}, {document.peers()}."
    results: dict[Workload, dict[str, list[Report]]] = {}
    for workload in workloads(quick, arguments.largest or (300 if quick else 1000)):
        if arguments.only not in workload.title:
            continue
        servers = [server for server in workload.servers if server in (arguments.servers or SERVERS)]
        by_server = results[workload] = {server: [] for server in servers}
        for number in range(rounds):
            for server in servers:
                began = time.monotonic()
                by_server[server].append(run(workload, server, binaries, changes, duration))
                took = time.monotonic() - began
                print(f"{workload.title}: {server}, round {number + 1}: {took:.0f} s", file=sys.stderr)
    setting = f"1,000 clusters of 10 endpoints; the best of {rounds}, {changes} changes a round."
    text = f"{description}\n{setting}\n\n{table(results)}"
    document.report("bench/run.py", text, keep=arguments.write or not quick)


if __name__ == "__main__":
    main()
