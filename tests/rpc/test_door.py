"""Connections are let in a few at a time, and nobody keeps others out."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from controlplane.rpc import door
from controlplane.rpc.door import ENTER_AT_ONCE, TAKEN_AT_ONCE, Door
from tests.rpc.wire import PATIENCE, serving

STRANGER, OTHER = "127.0.0.2", "127.0.0.3"


class Failing(socket.socket):
    """A listening socket on which to accept fails at first, with these numbers."""

    errors: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            number, *rest = self.errors
            self.errors = tuple(rest)
            raise OSError(number, "it fails")
        return super().accept()


class Visitor(asyncio.Protocol):
    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._hall.transports.append(transport)
        self._hall.came.put_nowait(transport.get_extra_info("peername")[0])

    def eof_received(self) -> bool:
        return False


class Hall:
    """Where those are who were let in."""

    def __init__(self) -> None:
        self.made = 0
        self.came: asyncio.Queue[str] = asyncio.Queue()
        self.transports: list[asyncio.BaseTransport] = []
        self.notes: Counter[tuple[str, str]] = Counter()
        self.door: Door

    def make(self) -> Visitor:
        self.made += 1
        return Visitor(self)

    def note(self, host: str, reason: str, text: str) -> None:
        self.notes[host, reason] += 1

    async def next(self) -> str:
        return await asyncio.wait_for(self.came.get(), PATIENCE)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@pytest.fixture
async def listening() -> AsyncIterator[Failing]:
    with Failing(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen(512)
        yield opened


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def come(clients: ExitStack, port: int, count: int, host: str = STRANGER) -> list[socket.socket]:
    """So many clients connect."""
    return [
        clients.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE, (host, 0)))
        for _ in range(count)
    ]


@asynccontextmanager
async def opened(listening: Failing, most: int = 1_000) -> AsyncIterator[Hall]:
    hall = Hall()
    hall.door = Door(asyncio.get_running_loop(), listening, hall.make, most, hall.note)
    try:
        yield hall
    finally:
        hall.door.close()
        hall.door.close()  # nothing is left to do
        await hall.door.entered()
        for transport in hall.transports:
            transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


def port_of(listening: socket.socket) -> int:
    return listening.getsockname()[1]


async def test_a_crowd_comes_in_a_few_at_a_time(
    listening: Failing, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PAUSE", 3_600.0)
    come(clients, port_of(listening), 3 * ENTER_AT_ONCE)
    async with opened(listening) as hall:
        for _ in range(ENTER_AT_ONCE):
            await hall.next()
        assert (hall.made, hall.door.waiting) == (ENTER_AT_ONCE, 2 * ENTER_AT_ONCE)
    assert not hall.notes


async def test_who_comes_one_after_the_other_comes_in_no_faster(
    listening: Failing, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PAUSE", 3_600.0)
    async with opened(listening) as hall:
        for _ in range(ENTER_AT_ONCE):
            come(clients, port_of(listening), 1)
            await hall.next()
        come(clients, port_of(listening), 1)
        await until(lambda: hall.door.waiting == 1)
        assert hall.made == ENTER_AT_ONCE


async def test_a_stranger_with_a_crowd_keeps_nobody_out(
    listening: Failing, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "STORM", 0)
    port, most = port_of(listening), 40
    come(clients, port, 4 * TAKEN_AT_ONCE)
    come(clients, port, 2, OTHER)
    async with opened(listening, most) as hall:
        found = [await hall.next()]
        while found.count(OTHER) < 2:
            found.append(await hall.next())
        # While 4 x 64 are taken from the system, 4 x 16 come in; then it is the other's turn.
        assert len(found) <= 5 * ENTER_AT_ONCE + 4
        closed = hall.notes[STRANGER, "crowd"]
        assert closed >= 4 * TAKEN_AT_ONCE - most - len(found)
        await until(lambda: hall.made == 4 * TAKEN_AT_ONCE + 2 - closed)
    assert hall.notes == {(STRANGER, "crowd"): closed}


async def test_of_those_who_come_back_together_none_is_sent_away(
    listening: Failing, clients: ExitStack
) -> None:
    come(clients, port_of(listening), 4 * TAKEN_AT_ONCE)
    async with opened(listening, 40) as hall:
        for _ in range(4 * TAKEN_AT_ONCE):
            await hall.next()
            assert hall.door.waiting <= 40
    assert not hall.notes


async def test_what_fails_for_one_connection_stops_no_other(listening: Failing, clients: ExitStack) -> None:
    listening.errors = (errno.EPROTO, errno.ECONNABORTED, errno.EHOSTUNREACH)
    come(clients, port_of(listening), 1)
    with capture_logs() as logs:
        async with opened(listening) as hall:
            assert await hall.next() == STRANGER
    assert hall.notes == {("", "lost"): 3}
    assert not logs


async def test_without_descriptors_it_rests_and_goes_on(
    listening: Failing, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REST", 0.01)
    listening.errors = (errno.EMFILE, errno.ENFILE)
    come(clients, port_of(listening), 3)
    with capture_logs() as logs:
        async with opened(listening) as hall:
            for _ in range(3):
                await hall.next()
    assert [one["event"] for one in logs] == ["no connection can be accepted for a while"] * 2


async def test_who_cannot_come_in_is_closed_and_told_of(
    listening: Failing, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> Visitor:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(Hall, "make", lambda self: make())
    (client,) = come(clients, port_of(listening), 1)
    async with opened(listening) as hall:
        await until(lambda: bool(hall.notes))
        assert await asyncio.to_thread(client.recv, 1) == b""
    assert hall.notes == {(STRANGER, "lost"): 1}


async def test_who_waits_when_the_door_closes_is_sent_away(
    listening: Failing, clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PAUSE", 3_600.0)
    came = come(clients, port_of(listening), ENTER_AT_ONCE + 1)
    async with opened(listening) as hall:
        await until(lambda: hall.door.waiting == 1)
        hall.door.close()
        with suppress(ConnectionResetError):
            assert await asyncio.to_thread(came[-1].recv, 1) == b""
        assert hall.door.waiting == 0


async def test_small_answers_leave_at_once(listening: Failing, clients: ExitStack) -> None:
    come(clients, port_of(listening), 1)
    async with opened(listening) as hall:
        await hall.next()
        accepted = hall.transports[0].get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_crowd_that_is_sent_away_makes_few_log_lines(
    clients: ExitStack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "STORM", 0)
    async with serving(entering=1) as service:
        come(clients, service.port, 2 * TAKEN_AT_ONCE)
        listener = service.listener
        await until(lambda: listener.ended["crowd"] + listener.open == 2 * TAKEN_AT_ONCE)
        assert listener.ended["crowd"] > 20
        assert listener.suppressed_lines == listener.ended["crowd"] - 10
        assert listener.entering == 0
    assert capsys.readouterr().out.count("a connection was ended") == 10
