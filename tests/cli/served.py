"""`laneway serve` in a process of its own, and what a hostile client does to it with raw sockets."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.cli.forking import Forked
from tests.cli.ports import free_port, wait_for
from tests.cli.run import environment

GATEWAY = b"kind: Gateway\nname: edge\nlisteners: [{port: 8080}]\n"


class Served:
    """One running control plane. `admin` and `xds` are ports of 127.0.0.1."""

    def __init__(self, process: Forked, log: Path, admin: int, xds: int, ca: Path | None = None) -> None:
        self.process = process
        self.log = log
        self.admin = admin
        self.xds = xds
        url = f"{'https' if ca else 'http'}://127.0.0.1:{admin}"
        trusted = ssl.create_default_context(cafile=ca)
        self.http = httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=30)

    def memory(self) -> float:
        """Resident set in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def peak(self) -> float:
        """The largest resident set since the last `forget_peak`, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def metric(self, name: str, **headers: str) -> float:
        """The value of a metric without labels, or with those that `name` has."""
        for line in self.http.get("/metrics", headers=headers).text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no metric {name}")

    def said(self, text: str) -> bool:
        """Whether the log has it."""
        return text in self.log.read_text(errors="replace")


@contextlib.contextmanager
def served(
    directory: Path,
    *arguments: str,
    descriptors: tuple[int, int] | None = None,
    ca: Path | None = None,
    admin: int = 0,
    until: str = "/readyz",
    **variables: str,
) -> Iterator[Served]:
    """A control plane with a store in memory, ready. `descriptors`: soft and hard RLIMIT_NOFILE of it. `ca`:
    of its admin port's certificate, if it has one. `admin`: that port, 0 for a free one. `until`: the probe
    that is waited for.
    """

    admin, xds = admin or free_port(), free_port()
    log = directory / "laneway.log"
    command = ["serve", "--store", "memory", "--admin", f"127.0.0.1:{admin}"]
    command += ["--xds", f"127.0.0.1:{xds}", *arguments]
    with log.open("wb") as output:
        process = Forked(
            command,
            stdout=output,
            stderr=output,
            env=environment(**variables),
            descriptors=descriptors,
            cwd=directory,
        )
    one = Served(process, log, admin, xds, ca)
    try:
        wait_for(lambda: one.http.get(until).status_code == 200, process)
        yield one
    finally:
        one.http.close()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()


class Crowd:
    """Connections of one hostile client, opened at once."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        """`receive_buffer`: bytes that the kernel keeps for each of them, if not 0."""
        self._port = port
        self._buffer = receive_buffer
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            one.close()

    def connect(self, number: int, send: bytes = b"") -> int:
        """Open `number` connections and send on each. Returns how many were made."""
        made = 0
        for _ in range(number):
            one = socket.socket()
            one.settimeout(5)
            if self._buffer:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
            try:
                one.connect(("127.0.0.1", self._port))
                if send:
                    one.sendall(send)
                made += 1
            except OSError:
                one.close()
                continue
            one.setblocking(False)
            self.sockets.append(one)
        return made

    def open(self) -> int:
        """How many of them the server has not closed."""
        alive = 0
        for one in self.sockets:
            try:
                alive += self._alive(one)
            except OSError:
                continue
        return alive

    @staticmethod
    def _alive(one: socket.socket) -> bool:
        while True:
            try:
                if not one.recv(65536):
                    return False
            except BlockingIOError:
                return True

    def send(self, data: bytes) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.send(data)


def send_until_refused(
    one: socket.socket, piece: bytes, most: int, seconds: float = 20.0
) -> tuple[int, bytes]:
    """Send `piece` again and again, at most `most` bytes. Returns what was sent, and the answer."""
    deadline = time.monotonic() + seconds
    one.setblocking(False)
    sent, answer = 0, b""
    while time.monotonic() < deadline:
        wants = [one] if sent < most else []
        readable, writable, _ = select.select([one], wants, [], 0.5)
        try:
            if readable:
                part = one.recv(65536)
                if not part:
                    break
                answer += part
            if writable:
                sent += one.send(piece)
        except BlockingIOError:
            continue
        except OSError:
            break
        if not readable and not writable and sent >= most:
            break
    return sent, answer


def call(port: int, request: bytes, seconds: float = 10.0, most: int = 1 << 30) -> bytes:
    """What the server answers until it closes, is silent for `seconds` or has sent `most` bytes."""
    with socket.create_connection(("127.0.0.1", port), seconds) as one:
        one.settimeout(seconds)
        one.sendall(request)
        answer = b""
        with contextlib.suppress(OSError):
            while len(answer) < most and (part := one.recv(65536)):
                answer += part
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def lanes(number: int, name: str = "canary") -> list[dict[str, Any]]:
    """A gateway, a route and a group with `number` lanes, each with one condition on the header `name`."""
    condition = {"source": "header", "name": name, "operator": "==", "value": "x"}
    return [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]},
        {
            "kind": "Route",
            "gateway": "edge",
            "name": "a",
            "match": {"path": {"prefix": "/a"}},
            "service": "sc-A",
        },
        {"kind": "LaneGroup", "name": "g", "gateway": "edge", "applications": ["a"]},
        *(
            {
                "kind": "Lane",
                "group": "g",
                "name": f"lane-{n}",
                "tag": f"t{n}",
                "rule": {"conditions": [condition]},
            }
            for n in range(number)
        ),
    ]
