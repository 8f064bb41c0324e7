"""What following a cluster costs: `python -m tests.kubernetes.figures SERVICES PODS_EACH`."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from controlplane.registry.kubernetes import KubernetesConfig
from tests.kubernetes.server import for_test
from tests.kubernetes.tools import NODE, Admin, Watch, watching

FLIPS = 100


def memory() -> float:
    """Resident set of this process in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def fill(admin: Admin, services: int, each: int) -> None:
    limit = asyncio.Semaphore(8)

    async def pod(service: int, number: int) -> None:
        async with limit:
            labels = {"app": f"sc-{service}", "msePilotCreateAppName": f"app-{service}"}
            labels |= {"lane": "gray"} if number == 0 else {}
            ip = f"10.{100 + service // 250}.{service % 250}.{number + 1}"
            await admin.pod(f"sc-{service}-{number}", ip, labels)

    for service in range(services):
        await admin.service(f"sc-{service}", {"app": f"sc-{service}"})
    await asyncio.gather(*(pod(service, number) for service in range(services) for number in range(each)))


def known(watch: Watch) -> int:
    return sum(len(one.instances) for one in watch.catalog.services.values())


async def flips(watch: Watch, admin: Admin, services: int) -> list[float]:
    """Milliseconds from the request that makes a pod unready, or ready, to what the catalog tells."""
    took: list[float] = []
    for turn in range(FLIPS):
        service = turn // 2 % services
        id_, ip = f"kubernetes/default//sc-{service}", f"10.{100 + service // 250}.{service % 250}.2"
        ready = turn % 2 == 1
        came = asyncio.Event()

        def told(_: frozenset[str], id_: str = id_, ip: str = ip, ready: bool = ready) -> None:
            if (ip in watch.tags(id_)) == ready:
                came.set()  # noqa: B023

        end = watch.catalog.subscribe(told)
        began = time.perf_counter()
        await admin.status(f"sc-{service}-1", ip, ready)
        await asyncio.wait_for(came.wait(), 30)
        took.append((time.perf_counter() - began) * 1000)
        end()
    return sorted(took)


async def main(services: int, each: int) -> None:
    with tempfile.TemporaryDirectory() as home, for_test(Path(home) / "server") as server:
        server.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        admin = Admin(server)
        await fill(admin, services, each)
        before, began = memory(), time.perf_counter()
        async with watching(KubernetesConfig(kubeconfig=server.kubeconfig, namespaces=("default",))) as watch:
            await watch.until(watch.catalog.synced, seconds=120)
            print(f"start: {time.perf_counter() - began:.2f} s, {len(watch.source.cluster.pods)} pods")
            await watch.until(lambda: known(watch) == services * each, seconds=120)
            print(f"memory: {memory() - before:.0f} MiB for {known(watch)} instances")
            took = await flips(watch, admin, services)
            high = took[-max(1, len(took) // 100)]
            print(f"pod status to catalog: p50 {statistics.median(took):.1f} ms, p99 {high:.0f} ms")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
