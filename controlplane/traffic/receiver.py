"""The gRPC method to which proxies report, and when their reports are read.

Reports are less urgent than discovery: they wait in a queue, and are read for a fraction of a millisecond in
a turn of the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import grpc
import structlog

from controlplane.net.lines import Lines, host_of
from controlplane.rpc.transport import Call, CallEnd, Handler
from controlplane.traffic.meter import Meter
from controlplane.traffic.otlp import InvalidReport

PATH = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
NODE_HEADER = "x-laneway-node"
SLICE = 0.000_5
"""Seconds for reports in a turn of the event loop."""
MOST_OF_NODE = 16
"""Messages of one proxy that may wait: a report may be several."""

_log = structlog.get_logger("laneway.traffic")


class Receiver:
    """Hands reports to `meter`.

    who: what is known of the proxy of that node id, None unless the caller is connected as it, too.
    largest: bytes of a message. waiting: bytes of all messages that wait to be read.
    """

    def __init__(
        self,
        meter: Meter,
        who: Callable[[Call, str], Any],
        largest: int = 1 << 19,
        waiting: int = 64 << 20,
    ) -> None:
        self._meter = meter
        self._who = who
        self._largest = largest
        self._most_waiting = waiting
        self._queue: deque[tuple[str, str, Any, bytes]] = deque()
        self._of_node: Counter[str] = Counter()
        self._current: Iterator[None] | None = None
        self._working = False
        self._lines = Lines()
        self.waiting = 0
        """Bytes of messages that have not been read."""
        #: Sums since the start: messages, bytes, points, and messages refused by reason ("refused_...").
        self.counters: Counter[str] = Counter()
        self.seconds = 0.0
        """Time that was spent on reading reports since the start."""

    def methods(self) -> dict[str, Callable[[Call], Handler]]:
        """What the port serves, by path."""
        return {PATH: lambda call: _Export(call, self)}

    def take(self, call: Call, raw: bytes) -> None:
        """Queue a message. Raises CallEnd for one that is not taken."""
        node = unquote(str(call.metadata.get(NODE_HEADER, "")))
        who = self._who(call, node)
        refused = self._refuse(node, who, len(raw))
        if refused is not None:
            reason, code, text = refused
            self.counters[f"refused_{reason}"] += 1
            raise CallEnd(code, text)
        self.counters["messages"] += 1
        self.counters["bytes"] += len(raw)
        self.waiting += len(raw)
        self._of_node[node] += 1
        self._queue.append((node, call.peer, who, raw))
        if not self._working:
            self._working = True
            asyncio.get_running_loop().call_soon(self._work)

    def _refuse(self, node: str, who: Any, size: int) -> tuple[str, grpc.StatusCode, str] | None:
        if size > self._largest:
            text = f"the message has {size} bytes, more than {self._largest}"
            return "size", grpc.StatusCode.RESOURCE_EXHAUSTED, text
        if who is None:
            text = f"{NODE_HEADER} in the metadata does not name a proxy with an xDS stream of this client"
            # What Envoy tries again, at another control plane of the same name if there is one.
            return "unknown", grpc.StatusCode.UNAVAILABLE, text
        if self._of_node[node] >= MOST_OF_NODE or self.waiting + size > self._most_waiting:
            return "waiting", grpc.StatusCode.RESOURCE_EXHAUSTED, "too many reports wait to be read"
        return None

    def _work(self) -> None:
        began = time.perf_counter()
        until, now = began + SLICE, began
        while now < until and (self._current is not None or self._queue):
            self._step()
            now = time.perf_counter()
        self.seconds += now - began
        self._working = self._current is not None or bool(self._queue)
        if self._working:
            asyncio.get_running_loop().call_soon(self._work)

    def _step(self) -> None:
        if self._current is None:
            node, peer, who, raw = self._queue.popleft()
            self.waiting -= len(raw)
            self._of_node[node] -= 1
            if not self._of_node[node]:
                del self._of_node[node]
            self._current = self._read(node, peer, who, raw)
        if next(self._current, self) is self:
            self._current = None

    def _read(self, node: str, peer: str, who: Any, raw: bytes) -> Iterator[None]:
        try:
            yield from self._meter.report(node, who, raw)
        except InvalidReport as error:
            self.counters["refused_malformed"] += 1
            self._lines.write(
                _log.warning,
                "a report of traffic cannot be read",
                host_of(peer),
                node=node,
                reason=str(error),
            )


class _Export:
    """One call: a message, and an empty answer."""

    def __init__(self, call: Call, receiver: Receiver) -> None:
        self._call = call
        self._receiver = receiver
        self._raw: bytes | None = None

    def message(self, raw: bytes) -> None:
        if self._raw is not None:
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, "the method takes one request")
        self._raw = b""
        self._receiver.take(self._call, raw)
        self._call.send(b"")

    def half_closed(self) -> None:
        self._call.finish()

    def writable(self) -> None:
        """Nothing more is sent."""

    def closed(self, end: CallEnd | None) -> None:
        """Nothing is kept of the call."""
