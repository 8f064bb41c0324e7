"""Connections are accepted a few at a time."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from controlplane.rpc import door
from controlplane.rpc.door import ACCEPTED_AT_ONCE, Door
from tests.rpc.wire import PATIENCE


class Failing(socket.socket):
    """A listening socket for which the system has no descriptor at first."""

    fails = 0

    def accept(self) -> tuple[socket.socket, object]:
        if self.fails:
            self.fails -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Visitor(asyncio.Protocol):
    def __init__(self, came: asyncio.Queue[asyncio.BaseTransport]) -> None:
        self._came = came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._came.put_nowait(transport)


@pytest.fixture
async def listening() -> AsyncIterator[Failing]:
    with Failing(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen(256)
        yield opened


async def visited(listening: Failing, count: int) -> list[int]:
    """How many were accepted when each of `count` clients, who came together, was let in."""
    came: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
    accepted = 0

    def make() -> Visitor:
        nonlocal accepted
        accepted += 1
        return Visitor(came)

    found: list[int] = []
    clients = [socket.create_connection(listening.getsockname()) for _ in range(count)]
    opened = Door(asyncio.get_running_loop(), listening, make)
    for _ in clients:
        transport = await asyncio.wait_for(came.get(), PATIENCE)
        found.append(accepted)
        transport.abort()  # type: ignore[attr-defined]
    opened.close()
    opened.close()  # nothing is left to do
    await opened.entered()
    for client in clients:
        client.close()
    return found


async def test_a_crowd_comes_in_a_few_at_a_time(listening: Failing) -> None:
    found = await visited(listening, 3 * ACCEPTED_AT_ONCE)
    assert found[0] <= ACCEPTED_AT_ONCE
    assert found[-1] == 3 * ACCEPTED_AT_ONCE


async def test_without_descriptors_it_rests_and_goes_on(
    listening: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REST", 0.01)
    listening.fails = 2
    with capture_logs() as logs:
        assert await visited(listening, 3)
    assert [one["event"] for one in logs] == ["no connection can be accepted for a while"] * 2
