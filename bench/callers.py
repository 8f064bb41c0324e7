"""What sets of callers cost: a change of one instance, and memory, by the number of sets in use.

    python -m bench.callers                       # 200 services with 10 instances each, 10 lanes
    python -m bench.callers --services 1000

Each of `sets` applications allows one caller of its own, and a sidecar of each of these callers is connected:
no two of them may call the same. What nobody closes is the first row.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from pathlib import Path

from bench.large import World
from controlplane.model.documents import Application
from controlplane.snapshot.nodes import parse_node
from controlplane.snapshot.view import NodeView

CHANGES = 9


def resident() -> float:
    """MiB."""
    gc.collect()
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


def connected(world: World, application: str) -> NodeView:
    metadata = {"role": "sidecar", "address": "10.9.9.9"}
    return world.publisher.view(parse_node(application, metadata, None), True)


def measure(services: int, sets: int) -> tuple[float, float, float]:
    """Milliseconds of a change of one instance (median) and of the first client of a set; MiB of a set."""
    world = World(services, min(services, 100))
    for number in range(sets):
        name = f"svc-{number:04}"
        world.definitions = world.definitions.put(Application(name=name, callers=(f"caller-{number}",)))
    world.publish()
    views = [connected(world, "stranger")]
    before, first = resident(), 0.0
    for number in range(sets):
        began = time.perf_counter()
        views.append(connected(world, f"caller-{number}"))
        first = time.perf_counter() - began
    grown = resident() - before
    changes = list[float]()
    for number in range(CHANGES):
        began = time.perf_counter()
        world.instances(services - 1, 5 + number % 2)
        changes.append(time.perf_counter() - began)
    assert len(views) == sets + 1
    return 1000 * statistics.median(changes), 1000 * first, grown / sets if sets else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=200)
    given = parser.parse_args()
    print("| sets | a change of one instance | the first client of a set | memory of a set |")
    print("| ---: | ---: | ---: | ---: |")
    for sets in (0, 1, 10, 50):
        change, first, memory = measure(given.services, sets)
        print(f"| {sets} | {change:.1f} ms | {first:.0f} ms | {memory:.1f} MiB |", flush=True)


if __name__ == "__main__":
    main()
