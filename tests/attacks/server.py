"""The control plane under attack, in a process of its own: the product's parts, a registry of a test.

python -m tests.attacks.server --transport laneway

prints one line of JSON with its ports. On the control port a line of JSON asks for something and is answered
with a line: `{"change": 7}` gives the service `probe` another port, `{"proxies": true}` lists the proxies as
`GET /v1/proxies` does and says how much that was and how long it took, `{"metrics": true}` gives /metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client import generate_latest

from controlplane.app import heap, logs, metrics, parts
from controlplane.app.laneway import Laneway
from controlplane.app.settings import Settings
from controlplane.net import descriptors
from controlplane.registry.catalog import Catalog
from controlplane.registry.source import RawInstance, RawService, Sink
from controlplane.store.memory import MemoryStore
from tests.attacks.wire import TLS

SERVICES = 200
INSTANCES = 5


class Registry:
    """A source that says what a test tells it to."""

    name = "file"
    sink: Sink

    async def run(self, sink: Sink) -> None:
        self.sink = sink
        for index in range(SERVICES):
            places = (RawInstance(f"10.1.{index}.{one + 1}", 8080) for one in range(INSTANCES))
            sink.update(f"file///s{index}", RawService(f"s{index}", tuple(places)))
        self.change(0)
        sink.synced()
        await asyncio.Event().wait()

    def change(self, number: int) -> None:
        place = RawInstance("10.2.0.1", 10_000 + number % 50_000)
        self.sink.update("file///probe", RawService("probe", (place,)))


async def answer(asked: dict[str, Any], laneway: Laneway, registry: Registry) -> dict[str, Any]:
    if "change" in asked:
        registry.change(asked["change"])
        return {}
    if "proxies" in asked:
        began = time.perf_counter()
        found = laneway.proxies()
        size = len(repr(found))
        return {"count": len(found), "bytes": size, "seconds": time.perf_counter() - began}
    if "metrics" in asked:
        return {"text": generate_latest(metrics.registry_of(laneway)).decode()}
    raise ValueError(asked)


async def serve(arguments: argparse.Namespace) -> None:
    logs.configure("json", "info")
    heap.tune()
    registry = Registry()
    given: dict[str, Any] = {"xds_transport": arguments.transport}
    if directory := os.environ.get(TLS):
        at = Path(directory)
        given |= {"xds_certificate": at / "server.pem", "xds_key": at / "server-key.pem"}
        given |= {"xds_client_ca": at / "ca.pem"}
    settings = Settings(**given)
    share = descriptors.divided(settings.admin_connections)
    laneway = Laneway(
        MemoryStore(),
        Catalog([registry]),
        parts.transport_of(settings, share, parts.tls_of(settings)),
        1.0,
        identities=parts.identities_of(settings),
        bounds=parts.bounds_of(settings),
    )

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(await answer(json.loads(line), laneway, registry)).encode() + b"\n")
        writer.close()

    port = await laneway.xds.start("127.0.0.1:0")
    server = await asyncio.start_server(control, "127.0.0.1", 0)
    await laneway.load()
    freeing = asyncio.create_task(heap.give_back())
    running = asyncio.create_task(laneway.run())
    while not laneway.xds.ready:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    where = {"xds": port, "control": server.sockets[0].getsockname()[1], "pid": os.getpid()}
    print(json.dumps(where), flush=True)
    await asyncio.gather(running, freeing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", default="laneway")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
