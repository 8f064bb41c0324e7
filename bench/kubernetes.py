"""From the status of a pod to the Envoys, with a real API server and real Envoys; start and memory.

    python -m bench.kubernetes --services 1000 --pods 10

Needs the API server of the tests (`make kube-apiserver`). An edge has one route to each service. A pod
becomes unready or ready by a change of its status; the end is when every Envoy shows its address, or does not
any more, asked every few milliseconds. All of it takes some five minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from bench.proxies import BIN, ENVOY, running
from bench.run import free_port
from tests.kubernetes.server import MERGE, KubeServer, for_test

AT_ONCE = 16
NODE = "node-1"


def ip(service: int, pod: int) -> str:
    return f"10.{100 + service // 250}.{service % 250}.{pod + 1}"


def status(address: str, ready: bool) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
        }
    }


class Cluster:
    """Writes objects over connections that are kept."""

    def __init__(self, server: KubeServer) -> None:
        trusted = ssl.create_default_context(cafile=str(server.home / "apiserver.crt"))
        headers = {"Authorization": f"Bearer {server.token}"}
        self.http = httpx.AsyncClient(base_url=server.url, verify=trusted, headers=headers, timeout=60)
        self.at = "/api/v1/namespaces/default"

    async def call(self, method: str, path: str, body: Any, kind: str = "application/json") -> None:
        answer = await self.http.request(
            method, path, content=json.dumps(body), headers={"Content-Type": kind}
        )
        answer.raise_for_status()

    async def ready(self, service: int, pod: int, ready: bool) -> None:
        path = f"{self.at}/pods/sc-{service}-{pod}/status"
        await self.call("PATCH", path, status(ip(service, pod), ready), MERGE)

    async def fill(self, services: int, pods: int, seconds: float) -> int:
        """Make services and pods, for at most so many seconds. Returns how many services have all pods."""
        end = time.perf_counter() + seconds
        made: Counter[int] = Counter()
        await self.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        wanted = iter(range(services))
        waiting = iter([(service, pod) for service in range(services) for pod in range(pods)])

        async def work() -> None:
            for service in wanted:
                spec = {"ports": [{"port": 20001}], "selector": {"app": f"sc-{service}"}}
                metadata = {"name": f"sc-{service}"}
                await self.call("POST", f"{self.at}/services", {"metadata": metadata, "spec": spec})
            for service, pod in waiting:
                if time.perf_counter() > end:
                    return
                labels = {"app": f"sc-{service}", "msePilotCreateAppName": f"app-{service}"}
                metadata = {"name": f"sc-{service}-{pod}", "labels": labels}
                spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "none"}]}
                await self.call("POST", f"{self.at}/pods", {"metadata": metadata, "spec": spec})
                await self.ready(service, pod, True)
                made[service] += 1

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return next((one for one in range(services) if made[one] < pods), services)


def definitions(services: int, port: int) -> str:
    documents: list[dict[str, Any]] = [{"kind": "Gateway", "name": "edge", "listeners": [{"port": port}]}]
    documents += [
        {
            "kind": "Route",
            "gateway": "edge",
            "name": f"r-{n}",
            "match": {"path": {"prefix": f"/{n}"}},
            "service": f"sc-{n}",
        }
        for n in range(services)
    ]
    return "\n---\n".join(json.dumps(one) for one in documents)


async def has(envoy: httpx.AsyncClient, service: int, address: str) -> bool:
    text = (await envoy.get("/clusters", params={"filter": f"sc-{service}([^0-9]|$)"})).text
    return f"::{address}:" in text


async def until(envoy: httpx.AsyncClient, service: int, address: str, there: bool, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await has(envoy, service, address) == there:
                return
            await asyncio.sleep(0.003)


def resident(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


async def measure(server: KubeServer, home: Path, given: argparse.Namespace) -> None:
    cluster = Cluster(server)
    began = time.perf_counter()
    wanted = given.services
    given.services = await cluster.fill(wanted, given.pods, given.fill)
    if given.services < wanted:
        print(
            f"after {given.fill:.0f} s there are {given.services} of {wanted} services: measured with these"
        )
    made = f"{given.services} services, {given.services * given.pods} pods"
    print(f"{made} made in {time.perf_counter() - began:.0f} s; {load()}", flush=True)
    xds, admin = free_port(), free_port()
    serve = [
        str(BIN / "laneway"),
        "serve",
        "--store",
        "memory",
        "--kubernetes-config",
        str(server.kubeconfig),
    ]
    serve += ["--xds", f"127.0.0.1:{xds}", "--admin", f"127.0.0.1:{admin}"]
    (home / "definitions.yaml").write_text(definitions(given.services, free_port()))
    serve += ["--definitions", str(home / "definitions.yaml")]
    with ExitStack() as stack:
        began = time.perf_counter()
        process = stack.enter_context(running(serve, home / "laneway.log"))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{admin}") as laneway:
            await answered(laneway, 300)
        print(
            f"start: ready after {time.perf_counter() - began:.1f} s, {resident(process.pid):.0f} MiB",
            flush=True,
        )
        envoys: list[httpx.AsyncClient] = []
        began = time.perf_counter()
        for number in range(given.envoys):
            own = free_port()
            file = home / f"edge-{number}.yaml"
            make = [
                str(BIN / "laneway"),
                "bootstrap",
                "edge",
                "--xds",
                f"127.0.0.1:{xds}",
                "--file",
                str(file),
            ]
            await asyncio.to_thread(
                subprocess.run,
                [*make, "--admin-port", str(own)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            command = [
                str(ENVOY),
                "-c",
                str(file),
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "-l",
                "error",
            ]
            stack.enter_context(
                running([*command, "--service-node", f"edge-{number}"], file.with_suffix(".log"))
            )
            envoys.append(httpx.AsyncClient(base_url=f"http://127.0.0.1:{own}", timeout=30))
        last = given.services - 1
        for envoy in envoys:
            await connected(envoy, last, ip(last, 0))
        print(f"{len(envoys)} Envoys have everything after {time.perf_counter() - began:.1f} s", flush=True)
        took: list[float] = []
        end = time.perf_counter() + given.seconds
        for turn in range(given.changes):
            if time.perf_counter() > end:
                break
            service, ready = turn // 2 % given.services, turn % 2 == 1
            began = time.perf_counter()
            await cluster.ready(service, 1, ready)
            await asyncio.gather(*(until(one, service, ip(service, 1), ready, 60) for one in envoys))
            took.append((time.perf_counter() - began) * 1000)
        took.sort()
        print(
            f"pod status to all Envoys: p50 {statistics.median(took):.0f} ms, p99 "
            f"{took[min(len(took) - 1, round(len(took) * 0.99))]:.0f} ms, of {len(took)} changes"
        )
        print(f"memory of the control plane: {resident(process.pid):.0f} MiB; {load()}")
        for one in envoys:
            await one.aclose()
    await cluster.http.aclose()


async def answered(laneway: httpx.AsyncClient, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                if (await laneway.get("/readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)


async def connected(envoy: httpx.AsyncClient, service: int, address: str) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                await until(envoy, service, address, True, 100)
                return
            except httpx.HTTPError:
                await asyncio.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--envoys", type=int, default=2)
    parser.add_argument("--fill", type=float, default=270, help="seconds for which objects are made")
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=45, help="after which no further change is made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, for_test(Path(home) / "server") as server:
        asyncio.run(measure(server, Path(home), given))


if __name__ == "__main__":
    main()
