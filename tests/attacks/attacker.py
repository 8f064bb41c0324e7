"""The attacker: connections that send what a test tells them to, for a bounded time."""

from __future__ import annotations

import itertools
import math
import select
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.attacks import wire
from tests.attacks.wire import CLUSTER, DELTA, call, delta, hello, message, node


class Ended(Exception):
    """The server has ended the connection, or the time is over."""


class Client:
    """One connection of the attacker."""

    def __init__(self, attacker: Attacker, source: str, receives: int) -> None:
        self._attacker = attacker
        try:
            self._socket = wire.connect(attacker.port, source, receives)
        except OSError:
            raise Ended from None
        self._socket.setblocking(False)
        self.reads = True

    def _ready(self, write: bool, seconds: float) -> tuple[bool, bool]:
        """Whether the socket can be read, and written. Raises Ended.

        By poll: select takes no descriptor over 1023.
        """
        pending = self.reads and isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        wanted = (select.POLLIN if self.reads else 0) | (select.POLLOUT if write else 0)
        poll = select.poll()
        poll.register(self._socket, wanted)
        found = next((event for _, event in poll.poll(0 if pending else math.ceil(seconds * 1000))), 0)
        if found & (select.POLLERR | select.POLLHUP):
            raise Ended
        return pending or bool(found & select.POLLIN), bool(found & select.POLLOUT)

    def push(self, *parts: bytes) -> None:
        """Send it all, reading what comes meanwhile. Raises Ended."""
        data = memoryview(b"".join(parts))
        while data:
            left = self._attacker.until - time.monotonic()
            if left <= 0:
                raise Ended
            readable, writable = self._ready(True, min(left, 1.0))
            try:
                if readable and not self._socket.recv(1 << 18):
                    raise Ended
                if writable:
                    size = self._socket.send(data[: 1 << 18])
                    self._attacker.sent += size
                    data = data[size:]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError:
                raise Ended from None

    def idle(self, seconds: float = 3600.0, most: int = 1 << 18) -> None:
        """Read for so long, `most` bytes at a time. Raises Ended."""
        until = min(self._attacker.until, time.monotonic() + seconds)
        while (left := until - time.monotonic()) > 0:
            readable, _ = self._ready(False, min(left, 0.2))
            try:
                if readable and not self._socket.recv(most):
                    raise Ended
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError:
                raise Ended from None
        if until == self._attacker.until:
            raise Ended

    def close(self) -> None:
        self._socket.close()


class Attacker:
    """Opens connections, counts what it sends."""

    def __init__(self, port: int, seconds: float, size: float, rate: float) -> None:
        self.port = port
        self.until = time.monotonic() + seconds
        self.size = size
        self.rate = rate
        self.sent = 0
        self.connections = 0
        self._number = itertools.count()
        self._kept: list[Client] = []

    @contextmanager
    def client(self, first: bytes = b"", source: str = "", receives: int = 0) -> Iterator[Client]:
        self.connections += 1
        made = Client(self, source, receives)
        try:
            if first:
                made.push(first)
            yield made
        finally:
            made.close()

    def clients(self, count: int, first: bytes = b"", receives: int = 0) -> list[Client]:
        """Many, that stay until the attack is over."""
        found = list[Client]()
        for _ in range(count):
            self.connections += 1
            try:
                found.append(Client(self, "", receives))
                self._kept.append(found[-1])
                if first:
                    found[-1].push(first)
            except Ended:
                if time.monotonic() >= self.until:
                    break
        return found

    def close(self) -> None:
        """Close the connections that `clients` made."""
        while self._kept:
            self._kept.pop().close()

    def many(self, count: int) -> int:
        """A number of things, fewer in a small run."""
        return max(1, int(count * self.size))

    def name(self) -> str:
        """A node id that nobody else has."""
        return f"attacker-{next(self._number)}"


Attack = Callable[[Attacker], None]
ATTACKS: dict[str, Attack] = {}
MANY_STREAMS = 900


def attack(function: Attack) -> Attack:
    """Add an attack to the table, under its name."""
    ATTACKS[function.__name__.replace("_", " ")] = function
    return function


def flood(attacker: Attacker, first: bytes, again: bytes | Callable[[], bytes], least: int = 32_768) -> None:
    """Send `first`, then `again` for ever, some of it at a time."""
    with attacker.client(hello() + first) as client:
        while True:
            if callable(again):
                client.push(*(again() for _ in range(max(1, least // 256))))
            else:
                client.push(again * max(1, least // len(again)))


def open_streams(attacker: Attacker, count: int, request: Callable[[str], bytes], path: str = DELTA) -> bytes:
    """Calls with one request each, of node ids of their own."""
    return b"".join(
        call(2 * index + 1, path) + message(2 * index + 1, request(attacker.name())) for index in range(count)
    )


def everything(name: str) -> bytes:
    return delta(CLUSTER, of=node(name))


def stream(attacker: Attacker, *requests: bytes, path: str = DELTA) -> bytes:
    return hello() + call(1, path) + b"".join(message(1, one) for one in requests)
