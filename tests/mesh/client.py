"""HTTP as tests need it: exact header lines, bytes as they are, connections kept open; and a steady load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Header = tuple[str, str | bytes]
Address = tuple[str, int]
JSON: Header = ("content-type", "application/json")


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n == name), None)

    @property
    def chain(self) -> list[str]:
        return self.json.get("chain", [])

    def received(self, name: str) -> list[str]:
        """The lines of a request header that the first application got."""
        return [v for n, v in self.json["headers"] if n == name]

    @property
    def lane(self) -> str | None:
        """The lane that the edge put on the request, from both carriers, which must agree."""
        lines = self.received("x-lane")
        members = [m.strip() for line in self.received("baggage") for m in line.split(",")]
        named = [m.partition("=")[2] for m in members if m.partition("=")[0].strip() == "lane"]
        assert lines == named, (lines, named)
        assert len(lines) <= 1, lines
        return lines[0] if lines else None


def encode(method: str, path: str, host: str, headers: Iterable[Header], body: bytes) -> bytes:
    lines = [_bytes(f"{method} {path} HTTP/1.1"), b"host: " + _bytes(host)]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
    if body or method in ("POST", "PUT"):
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def _head(raw: bytes) -> tuple[int, list[tuple[str, str]]]:
    first, *lines = raw.decode("latin-1").split("\r\n")
    return int(first.split(" ")[1]), [
        (n.lower(), v.strip(" \t")) for n, _, v in (line.partition(":") for line in lines)
    ]


class Client:
    """One connection to `address`, opened when needed and again when the other side has closed it."""

    def __init__(self, address: Address, source: str = "", timeout: float = 20) -> None:
        self.timeout = timeout
        self.address = address
        self.source = source
        self._socket: socket.socket | None = None
        self._file: Any = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None

    def get(self, path: str, *headers: Header, **more: Any) -> Answer:
        return self.request("GET", path, headers, **more)

    def request(
        self,
        method: str,
        path: str,
        headers: Iterable[Header] = (),
        body: bytes = b"",
        host: str = "shop.example.com",
    ) -> Answer:
        raw = encode(method, path, host, headers, body)
        for attempt in (1, 2):
            fresh = self._socket is None
            if self._socket is None:
                source = (self.source, 0) if self.source else None
                self._socket = socket.create_connection(self.address, 10, source)
                self._socket.settimeout(self.timeout)
                self._file = self._socket.makefile("rb")
            try:
                self._socket.sendall(raw)
                return self._read(method)
            except (ConnectionError, EOFError):
                self.close()
                if fresh or attempt == 2:
                    raise
            except Exception:
                self.close()  # whatever follows on this connection would be misread
                raise
        raise AssertionError

    def _read(self, method: str) -> Answer:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            if not line:
                raise EOFError("the connection was closed")
            head += line
        status, headers = _head(head[:-4])
        named = dict(headers)
        body = b""
        if method == "HEAD":
            pass
        elif "content-length" in named:
            body = self._file.read(int(named["content-length"]))
        elif "chunked" in named.get("transfer-encoding", ""):
            while True:
                size = int(self._file.readline(), 16)
                body += self._file.read(size + 2)[:-2]
                if not size:
                    break
        if named.get("connection") == "close":
            self.close()
        return Answer(status, headers, body)


def fetch(address: Address, path: str, *headers: Header) -> Answer:
    """One GET over a connection of its own."""
    with Client(address) as client:
        return client.get(path, *headers)


class Rest:
    """The admin API."""

    def __init__(self, address: Address) -> None:
        self._client = Client(address)
        self._lock = threading.Lock()

    def close(self) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, *headers: Header) -> Answer:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = headers if any(n == "content-type" for n, _ in headers) else (JSON, *headers)
        with self._lock:
            return self._client.request(method, path, given, raw, "127.0.0.1")

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The body of an answer that has to be a success."""
        answer = self.call(method, path, body)
        assert answer.status < 300, (method, path, answer.status, answer.body.decode())
        return answer.json if answer.body else None

    def get(self, path: str) -> Any:
        return self.done("GET", path)


@dataclass
class Sent:
    """One request of a load: when it began and ended (monotonic), and what came."""

    method: str
    began: float
    ended: float
    status: int
    chain: tuple[str, ...]
    text: str = ""


@dataclass
class Load:
    """Steady load from `clients` connections, `rate` requests a second in all, in a thread of its own.

    Use as a context manager. `requests` are tried in turn: (method, path, headers, body).
    """

    address: Address
    requests: Sequence[tuple[str, str, Sequence[Header], bytes]]
    rate: float = 200.0
    clients: int = 8
    sent: list[Sent] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self.wait_for(self.clients)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the load does not end"

    def wait_for(self, count: int, timeout: float = 60.0) -> None:
        """Until `count` more requests have been answered."""
        goal = len(self.sent) + count
        until(lambda: len(self.sent) >= goal, timeout, f"{count} more answers")

    def wait_until(self, count: int, timeout: float = 120.0) -> None:
        until(lambda: len(self.sent) >= count, timeout, f"{count} answers in all")

    def failed(self) -> list[Sent]:
        return [s for s in self.sent if s.status != 200]

    def chains(self) -> Counter[tuple[str, ...]]:
        return Counter(s.chain for s in self.sent if s.status == 200)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(n) for n in range(self.clients)))

    async def _client(self, number: int) -> None:
        # The app module reads messages; importing it here keeps one parser.
        from tests.mesh.app import read_message

        pause = self.clients / self.rate
        turn = time.monotonic() + pause * number / self.clients
        count = number
        reader = writer = None
        while not self._stop.is_set():
            delay = turn - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)  # the pace of the load
            turn = max(turn + pause, time.monotonic() - 1)
            method, path, headers, body = self.requests[count % len(self.requests)]
            count += 1
            began = time.monotonic()
            status, chain, text = 0, (), ""
            for _ in range(2):
                fresh = writer is None
                try:
                    if reader is None or writer is None:
                        reader, writer = await asyncio.open_connection(*self.address)
                    writer.write(encode(method, path, "shop.example.com", headers, body))
                    message = await asyncio.wait_for(read_message(reader), 20)
                except (OSError, TimeoutError) as error:
                    message, text = None, repr(error)
                if message is None:
                    if writer is not None:
                        writer.close()
                    reader = writer = None
                    if fresh:
                        break
                    continue
                status = int(message[0].split()[1])
                if dict(message[1]).get("connection") == "close":
                    writer.close()
                    reader = writer = None
                try:
                    chain = tuple(json.loads(message[2]).get("chain", ()))
                except ValueError:
                    text = ""
                if status != 200:
                    text = f"{message[1]} {message[2][-300:]!r}"
                break
            self.sent.append(Sent(method, began, time.monotonic(), status, chain, text))
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


PATIENCE = 30.0
"""Seconds that a busy machine gets at least for what takes a moment on an idle one."""


def until(met: Callable[[], Any], timeout: float, what: str, *, exact: bool = False) -> Any:
    """The first true value of `met`, asked again and again; fails after `timeout` seconds.

    exact: the time is what is tested. Otherwise it is only a guard, and PATIENCE at least.
    """
    if not exact:
        timeout = max(timeout, PATIENCE)
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        value = met()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(pause)  # between two looks, not instead of one
        pause = min(pause * 1.3, 0.1)
