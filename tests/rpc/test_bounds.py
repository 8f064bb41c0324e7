"""What one connection may cost: beyond it that connection alone ends, says why, and is counted."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import grpc
import pytest

from controlplane.rpc import frames
from controlplane.rpc.backlog import Backlog, Waiting
from controlplane.rpc.calls import Call
from controlplane.rpc.encodings import decompress
from controlplane.rpc.frames import ConnectionFault, frame, window_update
from controlplane.rpc.room import Room, Share
from controlplane.rpc.transport import CallEnd
from tests.opcodes import executed
from tests.rpc.pair import HELLO, data
from tests.rpc.wire import PATIENCE, Raw, Service, call, message, raw, serving

CALM = frames.ENHANCE_YOUR_CALM


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


async def ended(client: Raw) -> tuple[int, str]:
    """The code and the text of the GOAWAY with which a connection ends."""
    found = [each for each in await client.closed() if each.kind == frames.GOAWAY]
    assert found, "it ended without a word"
    return found[-1].goaway[1], found[-1].payload[8:].decode()


async def served(client: Raw, number: int = 1) -> None:
    """A call is answered."""
    client.write(call(number), message(number, b"hello", end=True))
    while (found := await client.next(frames.DATA)).stream != number:
        pass
    assert found.payload[5:] == b"hello"


async def until(what: Callable[[], bool]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(PATIENCE):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Memory.


def part(size: int) -> bytes:
    """DATA frames of a message whose end never comes."""
    content = b"\0" + (900_000).to_bytes(4, "big") + bytes(size - 5)
    step = frames.SMALLEST_FRAME_LIMIT
    return b"".join(frame(frames.DATA, 0, 1, content[at : at + step]) for at in range(0, size, step))


async def test_who_holds_most_parts_of_requests_makes_room_for_who_comes(service: Service) -> None:
    service.listener.requests.most = 1_000_000
    async with AsyncExitStack() as stack:
        small, large = [await stack.enter_async_context(raw(service.port)) for _ in range(2)]
        small.write(call(1), part(300_000))
        large.write(call(1), part(600_000))
        await until(lambda: service.listener.requests.taken >= 900_000)
        newcomer = await stack.enter_async_context(raw(service.port))
        newcomer.write(call(1), data(1, b"\0" + (500_000).to_bytes(4, "big") + bytes(500_000)))
        assert await newcomer.next(frames.DATA)
        code, text = await ended(large)
        assert (code, "parts of requests" in text) == (CALM, True)
        await served(small, 3)
    assert service.listener.ended == {"memory": 1}


def test_room_is_made_by_the_address_that_holds_most() -> None:
    room = Room("requests", 100, 90)
    over: list[str] = []
    shares: dict[str, Share] = {}

    def end(name: str) -> None:
        over.append(name)
        shares[name].give(shares[name].taken)

    for name, size in (("a one", 30), ("a two", 25), ("b", 40)):
        shares[name] = room.share(name[0], lambda _, name=name: end(name))
        shares[name].take(size)
    shares["b"].take(10)
    assert over == ["a one"]
    assert room.taken == 75


def test_room_is_made_at_the_same_cost_among_thousands() -> None:
    room = Room("requests", 3_000, 3_000)
    shares = dict[int, Share]()
    for number in range(3_000):
        shares[number] = room.share(f"10.0.0.{number % 2}", lambda _, number=number: shares[number].close())
        shares[number].take(1)
    assert executed(lambda: room.share("10.0.0.9", print).take(1)) < 3_000
    assert room.taken == 3_000


def test_a_share_is_bounded_and_nothing_is_counted_twice() -> None:
    room = Room("requests", 100, 50)
    share = room.share("a", lambda text: None)
    share.take(50)
    with pytest.raises(ConnectionFault) as fault:
        share.take(1)
    assert (fault.value.code, fault.value.reason) == (CALM, "memory")
    assert (share.taken, room.taken) == (50, 50)
    share.give(50)
    assert room.taken == 0


def test_the_one_to_make_room_may_be_the_one_that_asks() -> None:
    room = Room("requests", 100, 100)
    first, second = room.share("a", lambda text: None), room.share("a", lambda text: None)
    first.take(30)
    with pytest.raises(ConnectionFault):
        second.take(80)
    assert room.taken == 30


def test_what_waits_in_many_queues_is_held_once() -> None:
    backlog, shared, own = Backlog(), bytes(10_000), bytes(5_000)
    for _ in range(3):
        backlog.add([shared])
    backlog.add([own])
    assert backlog.size == 15_000
    assert (backlog.share(shared), backlog.share(own)) == (10_000 / 3, 5_000)
    backlog.drop(shared)
    backlog.drop(shared)
    assert backlog.size == 15_000
    backlog.drop(shared)
    assert backlog.size == 5_000
    backlog.add([b"small"])
    backlog.drop(b"small")
    assert (backlog.size, backlog.peak) == (5_000, 15_000)


def test_an_address_waits_for_what_its_own_connections_have_not_read() -> None:
    turns = list[Callable[[], None]]()
    backlog, woken = Backlog(turns.append, most=100_000), list[str]()
    heavy, light = (
        Waiting(backlog, lambda: woken.append("heavy")),
        Waiting(backlog, lambda: woken.append("light")),
    )
    heavy.host, light.host = "a", "b"
    large, small = bytes(80_000), bytes(30_000)
    heavy.add([large], len(large))
    assert (heavy.full, light.full) == (True, False)
    light.add([small], len(small))
    assert (heavy.full, light.full) == (True, True)  # beyond the bound, all wait
    heavy.ask()
    light.ask()
    light.taken(len(small))
    light.drop(memoryview(small))
    turns.pop()()
    assert (woken, list(backlog.asking)) == (["light"], [heavy])
    heavy.taken(len(large))
    heavy.drop(memoryview(large)[1:])
    turns.pop()()
    assert woken == ["light", "heavy"]
    assert not turns
    assert (backlog.size, backlog.hosts.total()) == (0, 0)


async def test_responses_that_wait_are_noted_until_they_leave(service: Service) -> None:
    body = bytes(100_000)
    service.on_message = lambda echo, _: echo.call.send(body)
    async with raw(service.port) as client:
        for number in (1, 3, 5):
            client.write(call(number), message(number, b"go"))
        got = 0
        while got < frames.DEFAULT_WINDOW:
            got += len((await client.next(frames.DATA)).payload)
        assert len(body) <= service.listener.backlog.size <= len(body) + 30
        client.write(*(window_update(number, 1 << 20) for number in (0, 1, 3, 5)))
        while got < 3 * (len(body) + 5):
            got += len((await client.next(frames.DATA)).payload)
        assert service.listener.backlog.size == 0
        client.write(call(7), message(7, b"go"))
        client.write(frame(frames.PING, 0, 0, bytes(8)))
        await client.next(frames.PING)
    await until(lambda: not service.listener.connections)
    assert service.listener.backlog.size == 0


async def test_who_takes_nothing_of_what_waits_is_cut_off() -> None:
    async with serving(keepalive=0.3, unread=0.1) as service, raw(service.port) as client:
        service.on_message = lambda echo, _: echo.call.send(bytes(200_000))
        client.write(call(1), message(1, b"go"))
        code, text = await ended(client)
        assert (code, "wait" in text) == (CALM, True)
        assert service.listener.ended == {"unread": 1}
        await until(lambda: service.listener.backlog.size == 0)


async def test_nothing_of_a_connection_is_left_to_the_collector_of_circles(service: Service) -> None:
    """The product looks for circles seldom: 4 GiB of a client that had gone were never freed."""
    service.on_message = lambda echo, _: echo.call.send(bytes(300_000))
    gc.collect()
    gc.disable()
    try:
        async with raw(service.port) as client:
            client.write(*(call(number) + message(number, b"go") for number in (1, 3, 5)))
            client.write(call(7), part(10_000).replace(b"\0\0\0\1", b"\0\0\0\7"))
            await client.next(frames.DATA)
            client.write(call(9), message(9, b"go", end=True))
            client.write(frame(frames.PING, 0, 0, bytes(8)))
            await client.next(frames.PING)
            (connection,) = service.listener.connections
            watched = [weakref.ref(connection), weakref.ref(connection.http2)]
            calls = service.calls
            assert len(calls) == 5
            del connection
        await until(lambda: not service.listener.connections)
        handlers = [weakref.ref(one) for one in calls]
        calls.clear()
        await asyncio.sleep(0.05)
        assert [one() for one in watched + handlers] == [None] * 7
    finally:
        gc.enable()


async def test_calls_that_ended_are_no_circles_either(service: Service) -> None:
    def left() -> int:
        return sum(isinstance(one, Call) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        async with raw(service.port) as client:
            before = left()
            client.write(*(call(number, path="/no") for number in range(1, 201, 2)))
            client.write(*(call(number) + message(number, b"x", end=True) for number in range(201, 401, 2)))
            client.write(frame(frames.PING, 0, 0, bytes(8)))
            await client.next(frames.PING)
            service.calls.clear()
            assert left() == before
    finally:
        gc.enable()


# Time.


async def test_others_get_their_turn_beside_who_sends_without_end(service: Service) -> None:
    async with raw(service.port) as busy, raw(service.port) as calm:
        service.on_message = lambda echo, _: time.sleep(0.0002)
        busy.write(call(1), frame(frames.DATA, 0, 1, bytes(16_380)) * 3)  # ten thousand empty messages, 2 s
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        calm.write(frame(frames.PING, 0, 0, bytes(8)))
        await calm.next(frames.PING)
        assert len(service.calls[0].requests) < 2_500


async def test_what_waited_for_its_turn_is_handled_in_order_and_whole(service: Service) -> None:
    async with raw(service.port) as client:
        service.on_message = lambda echo, _: time.sleep(0.0003)
        wanted = [f"{index}".encode() for index in range(300)]
        one_frame = b"".join(b"\0" + len(each).to_bytes(4, "big") + each for each in wanted)
        client.write(call(1), frame(frames.DATA, 0, 1, one_frame))
        client.write(*(message(1, each) for each in wanted), frame(frames.DATA, frames.END_STREAM, 1))
        assert await client.status() == (0, "")
        assert service.calls[0].requests == wanted * 2
        assert service.calls[0].halves == 1


async def test_who_reads_nothing_goes_on_where_it_was_when_it_reads(service: Service) -> None:
    wide = frames.settings({frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW}) + window_update(0, 1 << 30)
    body = bytes(100_000)
    service.on_message = lambda echo, _: echo.call.send(body)
    async with raw(service.port, HELLO + wide, receives=4_096) as client:
        client.write(call(1), *(message(1, b"go") for _ in range(100)), frame(frames.DATA, 1, 1))
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        got = 0
        while got < 100 * (len(body) + 5):
            assert service.listener.backlog.size == 0
            got += len((await client.next(frames.DATA)).payload)
        assert await client.status() == (0, "")


async def test_a_connection_that_takes_too_much_of_the_processor_ends() -> None:
    async with (
        serving(keepalive=0.3, cpu=0.01, cpu_burst=0.2) as service,
        raw(service.port) as busy,
        raw(service.port) as calm,
    ):
        service.on_message = lambda echo, _: time.sleep(0.0002)
        busy.write(call(1), frame(frames.DATA, 0, 1, bytes(16_380)))
        code, text = await ended(busy)
        assert (code, "of a core" in text) == (CALM, True)
        service.on_message = lambda echo, raw: echo.call.send(raw)
        await served(calm)
        assert service.listener.ended == {"cpu": 1}


def test_what_a_message_unpacks_to_is_in_proportion() -> None:
    packing = zlib.compressobj(9)
    bomb = packing.compress(bytes(10_000_000)) + packing.flush()
    with pytest.raises(CallEnd) as end:
        decompress(1, "deflate", bomb, 16 << 20)
    assert end.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    names = "".join(f"service-{index:05}.example.com" for index in range(20_000)).encode()
    packed = zlib.compress(names)
    assert decompress(1, "deflate", packed, 16 << 20) == names


# Connections.


@pytest.mark.parametrize("hello", [b"", HELLO[:10], HELLO[:24]], ids=["nothing", "a little", "no settings"])
async def test_who_does_not_begin_in_time_is_cut_off(hello: bytes) -> None:
    async with serving(keepalive=0.3, hello=0.1) as service, raw(service.port, hello) as client:
        code, text = await ended(client)
        assert (code, "HTTP/2" in text) == (CALM, True)
        assert service.listener.ended == {"hello": 1}


async def test_who_only_holds_a_connection_makes_room() -> None:
    async with serving(connections=3, connections_per_address=3) as service, AsyncExitStack() as stack:
        first = await stack.enter_async_context(raw(service.port))
        await served(first)
        first.write(call(3), message(3, b"stay"))
        await first.next(frames.DATA)
        idle = [await stack.enter_async_context(raw(service.port)) for _ in range(2)]
        await until(lambda: len(service.listener.connections) == 3)
        newcomer = await stack.enter_async_context(raw(service.port))
        await served(newcomer)
        code, text = await ended(idle[0])
        assert (code, "place" in text) == (CALM, True)
        first.write(message(3, b"still here"))
        assert (await first.next(frames.DATA)).payload[5:] == b"still here"
        assert service.listener.ended == {"displaced": 1}


async def test_where_all_are_served_who_comes_is_refused() -> None:
    async with serving(connections_per_address=1) as service, raw(service.port) as first:
        first.write(call(1), message(1, b"stay"))
        await first.next(frames.DATA)
        async with raw(service.port) as second:
            assert await second.closed() == []
        first.write(message(1, b"still here"))
        assert (await first.next(frames.DATA)).payload[5:] == b"still here"
        assert service.listener.ended == {"refused": 1}


async def test_a_flood_of_connections_that_end_makes_few_log_lines(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(30):
        async with raw(service.port, b"GET / HTTP/1.1\r\n\r\n") as client:
            await client.closed()
    assert service.listener.ended == {"protocol": 30}
    assert capsys.readouterr().out.count("a connection was ended") <= 10
    assert service.listener.suppressed_lines == 20
