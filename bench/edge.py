"""What lanes cost an edge: the CPU time of a real Envoy for a request, with 1, 100 and 1,000 lanes.

    make bench-edge

Each lane is one `==` on the same header. For every number of lanes there is a control plane and an Envoy with
one worker; they run at the same time and are loaded in turn, so that what disturbs the machine disturbs all.
Half of the requests are for the last lane, half for none; every answer is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.run import HERE, free_port

BIN = Path(sys.executable).parent


@dataclass
class Edge:
    """One control plane and its Envoy."""

    lanes: int
    port: int
    pid: int
    base: list[float] = field(default_factory=list)
    """Microseconds of CPU for a request without a lane, one figure a round."""
    lane: list[float] = field(default_factory=list)


def documents(lanes: int, port: int) -> list[dict[str, Any]]:
    group = "bench"
    fixed: list[dict[str, Any]] = [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": port, "address": "127.0.0.1"}]},
        {
            "kind": "Route",
            "gateway": "edge",
            "name": "a",
            "match": {"path": {"prefix": "/a"}},
            "service": "sc-A",
        },
        {"kind": "LaneGroup", "name": group, "gateway": "edge", "applications": ["spring-cloud-a"]},
    ]
    return fixed + [
        {
            "kind": "Lane",
            "group": group,
            "name": f"lane-{number}",
            "tag": f"tag-{number}",
            "enabled": True,
            "priority": number,
            "rule": {
                "match": "all",
                "conditions": [
                    {"source": "header", "name": "canary", "operator": "==", "value": f"v{number}"}
                ],
            },
        }
        for number in range(lanes)
    ]


def services(lanes: int, base: int, lane: int) -> dict[str, Any]:
    def instance(port: int, **metadata: str) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": port, "metadata": {"app": "spring-cloud-a", **metadata}}

    instances = [instance(base), instance(lane, lane=f"tag-{lanes - 1}")]
    return {"services": [{"name": "sc-A", "protocol": "http1", "instances": instances}]}


@contextmanager
def running(*command: str | Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def edge(lanes: int, upstream: tuple[int, int], directory: Path) -> Iterator[Edge]:
    """A control plane with that many lanes and an Envoy that has its configuration."""
    directory.mkdir()
    port, xds, admin, envoy_admin = (free_port() for _ in range(4))
    # JSON is YAML too.
    (directory / "services.yaml").write_text(json.dumps(services(lanes, *upstream)))
    text = "\n---\n".join(json.dumps(document) for document in documents(lanes, port))
    (directory / "definitions.yaml").write_text(text)
    bootstrap = directory / "envoy.yaml"
    make = [BIN / "laneway", "bootstrap", "edge", "--xds", f"127.0.0.1:{xds}", "--file", bootstrap]
    subprocess.run([*make, "--admin-port", str(envoy_admin)], check=True, stdout=subprocess.DEVNULL)
    serve = [BIN / "laneway", "serve", "--store", "memory"]
    serve += ["--services", directory / "services.yaml", "--definitions", directory / "definitions.yaml"]
    serve += ["--xds", f"127.0.0.1:{xds}", "--admin", f"127.0.0.1:{admin}"]
    envoy = [BIN / "envoy", "-c", bootstrap, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    with (
        running(*serve, log=directory / "laneway.log"),
        running(*envoy, log=directory / "envoy.log") as process,
    ):
        if not answers(f"http://127.0.0.1:{port}/a", 90):
            for log in ("laneway.log", "envoy.log"):
                print(f"{log}:\n{(directory / log).read_text()[-3000:]}", file=sys.stderr)
            raise SystemExit(f"the edge with {lanes} lanes does not answer")
        yield Edge(lanes, port, process.pid)


def answers(url: str, limit: float) -> bool:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                if response.read() == b"base":
                    return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


def cpu(pid: int) -> float:
    """Seconds that a process's threads were on a processor."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def measure(target: Edge, client: Path, count: int, header: str, expect: str) -> float:
    before = cpu(target.pid)
    command = [str(client), "-edge", f"127.0.0.1:{target.port}", "-count", str(count), "-expect", expect]
    subprocess.run([*command, "-header", header], check=True)
    return (cpu(target.pid) - before) / count * 1e6


def table(edges: list[Edge]) -> str:
    lines = [
        "| lanes | no lane, µs a request | last lane, µs a request | ratio of no lane | ratio of last lane |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    first = edges[0]
    for target in edges:
        # The ratio of each round, since the rounds and not the servers see the same machine.
        ratios = [
            statistics.median(own / other for own, other in zip(ours, theirs, strict=True))
            for ours, theirs in ((target.base, first.base), (target.lane, first.lane))
        ]
        own = statistics.median(target.base), statistics.median(target.lane)
        lines.append(
            f"| {target.lanes:,} | {own[0]:.1f} | {own[1]:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lanes", default="1,100,1000", help="numbers of lanes, the first is compared with")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--count", type=int, default=4000, help="requests of each kind in a round")
    parser.add_argument("--limit", type=float, default=1.1, help="the highest ratio that is no failure")
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
        stack.enter_context(running(client, "-serve", listeners, log=directory / "upstream.log"))
        edges = [
            stack.enter_context(edge(int(number), (base, lane), directory / number))
            for number in arguments.lanes.split(",")
        ]
        for number in range(arguments.rounds + 1):
            for target in edges:
                without = measure(target, client, arguments.count, "", "base")
                chosen = measure(target, client, arguments.count, f"canary: v{target.lanes - 1}", "lane")
                if number:  # the first round warms up
                    target.base.append(without)
                    target.lane.append(chosen)
    print(table(edges))
    print(f"\n{arguments.rounds} rounds of {arguments.count} requests of each kind; medians.")
    worst = statistics.median(a / b for a, b in zip(edges[-1].lane, edges[0].lane, strict=True))
    if worst > arguments.limit:
        raise SystemExit(f"{edges[-1].lanes:,} lanes cost {worst:.2f}× of {edges[0].lanes}")


if __name__ == "__main__":
    main()
