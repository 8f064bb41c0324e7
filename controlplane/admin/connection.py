"""Connections of the admin port: each has times for its headers, its body and for taking its answer, and a
place that it loses to others while it waits.

uvicorn gives a connection that sends no whole request all the time in the world: what it lacks stands here.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from controlplane.admin.problem_types import TYPES
from controlplane.net.certificates import Certificate
from controlplane.net.crowd import Crowd
from controlplane.net.handshakes import Handshakes

log = structlog.get_logger(__name__)

HEAD_BYTES = 16 << 10
"""Request line and headers that may be incomplete, in bytes."""
DRAIN_TIME = 5.0
DRAIN_BYTES = 8 << 20
"""Seconds, and bytes, in which the rest of a body is passed over when its request is answered already: most
clients send the whole body before they read the answer.
"""
SMALL_CHUNKS = 100
CHUNK_BYTES = 512
"""A body may have SMALL_CHUNKS chunks, and more only if they have CHUNK_BYTES bytes on average: a chunk costs
what some hundred bytes do, and a body of single bytes held the event loop for seconds.
"""
UNREAD_BYTES = 32 << 20
"""Of answers that clients have not taken, over all connections. One client alone may have more."""
LOG_INTERVAL = 10.0
"""Seconds between two lines that tell how many connections were ended."""


@dataclass(frozen=True)
class Limits:
    """Limits of the admin port. Times are in seconds.

    `header_time`: from the start of the connection, or from the first byte of a further request, until its
    headers are complete. `body_time`: from then until its body is complete. `answer_time`: for which a client
    may read nothing of its answer. `keep_alive`: between an answer and the next request. `handshake_cpu`: the
    share of a core that TLS handshakes may take over time.
    """

    connections: int = 256
    connections_per_address: int = 64
    header_time: float = 10.0
    body_time: float = 30.0
    answer_time: float = 30.0
    keep_alive: float = 5.0
    handshake_cpu: float = 0.25


@dataclass
class Port:
    """What the connections of one port share. `counters`: numbers since the start."""

    limits: Limits
    counters: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.crowd: Crowd[Connection] = Crowd(self.limits.connections, self.limits.connections_per_address)
        self.open: set[Connection] = set()
        self.handshakes = Handshakes(self.limits.handshake_cpu)
        self._delayed = 0
        self._delayed_at = 0.0
        self._told: Counter[str] = Counter()
        self._told_at = 0.0

    @property
    def interval(self) -> float:
        """Seconds between two sweeps."""
        return min(1.0, self.limits.header_time / 4, self.limits.body_time / 4, self.limits.answer_time / 4)

    def broke_tls(self) -> None:
        """A client did not get through its handshake, or broke TLS later."""
        self.counters["tls_failed"] += 1

    def shed(self, latest: Connection) -> None:
        """Close the connections that have waited longest for their clients to read, until the rest leaves
        room for the answer of `latest`.
        """
        unread = sum(one.transport.get_write_buffer_size() for one in self.open)
        slow = [one for one in self.open if one is not latest and one.reads_late]
        for one in sorted(slow, key=lambda one: one.since):
            if unread <= UNREAD_BYTES:
                return
            unread -= one.transport.get_write_buffer_size()
            self.counters["answers_cut"] += 1
            one.transport.abort()

    def sweep(self, now: float) -> None:
        """Check the times of every connection, and log those that were ended."""
        for connection in tuple(self.open):
            connection.check(now)
        if now - self._told_at >= LOG_INTERVAL and self.counters != self._told:
            ended = {name: count - self._told[name] for name, count in self.counters.items()}
            log.warning("requests to the admin API came to nothing", **{k: v for k, v in ended.items() if v})
            self._told, self._told_at = Counter(self.counters), now
        if now - self._delayed_at >= LOG_INTERVAL and self.handshakes.delayed > self._delayed:
            more = self.handshakes.delayed - self._delayed
            log.info("TLS handshakes waited for their turn", waited=more, waiting=self.handshakes.waiting)
            self._delayed, self._delayed_at = self.handshakes.delayed, now


class _Phase(Enum):
    HEAD = "headers"
    BODY = "body"
    SERVED = "served"
    ANSWER = "answer"
    DRAIN = "drain"
    QUIET = "quiet"


class _Reader(h11.Connection):
    """Counts the chunks of a body."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES)
        self._chunks = 0
        self._bytes = 0

    def next_event(self) -> Any:
        """Raises h11.RemoteProtocolError also for a body in too many small chunks."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            # h11 raises it from a frame that holds it: what was received would stay until the collector runs.
            raise error.with_traceback(None) from None
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > SMALL_CHUNKS + self._bytes // CHUNK_BYTES:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        elif isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        return event


class Connection(H11Protocol):
    """One accepted socket. uvicorn makes it, see `AdminServer`."""

    def __init__(self, *arguments: Any, port: Port, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.conn = _Reader()
        self._port = port
        self._phase = _Phase.HEAD
        self._since = 0.0
        self._left = 0
        self._drained = 0

    # asyncio's side.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._port.open.add(self)
        displaced = self._port.crowd.enter(self, self.client[0] if self.client else "")
        if displaced is self:
            self._port.counters["connections_refused"] += 1
            self._refuse(503, "Too many requests are being served; try again later.")
        elif displaced is not None:
            self._port.counters["connections_displaced"] += 1
            displaced.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.open.discard(self)
        self._port.crowd.leave(self)
        super().connection_lost(exc)
        if self.cycle is not None:
            # What was not read of the request is not kept until the collector finds those who refer to it.
            self.cycle.body = bytearray()
            self.cycle.conn = self.conn = _Reader()
            self.cycle = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._follow(_Phase.HEAD)
            if self._phase is _Phase.DRAIN:
                self._drained += len(data)
                if self._drained > DRAIN_BYTES:
                    self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._follow(_Phase.QUIET)
        self._port.shed(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._follow(_Phase.QUIET)

    def proved(self, certificate: Certificate | None) -> None:
        """The TLS handshake is over; the client showed this certificate. Requests have it in their state."""
        self.app_state = {**self.app_state, "certificate": certificate}

    # uvicorn's side.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow(_Phase.QUIET)

    def send_400_response(self, msg: str) -> None:
        self._port.counters["requests_malformed"] += 1
        bounds = f"headers of {HEAD_BYTES} bytes, chunks of {CHUNK_BYTES} bytes or more"
        self._refuse(400, f"This is no HTTP/1.1 request within the bounds ({bounds}).")

    # The port's side.

    @property
    def reads_late(self) -> bool:
        """Whether the client has not yet read all of an answer that is complete."""
        return self._phase is _Phase.ANSWER or self.transport.is_closing()

    @property
    def since(self) -> float:
        """When the present phase began, or the client last read some of its answer."""
        return self._since

    def check(self, now: float) -> None:
        """End the connection if its time is up."""
        left, before = self.transport.get_write_buffer_size(), self._left
        self._left = left
        limits, waited = self._port.limits, now - self._since
        if self.transport.is_closing() or self._phase is _Phase.ANSWER:
            if left < before:
                self._since = now  # it takes what it asked for, if slowly
            elif waited > limits.answer_time:
                self._end("answer")
        elif self._phase is _Phase.DRAIN and waited > DRAIN_TIME:
            self.transport.close()
        elif self._phase is _Phase.HEAD and waited > limits.header_time:
            self._end("headers")
        elif self._phase is _Phase.BODY and waited > limits.body_time:
            self._end("body")

    def _follow(self, idle: _Phase) -> None:
        """Note how far the request is. `idle`: the phase if no request has begun."""
        if self.transport.is_closing():
            return
        theirs = self.conn.their_state
        answered = self.cycle is not None and self.cycle.response_complete
        if self.flow.write_paused:
            phase = _Phase.ANSWER
        elif theirs is h11.IDLE:
            phase = _Phase.HEAD if self.cycle is None else idle
        elif theirs is h11.SEND_BODY:
            phase = _Phase.DRAIN if answered else _Phase.BODY
        else:
            phase = _Phase.SERVED
        if phase is self._phase:
            return
        self._phase, self._since = phase, self.loop.time()
        self._left = self.transport.get_write_buffer_size()
        self._drained = 0
        if phase is _Phase.SERVED:
            self._port.crowd.busy(self)
        else:
            self._port.crowd.waiting(self)

    def _end(self, what: str) -> None:
        self._port.counters[f"timed_out_{what}"] += 1
        if what == "answer":
            self.transport.abort()
        else:
            self._refuse(408, f"The {what} of the request took too long.")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without calling the application, if no answer has begun yet, and close."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_answer(status, detail))
        self.transport.close()


def _answer(status: int, detail: str) -> bytes:
    titles = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}
    known = TYPES[status]
    problem = {"type": known.uri, "title": known.title, "status": status, "detail": detail}
    wrong = {"field": "", "value": None, "message": detail, "remedy": "send the request anew"}
    body = json.dumps(problem | {"errors": [wrong]}).encode()
    head = (
        f"HTTP/1.1 {status} {titles[status]}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    )
    retry = "Retry-After: 1\r\n" if status == 503 else ""
    return f"{head}{retry}\r\n".encode() + body
