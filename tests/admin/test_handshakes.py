"""Clients that only begin TLS handshakes: they wait for each other, and nobody else does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.connection import Limits
from controlplane.admin.port import AdminServer
from controlplane.net.handshakes import Handshakes
from controlplane.net.tls import Tls, TlsFiles
from tests.admin.conftest import SmallControl
from tests.attacks.handshakes import hello
from tests.trust import Authority

FLOOD = 150
JSON = {"content-type": "application/json"}


@pytest.fixture
async def served(
    control: SmallControl, tmp_path: Path
) -> AsyncIterator[tuple[AdminServer, httpx.AsyncClient]]:
    """A port over TLS, and a client whose handshake is over."""
    trust = Authority(tmp_path)
    files = trust.server()
    tls = Tls(TlsFiles(certificate=files.certificate, key=files.key, protocols=("http/1.1",)))
    limits = Limits(connections=1_000, connections_per_address=1_000, handshake_cpu=0.01)
    settings = AdminSettings(metrics=CollectorRegistry())
    server = AdminServer(create_app(control, settings), "127.0.0.1", 0, tls=tls, limits=limits)
    await server.start()
    context = ssl.create_default_context(cafile=trust.ca)
    async with httpx.AsyncClient(base_url=server.url, verify=context, timeout=60, trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        yield server, client
    await server.stop()


def flood(port: int, source: str, count: int) -> list[socket.socket]:
    """Connections that have said hello, while the server does nothing else: all arrive at once."""
    said, made = hello(), list[socket.socket]()
    for _ in range(count):
        made.append(socket.create_connection(("127.0.0.1", port), 10, (source, 0)))
        made[-1].sendall(said)
    return made


async def test_requests_do_not_wait_for_handshakes(served: tuple[AdminServer, httpx.AsyncClient]) -> None:
    server, client = served
    handshakes = server.connections.handshakes
    before = handshakes.seconds
    clients = flood(server.port, "127.0.0.2", FLOOD)
    for _ in range(3):
        assert (await client.get("/healthz")).status_code == 200
    assert handshakes.waiting > FLOOD / 2, "most of the handshakes had to wait for the requests"
    assert handshakes.seconds - before < 1
    for one in clients:
        one.close()
    while handshakes.waiting:  # noqa: ASYNC110  # who leaves is forgotten
        await asyncio.sleep(0.01)
    assert server.connections.handshakes.delayed >= FLOOD / 2


async def test_an_address_waits_behind_itself_alone(
    served: tuple[AdminServer, httpx.AsyncClient], tmp_path: Path
) -> None:
    server, _ = served
    clients = flood(server.port, "127.0.0.2", FLOOD)
    await asyncio.sleep(0)
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    # From another address: its handshake is over before those that came first.
    async with asyncio.timeout(60):
        _, writer = await asyncio.open_connection(
            "localhost", server.port, ssl=context, local_addr=("127.0.0.3", 0), family=socket.AF_INET
        )
    assert server.connections.handshakes.waiting > FLOOD / 2
    writer.transport.abort()
    for one in clients:
        one.close()


async def test_what_comes_with_a_handshake_waits_with_it(
    served: tuple[AdminServer, httpx.AsyncClient], tmp_path: Path
) -> None:
    """More than is kept meanwhile, too."""
    server, _ = served
    clients = flood(server.port, "127.0.0.2", 20)
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    transport = httpx.AsyncHTTPTransport(verify=context, local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=transport, base_url=server.url, timeout=60) as client:
        answer = await client.put("/v1/gateways/edge", content=b" " * (1 << 20), headers=JSON)
    assert answer.status_code == 400
    for one in clients:
        one.close()


class Waiter:
    def __init__(self, host: str, done: list[str]) -> None:
        self.host = host
        self._done = done

    def shake(self) -> None:
        self._done.append(self.host)


async def test_addresses_take_turns_within_the_share() -> None:
    now = 0.0
    done: list[str] = []

    def clock() -> float:
        nonlocal now
        now += 0.001  # what is done between two looks at the clock
        return now

    handshakes = Handshakes(0.25, burst=0.004, clock=clock)
    for _ in range(20):
        handshakes.arrived(Waiter("a", done))
    handshakes.arrived(Waiter("b", done))
    left = Waiter("c", done)
    handshakes.arrived(left)
    handshakes.leave(left)
    while handshakes.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert done.index("b") <= 3
    assert done.count("a") == 20
    assert "c" not in done
    assert handshakes.seconds <= 0.004 + 0.25 * now + 0.001
