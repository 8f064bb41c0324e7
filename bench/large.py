"""What a large mesh costs: bytes on the wire, an Envoy's memory, the control plane's time.

    python -m bench.large            # 1,000 services × 10 instances × 10 lanes, some three minutes
    python -m bench.large --write    # the same, into docs/benchmarks.md
    python -m bench.large --quick    # a fifth of it

Bytes: `--sidecars` incremental clients that asked for 20 services by name and one ip:port each; an instance
of one of them comes and goes. Memory: a real Envoy as a sidecar. Time: a lane of ten services is switched in
catalogs of 10, 100 and 1,000 services, and everything is built from nothing for three sizes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import structlog

from bench import document
from controlplane.app import heap
from controlplane.cli.envoy_config import bootstrap, sidecar_metadata
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway, Lane, LaneGroup, Route
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Instance, Service
from controlplane.rpc.choice import transport
from controlplane.snapshot.publisher import Publisher
from controlplane.xds.messages import DeltaRequest, DeltaResponse, NodeMessage
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST
from controlplane.xds.server import XdsServer

ENVOY = Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"
HOST = "127.86.0.1"
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
CALLED = 20
LANES = 10


def service(number: int, instances: int = 10) -> Service:
    """Half of the instances are base, the others have one of the ten tags each."""
    name = f"svc-{number:04}"
    made = tuple(
        Instance(
            f"10.{number >> 8}.{number & 255}.{i + 1}",
            20001,
            tag=None if i % 2 == 0 else f"t{(number + i) % LANES}",
            application=name,
        )
        for i in range(instances)
    )
    return Service(f"file///{name}", "file", name, made)


class World:
    """A publisher with `services` services; the lanes' group has the first `grouped` of them."""

    def __init__(self, services: int, grouped: int, sent_at_once: int = 2_000) -> None:
        self.services = {made.id: made for made in map(service, range(services))}
        applications = tuple(made.name for made in list(self.services.values())[:grouped])
        rule = {"conditions": [{"source": "header", "name": "canary", "operator": "==", "value": "x"}]}
        self.definitions = Definitions.of(
            [
                Gateway(name="edge", listeners=[{"port": 8080}]),  # type: ignore[list-item]
                Route(gateway="edge", name="a", match={"path": {"prefix": "/"}}, service="svc-0000"),  # type: ignore[arg-type]
                LaneGroup(name="g", gateway="edge", applications=applications),
                *(
                    Lane(group="g", name=f"lane-{n}", tag=f"t{n}", rule=rule)  # type: ignore[arg-type]
                    for n in range(LANES)
                ),
            ]
        )
        self.publisher = Publisher(sent_at_once)

    def resolve(self, name: str) -> str:
        if f"file///{name}" in self.services:
            return f"file///{name}"
        raise LookupError(name)

    def publish(self) -> None:
        known = enabled_lanes(self.definitions)
        deployed = Deployed(known, frozenset(known))
        self.publisher.publish(self.definitions, deployed, self.services, self.resolve)

    def instances(self, number: int, count: int) -> None:
        """Service `number` has `count` instances from now on."""
        changed = service(number, count)
        self.services = {**self.services, changed.id: changed}
        self.publish()

    def switch(self, enabled: bool) -> None:
        """Enable or disable the last lane."""
        name = f"lane-{LANES - 1}"
        lane = self.definitions.lanes[name].model_copy(update={"enabled": enabled})
        self.definitions = self.definitions.put(lane)
        self.publish()


# Bytes.


class Sidecar:
    """An incremental client that acknowledges, follows its clusters' endpoints and counts bytes."""

    def __init__(
        self, channel: grpc.aio.Channel, number: int, calls: list[str] | None, asked: list[str]
    ) -> None:
        self.bytes = 0
        self.got: dict[str, int] = {}
        self._asked = asked
        self._grown = asyncio.Event()
        self._call: Any = channel.stream_stream(ADS, DeltaRequest.SerializeToString, lambda raw: raw)()
        metadata = sidecar_metadata("10.255.0.1", [("own", 20001, 30001)], calls=calls)
        self._node = NodeMessage(id=f"sidecar-{number}", cluster="own")
        self._node.metadata.update(metadata)

    async def reached(self, hosts: int) -> None:
        """Until that many virtual hosts have come."""
        while self.got.get(VIRTUAL_HOST, 0) < hosts:
            await self._grown.wait()
            self._grown.clear()

    async def run(self) -> None:
        await self._call.write(DeltaRequest(type_url=CLUSTER, node=self._node))
        for kind, names in ((LISTENER, []), (ROUTE, ["outbound/proxy"]), (VIRTUAL_HOST, [])):
            await self._call.write(DeltaRequest(type_url=kind, resource_names_subscribe=names))
        if self._asked:
            names = [f"outbound/proxy/{host}" for host in self._asked]
            await self._call.write(DeltaRequest(type_url=VIRTUAL_HOST, resource_names_subscribe=names))
        async for raw in self._call:
            self.bytes += len(raw)
            response = DeltaResponse.FromString(raw)
            kind = response.type_url
            self.got[kind] = self.got.get(kind, 0) + len(response.resources)
            self._grown.set()
            await self._call.write(DeltaRequest(type_url=kind, response_nonce=response.nonce))
            if kind == CLUSTER:
                members = [r.name for r in response.resources if ">" not in r.name and "/" in r.name]
                await self._call.write(DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=members))


@asynccontextmanager
async def served(world: World) -> AsyncIterator[tuple[XdsServer, int]]:
    server = XdsServer(world.publisher.classify, world.publisher.clock, transport=transport())
    port = await server.start(f"{HOST}:0")
    server.set_ready()
    try:
        yield server, port
    finally:
        await server.stop(0.1)


async def settle(server: XdsServer) -> float:
    """Until every client has answered all there is. Returns seconds."""
    began = time.perf_counter()
    late = await server.acknowledged(lambda *_: True, 120)
    assert not late, late
    return time.perf_counter() - began


async def wire(services: int, sidecars: int, on_demand: bool) -> dict[str, Any]:
    world = World(services, services)
    world.publish()
    names = [f"svc-{n:04}" for n in range(CALLED)]
    asked = [*names, *(f"10.0.{n}.1:20001" for n in range(CALLED))] if on_demand else []
    async with served(world) as (server, port):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        channels = [grpc.aio.insecure_channel(f"{HOST}:{port}", options) for _ in range(sidecars)]
        clients = [Sidecar(c, n, None if on_demand else names, asked) for n, c in enumerate(channels)]
        tasks = [asyncio.create_task(client.run()) for client in clients]
        wanted = CALLED + 1
        await asyncio.gather(*(client.reached(wanted) for client in clients))
        await settle(server)
        result: dict[str, Any] = {"first sync": statistics.mean(client.bytes for client in clients)}
        for label, count in (("one instance comes", 11), ("one instance goes", 10)):
            before = [client.bytes for client in clients]
            world.instances(7, count)
            await settle(server)
            result[label] = max(client.bytes - was for client, was in zip(clients, before, strict=True))
        before = [client.bytes for client in clients]
        world.switch(False)
        seconds = await settle(server)
        result["a lane of all services is switched"] = max(
            client.bytes - was for client, was in zip(clients, before, strict=True)
        )
        result["acknowledged by all after, ms"] = seconds * 1000
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in channels:
            await channel.close()
    return result


# Memory.


def resident(pid: int) -> float:
    """MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


async def get(host: str, egress: tuple[str, int]) -> float:
    """One request through the sidecar. Returns ms; the answer is 503, as nobody is behind the addresses."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(*egress)
    writer.write(f"GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    line = await reader.readline()
    elapsed = (time.perf_counter() - began) * 1000
    assert line.startswith(b"HTTP/1.1"), line
    writer.close()
    return elapsed


async def resident_of(services: int, calls: list[str] | None, used: tuple[int, ...]) -> dict[str, Any]:
    world = World(services, services)
    for number in range(max(used, default=0)):  # reachable instances, so that answers come from there
        made = service(number)
        moved = tuple(replace(i, address=HOST, port=20000) for i in made.instances[:1])
        world.services[made.id] = replace(made, instances=moved)
    world.publish()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    backend = await asyncio.start_server(answer, HOST, 20000)
    result: dict[str, Any] = {}
    async with backend, served(world) as (server, port):
        address = "127.86.0.2"
        metadata = sidecar_metadata(address, [("own", 20001, 30001)], calls=calls, egress_address=address)
        config = bootstrap("large", "own", metadata, (HOST, port), (address, 15000))
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "envoy.json"
            path.write_text(json.dumps(config))
            options = ("--disable-hot-restart", "--concurrency", "1", "-l", "error")
            envoy = await asyncio.create_subprocess_exec(str(ENVOY), "-c", str(path), *options)
            try:
                began = time.perf_counter()
                while True:
                    try:
                        _, writer = await asyncio.open_connection(address, 15001)
                        writer.close()
                        break
                    except OSError:
                        await asyncio.sleep(0.05)
                result["ready, s"] = time.perf_counter() - began
                await settle(server)
                result["resident at start, MiB"] = resident(envoy.pid)
                first: list[float] = []
                done = 0
                for count in used:
                    for number in range(done, count):
                        first.append(await get(f"svc-{number:04}", (address, 15001)))
                    done = count
                    result[f"resident with {count} services called, MiB"] = resident(envoy.pid)
                if first:
                    again = [await get(f"svc-{n:04}", (address, 15001)) for n in range(min(done, 100))]
                    result["first request, ms, median"] = statistics.median(first)
                    result["first request, ms, p99"] = sorted(first)[int(len(first) * 0.99)]
                    result["further requests, ms, median"] = statistics.median(again)
            finally:
                envoy.kill()
                await envoy.wait()
    return result


# Time.


def timed(run: Callable[[], object]) -> float:
    """ms of CPU of this process."""
    began = time.process_time()
    run()
    return (time.process_time() - began) * 1000


def switching(services: int) -> float:
    """Median ms of plan, translate and encode for one lane of ten services that is switched."""
    world = World(services, 10)
    world.publish()
    keep = _views(world, 20, on_demand=False)
    times = [timed(lambda n=n: world.switch(bool(n % 2))) for n in range(21)]
    assert keep
    return statistics.median(times[1:])


def _views(world: World, count: int, on_demand: bool) -> list[Any]:
    from controlplane.snapshot.nodes import parse_node

    names = [f"svc-{n:04}" for n in range(min(CALLED, len(world.services)))]
    made: list[Any] = []
    for number in range(count):
        metadata = sidecar_metadata(
            f"10.254.{number >> 8}.{number & 255}",
            [("own", 20001, 30001)],
            calls=None if on_demand else names,
        )
        node = parse_node("own", metadata, None)
        view = world.publisher.view(node)
        if on_demand:
            start = number % max(1, len(world.services) - CALLED)
            view.wanted(VIRTUAL_HOST, [f"outbound/proxy/svc-{start + n:04}" for n in range(CALLED)])
        made.append(view)
    return made


def from_nothing(services: int, sidecars: int) -> dict[str, float]:
    world = World(services, services, sent_at_once=0)
    views: list[Any] = []
    return {
        "plan and endpoints": timed(world.publish),
        f"{sidecars} sidecars load {CALLED} services each": timed(
            lambda: views.extend(_views(world, sidecars, on_demand=True))
        ),
        "one instance changes": timed(lambda: world.instances(3, 11)),
        "one lane of all services is switched": timed(lambda: world.switch(False)),
    }


def show(title: str, rows: dict[str, Any]) -> str:
    """Print rows as they come; the same as a table."""
    lines = [f"| {title} | |", "| --- | ---: |"]
    for label, value in rows.items():
        shown = f"{value:,.1f}" if isinstance(value, float | int) else str(value)
        lines.append(f"| {label} | {shown} |")
    print("\n".join(lines), end="\n\n", flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--sidecars", type=int, default=0)
    parser.add_argument("--only", choices=("wire", "memory", "time"))
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    services = 200 if arguments.quick else 1_000
    sidecars = arguments.sidecars or (50 if arguments.quick else 500)
    heap.tune()  # as `laneway serve` does
    size = f"{services:,} services × 10 instances × {LANES} lanes, {sidecars} sidecars"
    measured_on = f"{document.machine()}.\n{size}."
    print(f"{measured_on}\n")
    tables: list[str] = []
    if arguments.only in (None, "time"):
        sizes = (10, 100, services)
        times = {f"{n * 10} instances": switching(n) for n in sizes}
        tables.append(show("one lane of ten services is switched, ms", times))
        for n in (services // 4, services // 2, services):
            times = from_nothing(n, sidecars * n // services)
            tables.append(show(f"from nothing, {n} services, ms", times))
    if arguments.only in (None, "wire"):
        for title, on_demand in (("on demand", True), ("calls of 20", False)):
            sizes_sent = asyncio.run(wire(services, sidecars, on_demand=on_demand))
            tables.append(show(f"bytes a sidecar, {title}", sizes_sent))
    if arguments.only in (None, "memory"):
        calls = [f"svc-{n:04}" for n in range(CALLED)]
        tables.append(show("Envoy, calls of 20 services", asyncio.run(resident_of(services, calls, ()))))
        used = (20, 50, 100)
        tables.append(show("Envoy, everything, on demand", asyncio.run(resident_of(services, None, used))))
    if arguments.write:
        document.write("bench/large.py", "\n\n".join([measured_on, *tables]))


if __name__ == "__main__":
    main()
