"""What every transport promises to those who serve calls, over each of them."""

from __future__ import annotations

import asyncio
import gzip

import grpc
import pytest

from controlplane.rpc import frames
from controlplane.rpc.transport import Call, CallEnd
from tests.rpc.calling import GONE, Status, connected, ended, opened
from tests.rpc.wire import PATIENCE, Echo, Service, call, message, raw

EOF = grpc.aio.EOF


async def test_messages_go_there_and_back_in_order(channel: grpc.aio.Channel, service: Service) -> None:
    stream = channel.stream_stream("/test/Echo")()
    sent = [b"", b"x", b"y" * 20_000, b"z" * 900_000, b"end"]
    for each in sent:
        await stream.write(each)
        assert await stream.read() == each
    await stream.done_writing()
    assert await stream.read() is EOF
    assert await stream.code() is Status.OK
    assert service.calls[0].requests == sent
    assert service.calls[0].halves == 1
    assert await ended(service.calls[0]) is Status.OK


async def test_a_unary_call_is_a_stream_of_one_request(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/test/Echo")(b"x") == b"x"


async def test_what_a_call_says_of_its_client(channel: grpc.aio.Channel, service: Service) -> None:
    sent = (("tenant", "one"), ("twice", "a"), ("twice", "b"), ("key-bin", b"\0\xff\x80"))
    stream = channel.stream_stream("/test/Echo")(metadata=sent, timeout=60)
    await stream.done_writing()
    assert await stream.code() is Status.OK
    call = service.calls[0].call
    metadata = dict(call.metadata)
    assert metadata.pop("user-agent")
    assert metadata == {"tenant": "one", "twice": "a,b", "key-bin": b"\0\xff\x80"}
    assert call.method == "/test/Echo"
    assert call.peer.startswith("ipv4:127.0.0.1:")


async def test_an_unknown_method(channel: grpc.aio.Channel, service: Service) -> None:
    stream = channel.stream_stream("/test/Nothing")()
    assert await stream.code() is Status.UNIMPLEMENTED
    assert not service.calls


async def test_a_call_that_is_refused_begins_no_handler(channel: grpc.aio.Channel, service: Service) -> None:
    def refuse(call: Call) -> None:
        raise CallEnd(Status.PERMISSION_DENIED, "größe 100 %")

    service.on_begin = refuse
    stream = channel.stream_stream("/test/Echo")()
    assert (await stream.code(), await stream.details()) == (Status.PERMISSION_DENIED, "größe 100 %")
    assert not service.calls


async def test_a_failure_ends_its_call_alone(channel: grpc.aio.Channel, service: Service) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    stream, _ = await opened(channel, service)
    kept, service.on_message = service.on_message, fail
    failing = channel.stream_stream("/test/Echo")()
    await failing.write(b"")
    assert await failing.code() is Status.INTERNAL
    service.on_message = kept
    await stream.write(b"after")
    assert await stream.read() == b"after"


async def test_a_request_larger_than_the_limit(channel: grpc.aio.Channel, service: Service) -> None:
    stream, echo = await opened(channel, service)
    await stream.write(bytes(1_000_000))
    assert await stream.read() == bytes(1_000_000)
    await stream.write(bytes(1_000_001))
    assert await stream.code() is Status.RESOURCE_EXHAUSTED
    await ended(echo)
    assert [len(each) for each in echo.requests] == [5, 1_000_000]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_requests_may_be_compressed(
    channel: grpc.aio.Channel, service: Service, compression: grpc.Compression
) -> None:
    stream = channel.stream_stream("/test/Echo")(compression=compression)
    await stream.write(b"a" * 10_000)
    assert await stream.read() == b"a" * 10_000
    assert service.calls[0].requests == [b"a" * 10_000]


async def test_a_bomb_is_not_unpacked(service: Service) -> None:
    bomb = gzip.compress(bytes(20 << 20), mtime=0)
    async with raw(service.port) as client:
        client.write(call(1, [("grpc-encoding", "gzip")]))
        whole = b"\1" + len(bomb).to_bytes(4, "big") + bomb
        for at in range(0, len(whole), 10_000):
            client.write(frames.frame(frames.DATA, 0, 1, whole[at : at + 10_000]))
        code, _ = await client.status()
        assert code == Status.RESOURCE_EXHAUSTED.value[0]
        assert not any(echo.requests for echo in service.calls)


async def test_the_status_comes_after_the_responses(channel: grpc.aio.Channel, service: Service) -> None:
    def answer(echo: Echo, raw: bytes) -> None:
        for index in range(3):
            echo.call.send(str(index).encode() * 300_000)
        echo.call.finish(Status.ABORTED, "x" * 5_000)
        echo.call.finish(Status.OK)
        echo.call.send(b"late")
        assert not echo.call.writable

    service.on_message = answer
    stream = channel.stream_stream("/test/Echo")()
    await stream.write(b"")
    for index in range(3):
        assert await stream.read() == str(index).encode() * 300_000
    assert (await stream.code(), await stream.details()) == (Status.ABORTED, "x" * 1_000)
    assert await ended(service.calls[0]) is Status.ABORTED


async def test_the_parts_of_a_response_are_put_together(channel: grpc.aio.Channel, service: Service) -> None:
    service.on_message = lambda echo, raw: echo.call.send(b"a", b"", b"b" * 100_000, b"c")
    stream = channel.stream_stream("/test/Echo")()
    await stream.write(b"")
    assert await stream.read() == b"a" + b"b" * 100_000 + b"c"


@pytest.mark.parametrize("size", [300, 1_000_000])
async def test_a_slow_reader_has_one_response_waiting(service: Service, size: int) -> None:
    """Who sends whenever the call is writable is stopped at the first response that does not leave."""
    sent = 0

    def push(echo: Echo) -> None:
        nonlocal sent
        while echo.call.writable:
            sent += 1
            echo.call.send(bytes(size))

    async with raw(service.port) as client:
        client.write(call(1), message(1, b"hello"))
        await client.next(frames.DATA)
        (echo,) = service.calls
        echo.writable = lambda: push(echo)  # pyright: ignore[reportAttributeAccessIssue]
        push(echo)
        taken = len(b"\0\0\0\0\5hello")
        while taken < frames.DEFAULT_WINDOW:  # which the client never widens
            taken += len((await client.next(frames.DATA)).payload)
        for number in range(3, 23, 2):  # round trips, in which nothing more is sent
            client.write(call(number, path="/test/Nothing"))
            assert await client.next(frames.HEADERS)
        assert sent == -(-(frames.DEFAULT_WINDOW - 10) // (size + 5))
        assert not echo.call.writable
        client.write(frames.window_update(0, size + 5), frames.window_update(1, size + 5))
        last = sent
        while taken < frames.DEFAULT_WINDOW + size + 5:
            taken += len((await client.next(frames.DATA)).payload)
        assert sent == last + 1


async def test_responses_that_wait_on_one_connection_have_a_bound(service: Service) -> None:
    sent: list[Echo] = []

    def push(echo: Echo, raw: bytes = b"") -> None:
        if echo not in sent and echo.call.writable:
            sent.append(echo)
            echo.call.send(bytes(300_000))

    service.on_message = push
    async with raw(service.port) as client:
        numbers = range(1, 41, 2)
        for number in numbers:
            client.write(call(number))
        while len(service.calls) < len(numbers):
            service.begun.clear()
            await asyncio.wait_for(service.begun.wait(), PATIENCE)
        for echo in service.calls:
            echo.writable = lambda echo=echo: push(echo)  # pyright: ignore[reportAttributeAccessIssue]
        client.write(*(message(number, b"x") for number in numbers))
        for echo in service.calls:
            await asyncio.wait_for(echo.arrived.wait(), PATIENCE)
        assert len(sent) == 4  # 1.2 MB, of which the client takes 64 KiB
        client.write(frames.window_update(0, 1 << 24))
        client.write(*(frames.window_update(number, 1 << 20) for number in numbers))
        got = 0
        while got < len(numbers) * 300_005:
            got += len((await client.next(frames.DATA)).payload)
        assert len(sent) == len(numbers)


async def test_a_paused_call_gets_its_requests_in_order(channel: grpc.aio.Channel, service: Service) -> None:
    def take(echo: Echo, raw: bytes) -> None:
        echo.call.pause()
        echo.call.pause()
        asyncio.get_running_loop().call_soon(echo.call.resume)

    service.on_message = take
    stream = channel.stream_stream("/test/Echo")()
    sent = [str(index).encode() * (index % 7) for index in range(200)]
    for each in sent:
        await stream.write(each)
    await stream.done_writing()
    assert await stream.code() is Status.OK
    assert service.calls[0].requests == sent
    assert service.calls[0].halves == 1


async def test_a_paused_call_does_not_read_on(channel: grpc.aio.Channel, service: Service) -> None:
    service.on_message = lambda echo, raw: echo.call.pause()
    stream = channel.stream_stream("/test/Echo")()
    written = 0

    async def write() -> None:
        nonlocal written
        for _ in range(100):
            await stream.write(bytes(500_000))
            written += 1

    writing = asyncio.create_task(write())
    await asyncio.wait_for(service.begun.wait(), PATIENCE)
    echo = service.calls[0]
    await asyncio.wait_for(echo.arrived.wait(), PATIENCE)
    async with connected(service) as another:
        for _ in range(100):
            assert await another.unary_unary("/test/Nothing")(b"").code() is Status.UNIMPLEMENTED
    assert len(echo.requests) == 1
    assert written < 20
    service.on_message = lambda echo, raw: None
    echo.call.resume()
    await asyncio.wait_for(writing, PATIENCE)
    await stream.done_writing()
    assert await stream.code() is Status.OK
    assert len(echo.requests) == 100


async def test_a_call_may_end_while_it_is_paused(channel: grpc.aio.Channel, service: Service) -> None:
    service.on_message = lambda echo, raw: echo.call.pause()
    for end in ("finish", "cancel"):
        stream = channel.stream_stream("/test/Echo")()
        service.begun.clear()
        await stream.write(b"")
        await asyncio.wait_for(service.begun.wait(), PATIENCE)
        echo = service.calls[-1]
        await asyncio.wait_for(echo.arrived.wait(), PATIENCE)
        if end == "finish":
            echo.call.finish(Status.ABORTED)
            assert await stream.code() is Status.ABORTED
        else:
            stream.cancel()
        assert await ended(echo) in ((Status.ABORTED,) if end == "finish" else GONE)
        echo.call.resume()
