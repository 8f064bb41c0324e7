"""How long until 2, 20 and 200 clients have a changed route configuration, with and without a trial.

    python -m bench.trial              # --write for docs/benchmarks.md

The server is a process of its own, with uvloop as served; the clients, one connection each, acknowledge at
once. Then the same until 20 real Envoys have acknowledged it, which they do when they have applied it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import structlog
import uvloop
from envoy.config.route.v3 import route_pb2

from bench import document
from bench.envoys import bootstrap, envoys
from controlplane.app import heap
from controlplane.rpc.choice import transport
from controlplane.xds import messages
from controlplane.xds.discovery import METHODS
from controlplane.xds.resource import CLUSTER, LISTENER, ROUTE, Resource
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.server import XdsServer
from controlplane.xds.view import View
from tests.xds.edge_listener import edge_listener

SIZE = 20_000  # bytes: a gateway with a hundred routes
METHOD = next(
    f"/{service}/{method}" for service, method, variant, only in METHODS
    if only is None and variant.__name__.startswith("Delta")
)  # fmt: skip


def route(number: int) -> Resource:
    return Resource.of("edge", number.to_bytes(8, "big") * (SIZE // 8))


async def serve(pipe: Connection, wait: float) -> None:
    """Change the route for each message of the pipe; answer with the time of the change."""
    clock = Clock()
    routes = Collection(clock, ROUTE, [route(0)])
    view = View(clock, {ROUTE: [routes]})
    server = XdsServer(lambda _node: view, clock, transport=transport(), trial_wait=wait)
    pipe.send(await server.start("127.0.0.1:0"))
    server.set_ready()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_reader(pipe.fileno(), asked.set)
    number = 0
    while True:
        await asked.wait()
        asked.clear()
        if not pipe.recv():
            break
        number += 1
        began = time.monotonic()
        routes.put(route(number))
        pipe.send(began)
    pipe.send(dict(server.counters))
    loop.remove_reader(pipe.fileno())
    await server.stop(0)


def server(pipe: Connection, wait: float) -> None:
    heap.tune()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    uvloop.run(serve(pipe, wait))


class Client:
    def __init__(self, port: int, number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
        self.call: Any = self.channel.stream_stream(
            METHOD,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=messages.DeltaResponse.FromString,
        )()
        self.number = number

    async def start(self) -> None:
        request = messages.DeltaRequest(type_url=ROUTE, resource_names_subscribe=["edge"])
        request.node.id = f"node-{self.number}"
        await self.call.write(request)
        await self.take()

    async def take(self) -> float:
        reply = await self.call.read()
        at = time.monotonic()
        await self.call.write(messages.DeltaRequest(type_url=ROUTE, response_nonce=reply.nonce))
        return at


async def measure(count: int, wait: float, changes: int) -> tuple[list[float], list[float]]:
    """ms until each client, and until the last, has a change."""
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=server, args=(far, wait), daemon=True)
    process.start()
    port = await asyncio.to_thread(pipe.recv)
    clients = [Client(port, number) for number in range(count)]
    await asyncio.gather(*(client.start() for client in clients))
    each: list[float] = []
    last: list[float] = []
    for _ in range(changes):
        await asyncio.sleep(0.1)  # the acknowledgements are in, and the next change is one by itself
        pipe.send(True)
        times = await asyncio.gather(*(client.take() for client in clients))
        began = pipe.recv()
        delays = [(at - began) * 1000 for at in times]
        each += delays
        last.append(max(delays))
    for client in clients:
        client.call.cancel()
        await client.channel.close(0)
    pipe.send(False)
    counters = pipe.recv()
    if wait and counters.get("trials_accepted") != changes:
        raise SystemExit(f"not every change was tried and accepted: {counters}")
    await asyncio.to_thread(process.join)
    return each, last


ENVOYS = 20


def edge_route(number: int) -> Resource:
    """A route configuration of some SIZE bytes that Envoy takes."""
    message = route_pb2.RouteConfiguration(name="edge")
    host = message.virtual_hosts.add(name="all", domains=["*"])
    for index in range(SIZE // 60):
        one = host.routes.add(name=f"route-{index:05}-{number:010}")
        one.match.prefix = f"/path/to/service/{index:05}"
        one.direct_response.status = 200
    return Resource.of("edge", message.SerializeToString(deterministic=True))


def bootstrap_of_edge(number: int, xds: str) -> dict[str, Any]:
    config = bootstrap(number, xds)
    config["dynamic_resources"]["lds_config"] = {"resource_api_version": "V3", "ads": {}}
    return config


async def measure_envoys(wait: float, changes: int) -> list[float]:
    """ms until all Envoys have acknowledged a change."""
    clock = Clock()
    routes = Collection(clock, ROUTE, [edge_route(0)])
    view = View(
        clock,
        {
            CLUSTER: [Collection(clock, CLUSTER)],
            LISTENER: [Collection(clock, LISTENER, [edge_listener("edge")])],
            ROUTE: [routes],
        },
    )
    server = XdsServer(lambda _node: view, clock, transport=transport(), trial_wait=wait)
    port = await server.start("127.0.0.1:0")
    server.set_ready()
    times: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        envoys(ENVOYS, f"127.0.0.1:{port}", Path(directory), bootstrap_of_edge),
    ):
        deadline = time.monotonic() + 60
        while sum(ROUTE in one.types for one in server.proxies()) < ENVOYS:
            if time.monotonic() > deadline:
                raise SystemExit("not all Envoys have asked for their routes")
            await asyncio.sleep(0.1)
        if await server.acknowledged(lambda *_: True, 10):
            raise SystemExit("not all Envoys have acknowledged their routes")
        for number in range(1, changes + 1):
            await asyncio.sleep(0.1)
            began = time.monotonic()
            routes.put(edge_route(number))
            if await server.acknowledged(lambda *_: True, 10):
                raise SystemExit("a change was not acknowledged")
            times.append((time.monotonic() - began) * 1000)
        if wait and server.counters["trials_accepted"] != changes:
            raise SystemExit(f"not every change was tried and accepted: {server.counters}")
    await server.stop(0)
    return times


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(share * 100) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--changes", type=int, default=100)
    arguments = parser.parse_args()
    lines = [
        f"{document.machine()}.\nA route configuration of {SIZE // 1000} kB; {arguments.changes} changes.\n",
        "| ms until clients have it, p50 / p99 | each, at once | each, trial | last, at once | last, trial |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for count in (2, 20, 200):
        cells: list[str] = []
        figures = [uvloop.run(measure(count, wait, arguments.changes)) for wait in (0.0, 0.5)]
        for which in (0, 1):
            cells += [f"{quantile(f[which], 0.5):.1f} / {quantile(f[which], 0.99):.1f}" for f in figures]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    pair = [uvloop.run(measure_envoys(wait, arguments.changes)) for wait in (0.0, 0.5)]
    cells = [f"{quantile(times, 0.5):.1f} / {quantile(times, 0.99):.1f}" for times in pair]
    lines.append(f"| {ENVOYS} Envoys, acknowledged by the last | – | – | {' | '.join(cells)} |")
    document.report("bench/trial.py", "\n".join(lines), keep=arguments.write)


if __name__ == "__main__":
    main()
