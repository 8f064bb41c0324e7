"""The access log service, to which proxies send their reports.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/accesslog/v3/als.proto
No client is trusted: a stream is bounded in bytes, belongs to a proxy that is connected, and its messages are
not even decoded while nobody watches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf.message import DecodeError

from controlplane.rpc.transport import Call, CallEnd, Handler
from controlplane.tracing.names import LOG_PREFIX
from controlplane.tracing.reports import SIDES, Report, Side, read
from controlplane.tracing.watches import Watches

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
LARGEST = 1 << 20
"""Bytes of a message; a proxy sends what it has after 16 KiB."""
STREAMS, STREAMS_PER_NODE = 20_000, 200
"""Open streams of all proxies, and of one: a proxy has one for each of its threads and listeners."""

Owner = Callable[[Call, str], str | None]
"""The gateway or application of a node that the caller is connected as, too; None if it is not."""


class AccessLogService:
    """Takes the reports of proxies for the watches. seen: gets each of them, too."""

    def __init__(self, watches: Watches, owner: Owner, seen: Callable[[Report], None] | None = None) -> None:
        self.watches = watches
        self.owner = owner
        self.seen = seen
        self.streams: Counter[str] = Counter()
        """Open streams by node."""

    def methods(self) -> dict[str, Callable[[Call], Handler]]:
        """The service's method by path."""
        return {METHOD: lambda call: _Stream(call, self)}


class _Stream:
    """One stream of a proxy. Its first message says whose it is and of which side."""

    def __init__(self, call: Call, service: AccessLogService) -> None:
        self._call = call
        self._service = service
        self._node = ""
        self._owner = ""
        self._side: Side | None = None

    def message(self, raw: bytes) -> None:
        watches = self._service.watches
        if len(raw) > LARGEST:
            text = f"a message of {len(raw)} bytes, more than {LARGEST}: send reports in smaller parts"
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        now = time.monotonic()
        if self._side is not None and not watches.open(now):
            watches.counters["messages_left_out"] += 1
            return
        try:
            message = als_pb2.StreamAccessLogsMessage.FromString(raw)
        except DecodeError as error:
            raise CallEnd(
                grpc.StatusCode.INVALID_ARGUMENT, f"not a message of access logs: {error}"
            ) from None
        if self._side is None:
            self._side = self._identify(message)
        if not watches.open(now):
            watches.counters["messages_left_out"] += 1
            return
        for entry in message.http_logs.log_entry:
            report = read(entry, self._node, self._owner, self._side)
            watches.take(report, now)
            if self._service.seen is not None:
                self._service.seen(report)

    def _identify(self, message: Any) -> Side:
        name, node = message.identifier.log_name, message.identifier.node.id
        side = name.removeprefix(LOG_PREFIX)
        if not name.startswith(LOG_PREFIX) or side not in SIDES:
            text = (
                f"the log {name[:100]!r} is none of Laneway's: {', '.join(LOG_PREFIX + one for one in SIDES)}"
            )
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, text)
        owner = self._service.owner(self._call, node)
        if owner is None:
            text = f"no proxy with the node id {node[:100]!r} is connected for its configuration"
            # What Envoy tries again, at another control plane of the same name if there is one.
            raise CallEnd(grpc.StatusCode.UNAVAILABLE, text)
        streams = self._service.streams
        if streams[node] >= STREAMS_PER_NODE or streams.total() >= STREAMS:
            text = f"{STREAMS_PER_NODE} streams of a proxy, and {STREAMS} of all, are the most"
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        streams[node] += 1
        self._node, self._owner = node, owner
        return SIDES[SIDES.index(side)]

    def half_closed(self) -> None:
        self._call.finish()

    def writable(self) -> None:
        """Nothing is sent."""

    def closed(self, end: CallEnd | None) -> None:
        """The stream is over."""
        streams = self._service.streams
        if self._node:
            streams[self._node] -= 1
            if not streams[self._node]:
                del streams[self._node]
