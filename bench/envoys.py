"""How long until 50 real Envoys have applied one endpoint change, beside go-control-plane.

    python -m bench.envoys              # 1,000 clusters, 50 Envoys; --write for docs/benchmarks.md
    python -m bench.envoys --quick      # 100 clusters, 10 Envoys

Each Envoy says in its log, to the microsecond, when it applied new hosts of a cluster; so nothing is polled
while the time runs. Its statistics (`update_success` of that cluster) confirm afterwards that each change was
applied once by each. The rounds of the servers are interleaved.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import document
from bench.run import LANEWAY, LINEAR, SNAPSHOT, build, serving

ENVOY = Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"
CLUSTER = 7
APPLIED = re.compile(rb"^(\d+\.\d+) EDS hosts or locality weights changed for cluster: cluster-00007 ", re.M)
STATISTIC = "cluster.cluster-00007.update_success"


@dataclass(frozen=True)
class RunningEnvoy:
    process: subprocess.Popen[bytes]
    log: Path
    admin: Path

    def applied(self, since: int) -> float | None:
        """When it applied a change, in epoch seconds, by what its log has beyond `since` bytes."""
        with self.log.open("rb") as log:
            log.seek(since)
            found = APPLIED.search(log.read())
        return None if found is None else float(found[1])

    def admin_port(self) -> int:
        return int(self.admin.read_text().rpartition(":")[2])

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port()}{path}", timeout=30) as answer:
            return answer.read().decode()

    def updates(self) -> int:
        """Of the changing cluster, by Envoy's statistics."""
        found = json.loads(self.get(f"/stats?format=json&filter=^{STATISTIC}$"))["stats"]
        return found[0]["value"] if found else 0


def bootstrap(number: int, xds: str) -> dict[str, Any]:
    host, _, port = xds.rpartition(":")
    address = {"socket_address": {"address": host, "port_value": int(port)}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "node": {"id": f"node-{number}", "cluster": "bench"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        # The others are of no interest here, and a thousand clusters have some hundred thousand.
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"exact": STATISTIC}]}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"},
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                    "typed_extension_protocol_options": {
                        options: {
                            "@type": f"type.googleapis.com/{options}",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                }
            ]
        },
    }


@contextmanager
def envoys(
    count: int, xds: str, directory: Path, configure: Callable[[int, str], dict[str, Any]] = bootstrap
) -> Iterator[list[RunningEnvoy]]:
    running: list[RunningEnvoy] = []
    try:
        for number in range(count):
            config, admin = directory / f"{number}.json", directory / f"{number}.admin"
            log = directory / f"{number}.log"
            config.write_text(json.dumps(configure(number, xds)))
            command = [str(ENVOY), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
            command += ["--admin-address-path", str(admin), "--log-path", str(log), "--log-level", "error"]
            command += ["--component-log-level", "upstream:debug", "--log-format", "%E.%F %v"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running.append(RunningEnvoy(process, log, admin))
        yield running
    finally:
        for one in running:
            one.process.kill()
        for one in running:
            one.process.wait()


def eventually(met: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


def measured(server: str, binaries: Path, count: int, clusters: int, changes: int) -> dict[str, list[float]]:
    """ms until the last Envoy, and until each, had applied a change."""
    last: list[float] = []
    each: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(server, binaries, count, ("-clusters", str(clusters))) as where,
    ):
        addresses = dict(zip(where[::2], where[1::2], strict=True))
        with envoys(count, addresses["-xds"], Path(directory)) as running:
            for one in running:
                eventually(one.admin.exists, 120, "the admin interface")
            eventually(lambda: all(map(live, running)), 300, "all Envoys are live")
            print(f"{server}: {count} Envoys are live", file=sys.stderr)
            before = [one.updates() for one in running]
            for number in range(1, changes + 1):
                change = f"http://{addresses['-control']}/change?cluster={CLUSTER}&seq={number}"
                ends = [(one, one.log.stat().st_size) for one in running]
                began = time.time()
                urllib.request.urlopen(change, b"", timeout=10).close()
                eventually(lambda ends=ends: all(one.applied(end) for one, end in ends), 60, "a change")
                times = [((one.applied(end) or began) - began) * 1000 for one, end in ends]
                last.append(max(times))
                each += times
            for one, had in zip(running, before, strict=True):
                if one.updates() != had + changes:
                    raise SystemExit(f"{server}: an Envoy counts {one.updates() - had} of {changes} updates")
    print(f"{server}: {changes} changes are applied", file=sys.stderr)
    return {"last": last, "each": each}


def live(one: RunningEnvoy) -> bool:
    try:
        return one.get("/ready").strip() == "LIVE" and one.updates() > 0
    except urllib.error.HTTPError as starting:
        starting.close()
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    binaries = build()
    if binaries is None:
        print("Go is not on PATH: the benchmark is skipped")
        return
    count, clusters = (10, 100) if arguments.quick else (50, 1000)
    described = f"{document.machine()}, {document.peers()}."
    results: dict[str, dict[str, list[float]]] = {}
    for _ in range(arguments.rounds):
        for server in (SNAPSHOT, LINEAR, LANEWAY):
            for name, values in measured(server, binaries, count, clusters, arguments.changes).items():
                results.setdefault(server, {}).setdefault(name, []).extend(values)
    lines = [
        f"{described}\n{clusters:,} clusters of 10 endpoints; {len(results[LANEWAY]['last'])} changes.\n",
        f"| until {count} Envoys have applied one change, ms | SnapshotCache | LinearCache | Laneway |",
        "| --- | ---: | ---: | ---: |",
    ]
    for label, name, share in (
        ("last, p50", "last", 0.5),
        ("last, p99", "last", 0.99),
        ("each, p50", "each", 0.5),
    ):
        cells = [
            f"{statistics.quantiles(results[server][name], n=100)[round(share * 100) - 1]:.1f}"
            for server in (SNAPSHOT, LINEAR, LANEWAY)
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    document.report("bench/envoys.py", "\n".join(lines), keep=arguments.write)


if __name__ == "__main__":
    main()
