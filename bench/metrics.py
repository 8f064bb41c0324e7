"""What reports of traffic cost the control plane: a thousand proxies that report every 5 seconds.

    make bench-metrics

A real control plane runs in a process of its own. Proxies are gRPC clients that open a stream of discovery
and send reports of the form that Envoy sends; all counters and histograms grow in each. Of every hundred
proxies one is an edge, which has a series for each service and lane; a sidecar calls `--calls` services, in
every lane. Printed: CPU of the control plane without and with the reports, bytes, series, memory, and how
long others wait: GET /healthz, and a request for endpoints on an open stream of discovery (ADS), each
without and with reports, and the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from bench.run import ended, free_port
from controlplane.traffic.receiver import NODE_HEADER, PATH
from controlplane.traffic.series import BUCKETS, SLOT
from tests.traffic.reports import report

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
ENDPOINT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def service(number: int) -> str:
    return f"service-{number}"


def documents(services: int, lanes: int) -> str:
    applications = [service(number) for number in range(services)]
    found: list[dict[str, object]] = [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]},
        {"kind": "LaneGroup", "name": "all", "gateway": "edge", "applications": applications},
    ]
    for name in applications:
        path = {"path": {"prefix": f"/{name}"}}
        found.append({"kind": "Route", "gateway": "edge", "name": name, "service": name, "match": path})
    for number in range(lanes):
        rule = {
            "conditions": [{"source": "header", "name": "canary", "operator": "==", "value": str(number)}]
        }
        found.append(
            {"kind": "Lane", "group": "all", "name": f"lane-{number}", "tag": f"tag-{number}", "rule": rule}
        )
    return "\n---\n".join(json.dumps(one) for one in found)


def registry(services: int, lanes: int) -> str:
    listed = [
        {
            "name": service(number),
            "instances": [
                {
                    "address": f"10.{lane}.{number // 250}.{number % 250 + 1}",
                    "port": 80,
                    "metadata": {"alicloud.service.tag": f"tag-{lane - 1}"} if lane else {},
                }
                for lane in range(lanes + 1)
            ],
        }
        for number in range(services)
    ]
    return json.dumps({"services": listed})


def labels(edge: bool, called: Sequence[int], lanes: int) -> list[str]:
    """Without what only counters have: one for each service and lane, and base."""
    found: list[str] = []
    for number in called:
        name = service(number)
        head = f"e {name}" if edge else "o "
        for lane in range(lanes):
            route = f"{head}/lane-{lane}" if edge else f"o lane-{lane}"
            found.append(f"{route} file///{name}|{name}|tag-{lane}>base tag-{lane}@{name}")
        found.append(f"{head if edge else 'o base'} file///{name}|base @{name}")
    return found


class Proxy:
    """One client: a stream, and reports."""

    def __init__(self, number: int, port: int, args: argparse.Namespace) -> None:
        self.edge = number % 100 == 0
        self.node = f"bench-{number}"
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        called = (
            range(args.services)
            if self.edge
            else [(number * args.calls + n) % args.services for n in range(args.calls)]
        )
        self.labels = labels(self.edge, list(called), args.lanes)
        self.number = number
        self.round = 0
        self.begun = time.time() - 1
        self.sent = 0
        self.failed = 0

    async def connect(self) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER)
        node = request.node
        node.id, node.cluster = self.node, "edge" if self.edge else "app"
        node.user_agent_name = "envoy"
        node.user_agent_build_version.version.major_number = 1
        node.user_agent_build_version.version.minor_number = 40
        node.metadata["role"] = "edge" if self.edge else "sidecar"
        if not self.edge:
            node.metadata["address"] = f"10.200.{self.number // 250}.{self.number % 250 + 1}"
            node.metadata["calls"] = [label.split("/")[3].split("|")[0] for label in self.labels[:1]]
        self.stream = self.channel.stream_stream(DELTA)()
        await self.stream.write(request.SerializeToString())
        await self.stream.read()

    async def report(self) -> None:
        self.round += 1
        counters = {f"{label} 200 - 1": self.round * 7 for label in self.labels}
        counts = [0] * (len(BUCKETS) + 1)
        counts[2], counts[5] = self.round * 6, self.round
        histograms = dict.fromkeys(self.labels, counts)
        export = self.channel.unary_unary(PATH)
        now = time.time()
        for start in range(0, len(self.labels), 500):
            part = self.labels[start : start + 500]
            raw = report(
                now,
                self.begun,
                {f"{label} 200 - 1": counters[f"{label} 200 - 1"] for label in part},
                {label: histograms[label] for label in part},
            )
            self.sent += len(raw)
            try:
                await export(raw, metadata=((NODE_HEADER, self.node),), timeout=SLOT)
            except grpc.aio.AioRpcError as error:
                self.failed += 1
                if self.failed == 1:
                    print(f"{self.node}: {error.code()} {error.details()}", file=sys.stderr)


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def waits(admin: int, seconds: float) -> list[float]:
    """Milliseconds that GET /healthz takes, again and again."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz").read())
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.05)
    return found


async def asks(stream: Any, seconds: float) -> list[float]:
    """Milliseconds that a request for endpoints of a name that there is not takes, again and again."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = f"nothing-{time.monotonic_ns()}"
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=ENDPOINT, resource_names_subscribe=[name])
        began = time.perf_counter()
        await stream.write(request.SerializeToString())
        while True:
            answer = discovery_pb2.DeltaDiscoveryResponse.FromString(await stream.read())
            if name in answer.removed_resources:
                break
        found.append((time.perf_counter() - began) * 1000)
        done = discovery_pb2.DeltaDiscoveryRequest(
            type_url=ENDPOINT, response_nonce=answer.nonce, resource_names_unsubscribe=[name]
        )
        await stream.write(done.SerializeToString())
        await asyncio.sleep(0.05)
    return found


async def both(admin: int, stream: Any, seconds: float) -> tuple[list[float], list[float]]:
    """Both waits at the same time."""
    health, ads = await asyncio.gather(waits(admin, seconds), asks(stream, seconds))
    return health, ads


def metrics(admin: int) -> dict[str, float]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read().decode()
    return {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in text.splitlines()
        if line.startswith("laneway_traffic") and "{" not in line
    }


async def _load(pid: int, xds: int, admin: int, args: argparse.Namespace) -> None:
    proxies = [Proxy(number, xds, args) for number in range(args.proxies)]
    for start in range(0, len(proxies), 50):
        await asyncio.gather(*(one.connect() for one in proxies[start : start + 50]))
    await asyncio.sleep(2)
    before = cpu(pid)
    stream = proxies[-1].stream
    quiet = await both(admin, stream, 10)
    idle = (cpu(pid) - before) / 10

    async def go(proxy: Proxy) -> None:
        await asyncio.sleep(proxy.number / len(proxies) * SLOT)
        while True:
            began = time.monotonic()
            await proxy.report()
            await asyncio.sleep(max(0.0, SLOT - (time.monotonic() - began)))

    tasks = [asyncio.create_task(go(one)) for one in proxies]
    await asyncio.sleep(2 * SLOT)  # the first reports make all series
    before, sent, told = cpu(pid), sum(one.sent for one in proxies), metrics(admin)
    began = time.monotonic()
    busy = await both(admin, stream, args.seconds)
    passed = time.monotonic() - began
    used, after = (cpu(pid) - before) / passed, metrics(admin)
    size = (sum(one.sent for one in proxies) - sent) / passed
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    reading = after["laneway_traffic_reading_seconds_total"] - told["laneway_traffic_reading_seconds_total"]
    every = sum(len(one.labels) for one in proxies)
    failed = sum(one.failed for one in proxies)
    for line in (
        f"{args.proxies} proxies, {args.services} services, {args.lanes} lanes, {args.calls} called",
        f"labels of all proxies: {every:,}; of an edge {len(proxies[0].labels):,}",
        f"CPU of the control plane: {idle:.1%} without, {used:.1%} with reports",
        f"of it, reading them {reading / passed:.1%}",
        f"bytes: {size / 1e6:.2f} MB/s; resident {resident(pid):.0f} MiB",
        f"series {after['laneway_traffic_series']:,.0f}, readings {after['laneway_traffic_readings']:,.0f}",
        f"failed reports {failed}; waiting {after['laneway_traffic_waiting_bytes']:,.0f} bytes",
    ):
        print(line)
    for what, without, having in zip(("GET /healthz", "ADS request"), quiet, busy, strict=True):
        one, other = ((statistics.median(x), statistics.quantiles(x, n=100)[98]) for x in (without, having))
        print(
            f"{what}: p50, p99 without {one[0]:.1f}, {one[1]:.1f} ms, with {other[0]:.1f}, {other[1]:.1f} ms;"
        )
        print(f"  ratio {other[0] / one[0]:.2f}, {other[1] / one[1]:.2f}")
    await asyncio.gather(*(one.channel.close() for one in proxies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--lanes", type=int, default=10)
    parser.add_argument("--calls", type=int, default=5, help="services that a sidecar calls")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--transport", default="laneway")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        (directory / "services.yaml").write_text(registry(args.services, args.lanes))
        (directory / "documents.yaml").write_text(documents(args.services, args.lanes))
        xds, admin = free_port(), free_port()
        command = [str(Path(sys.executable).parent / "laneway"), "serve", "--store", "memory"]
        command += ["--services", str(directory / "services.yaml"), "--xds", f"127.0.0.1:{xds}"]
        command += ["--definitions", str(directory / "documents.yaml"), "--admin", f"127.0.0.1:{admin}"]
        environment = {**os.environ, "LANEWAY_XDS_TRANSPORT": args.transport}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            with ended(process):
                end = time.monotonic() + 60
                while True:
                    try:
                        urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=2).read()
                        break
                    except OSError:
                        if time.monotonic() > end or process.poll() is not None:
                            raise SystemExit((directory / "log").read_text()[-3000:]) from None
                        time.sleep(0.2)
                asyncio.run(_load(process.pid, xds, admin, args))


if __name__ == "__main__":
    main()
