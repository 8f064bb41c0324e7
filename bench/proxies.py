"""The proxies of bench/edge.py: a plain Envoy, and edges and sidecars of control planes with many lanes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.run import ended, free_port

BIN = Path(sys.executable).parent
ENVOY = Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"
EGRESS_PORT = 15001


@dataclass(frozen=True)
class Proxy:
    """A running Envoy; `ports` are its listeners by kind."""

    name: str
    pid: int
    address: str
    ports: dict[str, int]
    admin: int

    def dump(self) -> str:
        url = f"http://127.0.0.1:{self.admin}/config_dump?include_eds"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()


def on(processor: int, command: Sequence[str]) -> list[str]:
    """`command`, kept on one processor; proxies have the last one, their load the first."""
    last = (os.cpu_count() or 1) - 1
    return ["taskset", "-c", str(min(processor, last)), *command]


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out, ended(subprocess.Popen(command, stdout=out, stderr=out)) as process:
        yield process


@contextmanager
def _envoy(config: Path) -> Iterator[int]:
    command = [str(ENVOY), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    with running(on(1, command), config.with_suffix(".log")) as process:
        yield process.pid


def _wait(url: str, logs: Path, host: str = "bench.example.com") -> None:
    """Until `url` is answered by base. Raises SystemExit with the processes' logs."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            asked = urllib.request.Request(url, headers={"host": host})
            with urllib.request.urlopen(asked, timeout=2) as response:
                if response.read() == b"base":
                    return
        except OSError:
            pass
        time.sleep(0.2)
    for log in sorted(logs.glob("*.log")):
        print(f"{log.name}:\n{log.read_text()[-3000:]}", file=sys.stderr)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def plain(directory: Path, upstream: int) -> Iterator[Proxy]:
    """An Envoy with defaults alone: one listener, one route, one cluster."""
    directory.mkdir()
    port, admin = free_port(), free_port()
    kind = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}},
        ],
    }

    def at(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    assignment = {
        "cluster_name": "upstream",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(upstream)}}]}],
    }
    config = {
        "admin": {"address": at(admin)},
        "static_resources": {
            "listeners": [
                {
                    "address": at(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [{"name": "upstream", "type": "STATIC", "load_assignment": assignment}],
        },
    }
    path = directory / "plain.json"
    path.write_text(json.dumps(config))
    with _envoy(path) as pid:
        _wait(f"http://127.0.0.1:{port}/a", directory)
        yield Proxy("plain", pid, "127.0.0.1", {"plain": port}, admin)


def _documents(lanes: int, port: int, by_trace: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": port, "address": "127.0.0.1"}]},
        {
            "kind": "Route",
            "gateway": "edge",
            "name": "a",
            "match": {"path": {"prefix": "/a"}},
            "service": "sc-A",
        },
        {
            "kind": "LaneGroup",
            "name": "bench",
            "gateway": "edge",
            "applications": ["spring-cloud-a", "spring-cloud-b"],
            "colour_by_trace": by_trace,
        },
    ]
    for number in range(lanes):
        condition = {"source": "header", "name": "canary", "operator": "==", "value": f"v{number}"}
        found.append(
            {
                "kind": "Lane",
                "group": "bench",
                "name": f"lane-{number}",
                "tag": f"tag-{number}",
                "enabled": True,
                "priority": number,
                "rule": {"match": "all", "conditions": [condition]},
            }
        )
    return found


def _services(lanes: int, upstream: tuple[int, int], sidecar: tuple[str, int]) -> dict[str, Any]:
    def instance(address: str, port: int, **metadata: str) -> dict[str, Any]:
        return {"address": address, "port": port, "metadata": metadata}

    a = {"app": "spring-cloud-a"}
    called = [
        instance("127.0.0.1", upstream[0], **a),
        instance("127.0.0.1", upstream[1], **a, lane=f"tag-{lanes - 1}"),
    ]
    own = [instance(*sidecar, app="spring-cloud-b")]
    return {
        "services": [
            {"name": "sc-A", "protocol": "http1", "instances": called},
            {"name": "sc-B", "protocol": "http1", "instances": own},
        ]
    }


def _egress_address() -> str:
    """A loopback address on which the sidecar's fixed port is free."""
    for number in range(1, 250):
        address = f"127.0.{number}.77"
        with socket.socket() as probe:
            try:
                probe.bind((address, EGRESS_PORT))
            except OSError:
                continue
            return address
    raise SystemExit(f"port {EGRESS_PORT} is taken on every loopback address that was tried")


@contextmanager
def control_plane(
    lanes: int, upstream: tuple[int, int], directory: Path, by_trace: bool = False
) -> Iterator[tuple[Proxy, Proxy]]:
    """A control plane with that many lanes; the edge and the sidecar that have its configuration."""
    directory.mkdir()
    kind = "-by-trace" if by_trace else ""
    port, inbound, xds, admin, edge_admin, sidecar_admin = (free_port() for _ in range(6))
    address = _egress_address()
    # JSON is YAML too.
    services = _services(lanes, upstream, (address, inbound))
    (directory / "services.yaml").write_text(json.dumps(services))
    text = "\n---\n".join(json.dumps(document) for document in _documents(lanes, port, by_trace))
    (directory / "definitions.yaml").write_text(text)
    edge_file, sidecar_file = directory / "edge.yaml", directory / "sidecar.yaml"
    make = [str(BIN / "laneway"), "bootstrap"]
    at = ["--xds", f"127.0.0.1:{xds}"]
    edge = [*make, "edge", *at, "--file", str(edge_file), "--admin-port", str(edge_admin)]
    own = f"sc-B:{inbound}:{upstream[0]}"
    sidecar = [*make, "sidecar", *at, "--file", str(sidecar_file), "--admin-port", str(sidecar_admin)]
    sidecar += ["--application", "spring-cloud-b", "--address", address, "--service", own]
    sidecar += ["--app-address", "127.0.0.1", "--egress-address", address, "--calls", "sc-A"]
    for command in (edge, sidecar):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    serve = [str(BIN / "laneway"), "serve", "--store", "memory"]
    serve += ["--services", str(directory / "services.yaml")]
    serve += ["--definitions", str(directory / "definitions.yaml")]
    serve += ["--xds", f"127.0.0.1:{xds}", "--admin", f"127.0.0.1:{admin}"]
    with ExitStack() as stack:
        stack.enter_context(running(on(0, serve), directory / "laneway.log"))
        edge_pid = stack.enter_context(_envoy(edge_file))
        sidecar_pid = stack.enter_context(_envoy(sidecar_file))
        _wait(f"http://127.0.0.1:{port}/a", directory)
        _wait(f"http://{address}:{inbound}/a", directory)
        _wait(f"http://{address}:{EGRESS_PORT}/a", directory, "sc-A")
        ports = {"outbound": EGRESS_PORT, "inbound": inbound}
        yield (
            Proxy(f"edge-{lanes}{kind}", edge_pid, "127.0.0.1", {"edge": port}, edge_admin),
            Proxy(f"sidecar-{lanes}{kind}", sidecar_pid, address, ports, sidecar_admin),
        )


def cpu(pid: int) -> float:
    """Seconds that a process's threads were on a processor."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9
