"""python -m tests.attacks.handshakes: what clients that only begin TLS handshakes cost others, as a table.

A control plane with TLS on both ports; a harmless client asks over a connection that it has, every 5 ms: for
/healthz at the admin port, for a ping at the xDS port. The attacker sends the same recorded hello from four
addresses over new connections, as fast as it can, and reads nothing: the server signs, the attacker does not.
Before it, for comparison, the same client while nothing else happens.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import socket
import ssl
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attacks import wire
from tests.cli.served import Served, served
from tests.trust import Authority, Identity

ADDRESSES = 4
OPEN = 400
"""Connections that the attacker has at one time."""
PERIOD = 0.005


def hello() -> bytes:
    """What any client says first, always the same: it costs the sender nothing."""
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(arrived, leaving).do_handshake()
    return leaving.read()


def attack(port: int, seconds: float) -> None:
    """Say hello again and again."""
    os.nice(1)
    said, held = hello(), deque[socket.socket]()
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        with contextlib.suppress(OSError):
            source = f"127.0.9.{1 + number % ADDRESSES}"
            held.append(socket.create_connection(("127.0.0.1", port), 5, (source, 0)))
            held[-1].sendall(said)
        if len(held) > OPEN:
            held.popleft().close()


def asked(connection: ssl.SSLSocket, request: bytes, seconds: float) -> list[float]:
    """Milliseconds until the answer to each request begins, in order of size."""
    found = list[float]()
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        connection.sendall(request)
        if not connection.recv(1 << 16):
            raise EOFError
        found.append(1000 * (time.monotonic() - now))
        time.sleep(max(0.0, PERIOD - found[-1] / 1000))
    return sorted(found)


def admin(control: Served, client: Identity) -> tuple[int, ssl.SSLSocket, bytes]:
    context = ssl.create_default_context(cafile=client.ca)
    plain = socket.create_connection(("127.0.0.1", control.admin), 30)
    return (
        control.admin,
        context.wrap_socket(plain, server_hostname="localhost"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )


def xds(control: Served, client: Identity) -> tuple[int, ssl.SSLSocket, bytes]:
    plain = socket.create_connection(("127.0.0.1", control.xds), 30)
    connection = client.context().wrap_socket(plain, server_hostname="localhost")
    connection.sendall(wire.hello())
    connection.recv(1 << 16)
    return control.xds, connection, wire.frame(wire.PING, 0, 0, b"12345678")


@contextlib.contextmanager
def attacked(port: int, seconds: float) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=attack, args=(port, seconds))
    process.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        process.join()


def row(what: str, times: list[float]) -> None:
    figures = (times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
    print(f"| {what} | " + " | ".join(f"{one:.1f} ms" for one in figures) + f" | {len(times)} |", flush=True)


def measure(folder: Path, seconds: float, share: str) -> None:
    """Two rows for each port. share: `admin_handshake_cpu`."""
    trust = Authority(folder)
    trust.server()
    client = trust.client("gateway/edge")
    certificate, key = str(folder / "server.pem"), str(folder / "server-key.pem")
    ports: list[tuple[str, Callable[[Served, Identity], tuple[int, ssl.SSLSocket, bytes]]]]
    ports = [("admin", admin), ("xDS", xds)]
    for name, connect in ports:
        with served(
            folder, "--admin-certificate", certificate, "--admin-key", key, "--xds-certificate", certificate,
            "--xds-key", key, "--xds-client-ca", str(trust.ca), ca=trust.ca,
            LANEWAY_ADMIN_HANDSHAKE_CPU=share,
        ) as control:  # fmt: skip
            port, connection, request = connect(control, client)
            with connection:
                row(f"{name}, nothing else", asked(connection, request, seconds))
                with attacked(port, seconds + 1):
                    row(f"{name}, hellos", asked(connection, request, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--share", default="0.25", help="admin_handshake_cpu; 1 is as good as no bound")
    given = parser.parse_args()
    print("| port | p50 | p99 | longest | requests |\n| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.seconds, given.share)


if __name__ == "__main__":
    main()
