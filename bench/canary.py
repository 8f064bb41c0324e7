"""How long until 2, 50 and 200 clients have a changed route configuration, with and without its canary.

    python -m bench.canary              # --write for docs/benchmarks.md

The server is a process of its own, with uvloop as served; the clients, one connection each, acknowledge at
once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import grpc
import structlog
import uvloop

from bench import document
from controlplane.app import memory
from controlplane.xds import messages
from controlplane.xds.resources import ROUTE, Collection, Resource, View
from controlplane.xds.server import XdsServer
from controlplane.xds.services import METHODS

SIZE = 20_000  # bytes: a gateway with a hundred routes
METHOD = next(
    f"/{service}/{method}" for service, method, variant, only in METHODS
    if only is None and variant.__name__.startswith("Delta")
)  # fmt: skip


def route(number: int) -> Resource:
    return Resource.of("edge", number.to_bytes(8, "big") * (SIZE // 8))


async def serve(pipe: Connection, wait: float) -> None:
    """Change the route for each message of the pipe; answer with the time of the change."""
    routes = Collection(ROUTE, [route(0)])
    view = View({ROUTE: [routes]})
    server = XdsServer(lambda _node: view, canary_wait=wait)
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
    memory.tune()
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


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(share * 100) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--changes", type=int, default=100)
    arguments = parser.parse_args()
    lines = [
        f"{document.machine()}.\nA route configuration of {SIZE // 1000} kB; {arguments.changes} changes.\n",
        "| ms until clients have it, p50 / p99 "
        "| each, at once | each, canary | last, at once | last, canary |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for count in (2, 50, 200):
        cells: list[str] = []
        figures = [uvloop.run(measure(count, wait, arguments.changes)) for wait in (0.0, 0.5)]
        for which in (0, 1):
            cells += [f"{quantile(f[which], 0.5):.1f} / {quantile(f[which], 0.99):.1f}" for f in figures]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    document.report("bench/canary.py", "\n".join(lines), keep=arguments.write)


if __name__ == "__main__":
    main()
