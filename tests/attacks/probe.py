"""Harmless clients, and how long a change takes to reach them.

python -m tests.attacks.probe --xds PORT --control PORT --seconds 4 says when all clients are connected,
and then prints the figures, as JSON.

Changes are made at a fixed rate, whatever becomes of them: a server that stands still for a second delays all
changes of that second, and not one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast

from tests.attacks import wire

NAME = "file///probe|base"
RATE = 40.0
"""Changes a second; the server collects for 10 ms what comes closer together."""


class Stream(asyncio.Protocol):
    """One client that subscribes to the endpoints that change, and acknowledges them."""

    def __init__(self, probe: Probe, index: int) -> None:
        self._probe = probe
        self._index = index
        self._rest = b""
        self._response = b""
        self.seen = -2  # nothing yet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        first = wire.delta(wire.ENDPOINT, [NAME], of=wire.node(f"harmless-{self._index}"))
        self.transport.write(wire.hello() + wire.call(1) + wire.message(1, first))

    def connection_lost(self, exc: Exception | None) -> None:
        self._probe.lost += 1

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at - 9 < length:
                break
            kind, flags = data[at + 3], data[at + 4]
            payload = data[at + 9 : at + 9 + length]
            at += 9 + length
            if kind == wire.DATA:
                self._response += payload
                self._responses()
            elif kind == wire.PING and not flags & wire.ACK:
                self.transport.write(wire.frame(wire.PING, wire.ACK, 0, payload))
            elif kind == wire.SETTINGS and not flags & wire.ACK:
                self.transport.write(wire.frame(wire.SETTINGS, wire.ACK, 0))
        self._rest = data[at:]

    def _responses(self) -> None:
        while len(self._response) >= 5:
            end = 5 + int.from_bytes(self._response[1:5], "big")
            if len(self._response) < end:
                return
            response, self._response = self._response[5:end], self._response[end:]
            now = time.monotonic()
            nonce = response[response.rindex(b"\x2a") + 2 :].decode()
            self.transport.write(wire.message(1, wire.delta(wire.ENDPOINT, nonce=nonce)))
            at = response.index(b"10.2.0.1") + len("10.2.0.1")
            assert response[at] == 0x18, response
            port = shift = 0
            for byte in response[at + 1 :]:
                port |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            self._probe.arrived(self, port - 10_000, now)


class Probe:
    """Makes changes and notes when each has reached each client."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.made: list[float] = []
        self.latencies: list[float] = []
        self.lost = 0
        self.ready = asyncio.Event()
        self.streams: list[Stream] = []
        self.over = asyncio.Event()

    def arrived(self, stream: Stream, number: int, now: float) -> None:
        """A client has a change, and with it all before it."""
        last = number - self.first
        for one in range(max(stream.seen + 1, 0), last + 1):
            self.latencies.append(now - self.made[one])
        stream.seen = max(stream.seen, last, -1)
        if all(one.seen >= len(self.made) - 1 for one in self.streams):
            self.over.set()


async def probe(arguments: argparse.Namespace) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    found = Probe(arguments.first)
    tls = wire.secured()
    for index in range(arguments.streams):
        _, stream = await loop.create_connection(
            lambda i=index: Stream(found, i), "localhost" if tls else "127.0.0.1", arguments.xds, ssl=tls
        )
        found.streams.append(stream)
    while not all(stream.seen > -2 for stream in found.streams):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    print(json.dumps({"ready": True}), flush=True)
    _, control = await asyncio.open_connection("127.0.0.1", arguments.control)
    began = time.monotonic()
    count = max(1, int(arguments.seconds * RATE))
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        found.over.clear()
        found.made.append(time.monotonic())
        control.write(json.dumps({"change": found.first + number}).encode() + b"\n")
    await asyncio.wait_for(found.over.wait(), 120)
    for stream in found.streams:
        stream.transport.abort()
    control.close()
    ordered = sorted(found.latencies)
    return {
        "count": len(ordered),
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[int(len(ordered) * 0.99)] * 1000,
        "max": ordered[-1] * 1000,
        "lost": found.lost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--xds", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="number of the first change")
    print(json.dumps(asyncio.run(probe(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
