"""A control plane over a real Nacos with many services: start, memory, and how long a change takes.

    python -m bench.nacos [--version 2.3.2-OEM] [--services 1000] [--instances 10] [--changes 120]

One sidecar Envoy has every service, an edge has twenty; the changes are made to those, and the edge's admin
port is asked until it shows them. Needs a JDK and Maven, as the tests with Nacos do.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests import nacos_server
from tests.mesh.client import until
from tests.mesh.documents import route
from tests.mesh.harness import Mesh, listening
from tests.mesh.nacos import Registrar, options

ROUTED = 20
KINDS = ("register", "deregister", "weight", "unhealthy", "disabled", "metadata")

Instance = dict[str, Any]


def instances(service: int, count: int) -> list[Instance]:
    return [
        {
            "ip": f"127.{100 + service // 250}.{service % 250}.{number + 1}",
            "port": 20000,
            "metadata": {
                "app": f"app-{service}",
                "version": "1.0",
                "preserved.register.source": "SPRING_CLOUD",
            },
        }
        for number in range(count)
    ]


def changed(kind: str, before: list[Instance]) -> tuple[list[Instance], str, bool]:
    """The instances after a change, and the text that the edge's list of clusters must have, or not."""
    first, *others = (dict(one) for one in before)
    where = f"{first['ip']}:20000::"
    if kind == "register":
        return [first, *others, {**first, "port": 20001}], f"{first['ip']}:20001::", True
    if kind == "deregister":
        return others, where, False
    if kind == "weight":
        return [{**first, "weight": 7.0}, *others], f"{where}weight::7", True
    if kind == "unhealthy":
        return [{**first, "healthy": False}, *others], f"{where}health_flags::/failed_eds_health", True
    if kind == "disabled":
        return [{**first, "enabled": False}, *others], where, False
    return [{**first, "metadata": first["metadata"] | {"lane": "other"}}, *others], where, False


class Told:
    """When the SDK called back, from the control plane's log."""

    def __init__(self, log: Path) -> None:
        self._file = log.open()

    def time_of(self, service: str) -> float:
        """The time of the newest call for `service` since the last question, in seconds since the epoch."""
        found = 0.0
        for line in self._file:
            if "the registry reports a service" in line and f'/{service}"' in line:
                found = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        return found


def status(pid: int, field: str) -> float:
    """A size of the process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    p50, p99, most = (1000 * seconds for seconds in (statistics.median(ordered), p99, ordered[-1]))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {most:.0f} ms"


def change_and_wait(
    mesh: Mesh, registrar: Registrar, service: str, after: list[Instance], text: str, wanted: bool
) -> tuple[float, float]:
    """When the write began and when the edge showed the change, in seconds since the epoch."""
    began = time.time()
    registrar.register("bulk", service, *after)
    deadline = began + 30
    while (text in mesh.endpoints(mesh.edge_admin)) is not wanted:
        if time.time() > deadline:
            raise SystemExit(f"{service}: {text} {'never came' if wanted else 'never went'}")
    return began, time.time()


def measure(mesh: Mesh, registrar: Registrar, arguments: argparse.Namespace) -> None:
    assert mesh.serving is not None
    told = Told(mesh.serving.log)
    from_write: list[float] = []
    from_call: list[float] = []
    for turn in range(arguments.changes):
        number = random.randrange(ROUTED)
        service, before = f"svc-{number:04}", instances(number, arguments.instances)
        after, text, wanted = changed(KINDS[turn % len(KINDS)], before)
        for step, (state, expected) in enumerate(((after, wanted), (before, not wanted))):
            told.time_of(service)
            began, seen = change_and_wait(mesh, registrar, service, state, text, expected)
            called = told.time_of(service)
            if step == 0:
                from_write.append(seen - began)
                from_call.append(seen - called)
    print(f"{arguments.changes} changes, from the SDK's callback to the edge: {percentiles(from_call)}")
    print(f"{arguments.changes} changes, from the write to Nacos to the edge: {percentiles(from_write)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--version", default=nacos_server.VERSIONS[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--changes", type=int, default=120)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as place,
        nacos_server.running(arguments.version, Path(place) / "n") as server,
    ):
        state = Path(place) / "sdk"
        state.mkdir()
        registrar = Registrar(server.address, state)
        mesh = Mesh(Path(place) / "mesh")
        try:
            for number in range(arguments.services):
                registrar.register("bulk", f"svc-{number:04}", *instances(number, arguments.instances))
            mesh.source = options(server.address, Path(place) / "state")
            mesh.environment = {"LANEWAY_LOG_LEVEL": "debug", "LANEWAY_LOG_FORMAT": "json"}
            began = time.monotonic()
            mesh.start_laneway()
            assert mesh.serving is not None
            print(
                f"Nacos {arguments.version}, {arguments.services} services x {arguments.instances} instances"
            )
            print(f"ready {time.monotonic() - began:.1f} s after the start")
            mesh.apply(mesh.gateway(), *(route(f"r{n}", f"svc-{n:04}") for n in range(ROUTED)))
            mesh.pod("one", "svc-0000", "app-0")
            mesh.start_apps(mesh.pods.values())
            mesh.start_edge()
            mesh.start_sidecars(mesh.pods.values())
            ready = time.monotonic()
            until(lambda: listening((mesh.pods["one"].address, 15001)), 300, "the sidecar")
            print(f"sidecar ready after {time.monotonic() - ready:.1f} s")
            mesh.wait_ready()
            pid = mesh.serving.process.pid
            print(f"memory with an edge and a sidecar: {status(pid, 'VmRSS'):.0f} MiB")
            measure(mesh, registrar, arguments)
            print(
                f"memory at the end: {status(pid, 'VmRSS'):.0f} MiB, at most {status(pid, 'VmHWM'):.0f} MiB"
            )
            until(lambda: mesh.serving is not None and mesh.serving.alive, 1, "laneway to live")
        finally:
            mesh.stop()
            registrar.close()


if __name__ == "__main__":
    main()
