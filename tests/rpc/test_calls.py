"""gRPC calls: what they carry, how they are refused, and how they end."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from structlog.testing import capture_logs

from controlplane.rpc import frames
from controlplane.rpc.encodings import decompress
from controlplane.rpc.frames import frame, rst_stream
from controlplane.rpc.transport import Call, CallEnd
from tests.rpc.pair import data
from tests.rpc.wire import Echo, Raw, Service, call, message, raw, serving

Status = grpc.StatusCode


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Raw]:
    async with raw(service.port) as client:
        yield client


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=options) as channel:
        yield channel


async def code_of(call: grpc.aio.StreamStreamCall) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details()


# Requests.


async def test_messages_go_there_and_back_in_order(channel: grpc.aio.Channel, service: Service) -> None:
    echo = channel.stream_stream("/test/Echo")()
    sent = [b"", b"x", b"y" * 20_000, b"z" * 900_000, b"end"]
    for each in sent:
        await echo.write(each)
        assert await echo.read() == each
    await echo.done_writing()
    assert await echo.read() is grpc.aio.EOF
    assert await echo.code() is Status.OK
    assert service.calls[0].requests == sent
    assert [end and end.code for end in service.calls[0].ends] == [Status.OK]


async def test_an_unknown_method(channel: grpc.aio.Channel) -> None:
    code, text = await code_of(channel.stream_stream("/test/Nothing")())
    assert (code, text) == (Status.UNIMPLEMENTED, "there is no method /test/Nothing")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"content_type": "application/json"}, "415"),
        ({"content_type": "application/grpc-web"}, "415"),
        ({"content_type": ""}, "415"),
        ({"method": "GET"}, "405"),
        ({"content_type": "application/grpc+proto"}, None),
        ({"content_type": "application/grpc; charset=utf-8"}, None),
    ],
)
async def test_requests_that_are_no_grpc(client: Raw, changes: dict[str, str], status: str | None) -> None:
    client.write(call(1, **changes), message(1, b"hello", end=True))
    fields = await client.fields()
    assert fields[":status"] == (status or "200")
    assert ("content-type" in fields) == (status is None)


async def test_a_message_larger_than_the_limit(channel: grpc.aio.Channel, service: Service) -> None:
    echo = channel.stream_stream("/test/Echo")()
    await echo.write(bytes(1_000_000))
    assert len(await echo.read()) == 1_000_000
    await echo.write(bytes(1_000_001))
    code, text = await code_of(echo)
    assert (code, text) == (Status.RESOURCE_EXHAUSTED, "a request of 1000001 bytes, more than 1000000")
    assert len(service.calls[0].requests) == 1


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_grpc_compresses(
    channel: grpc.aio.Channel, service: Service, compression: grpc.Compression
) -> None:
    echo = channel.stream_stream("/test/Echo")(compression=compression)
    await echo.write(b"a" * 10_000)
    assert await echo.read() == b"a" * 10_000
    assert service.calls[0].requests == [b"a" * 10_000]


SQUEEZED = gzip.compress(b"hello", mtime=0)


@pytest.mark.parametrize(
    ("encoding", "flag", "content", "expected"),
    [
        ("gzip", 1, SQUEEZED, None),
        ("deflate", 1, zlib.compress(b"hello"), None),
        ("gzip", 0, b"hello", None),
        ("identity", 0, b"hello", None),
        ("gzip", 1, b"hello", Status.INTERNAL),
        ("gzip", 1, SQUEEZED[:-1], Status.INTERNAL),
        ("gzip", 1, b"", Status.INTERNAL),
        ("identity", 1, SQUEEZED, Status.INTERNAL),
        ("gzip", 2, SQUEEZED, Status.INTERNAL),
        ("snappy", 0, b"hello", Status.UNIMPLEMENTED),
        ("gzip", 1, gzip.compress(bytes(1_000_001), mtime=0), Status.RESOURCE_EXHAUSTED),
    ],
)
async def test_encodings(
    client: Raw, service: Service, encoding: str, flag: int, content: bytes, expected: grpc.StatusCode | None
) -> None:
    client.write(call(1, [("grpc-encoding", encoding)]), message(1, content, flag, end=True))
    code, _ = await client.status()
    assert code == (expected or Status.OK).value[0]
    if expected is None:
        assert service.calls[0].requests == [b"hello"]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    tracemalloc.start()
    try:
        with pytest.raises(CallEnd) as caught:
            decompress(1, "gzip", bomb, 100_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.code is Status.RESOURCE_EXHAUSTED


async def test_a_deadline(client: Raw, service: Service) -> None:
    client.write(call(1, [("grpc-timeout", "1m")]))
    assert await client.status() == (Status.DEADLINE_EXCEEDED.value[0], "the client's deadline has passed")
    assert len(service.calls[0].ends) == 1


@pytest.mark.parametrize("duration", ["", "1", "m", "x1m", "1 m", "-1S", "1.5S", "123456789S", "1d"])
async def test_a_malformed_timeout(client: Raw, service: Service, duration: str) -> None:
    client.write(call(1, [("grpc-timeout", duration)]))
    code, text = await client.status()
    assert code == Status.INTERNAL.value[0]
    assert repr(duration) in text
    assert not service.calls


async def test_metadata(channel: grpc.aio.Channel, service: Service) -> None:
    sent = (("tenant", "one"), ("content-type-of-mine", "two"), ("key-bin", b"\0\xff\x80"), ("a", "b,c"))
    echo = channel.stream_stream("/test/Echo")(metadata=sent, timeout=60)
    await echo.done_writing()
    assert await echo.code() is Status.OK
    metadata = dict(service.calls[0].call.metadata)
    assert metadata.pop("user-agent")
    assert {name: metadata[name] for name, _ in sent} == dict(sent)
    assert not {"te", "content-type", "grpc-timeout", "grpc-encoding"} & set(metadata)


async def test_metadata_that_is_not_of_base64(client: Raw, service: Service) -> None:
    service.on_begin = lambda call: print(call.metadata)
    client.write(call(1, [("key-bin", "???")]))
    assert (await client.status())[0] == Status.INTERNAL.value[0]


# Statuses.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe 100 %\n\t☃ 😀", None),
        ("x" * 5_000, "x" * 1_000),
        ("😀" * 5_000, "😀" * 250),
        ("ab" + "😀" * 5_000, "ab" + "😀" * 249),
        ("\ud800", "?"),
    ],
    ids=["not ascii", "long", "long and not ascii", "cut within a character", "no character"],
)
async def test_texts_of_a_status(
    channel: grpc.aio.Channel, service: Service, text: str, expected: str | None
) -> None:
    service.on_message = lambda echo, raw: echo.call.finish(Status.ABORTED, text)
    echo = channel.stream_stream("/test/Echo")()
    await echo.write(b"")
    assert await code_of(echo) == (Status.ABORTED, text if expected is None else expected)


def fail(*_: object) -> None:
    raise ZeroDivisionError("a mistake")


@pytest.mark.parametrize("where", ["on_begin", "on_message", "on_half_closed", "on_closed"])
async def test_a_failure_ends_its_call_alone(client: Raw, service: Service, where: str) -> None:
    client.write(call(1), message(1, b"before"))
    assert (await client.next(frames.DATA)).payload[5:] == b"before"
    kept = getattr(service, where)
    setattr(service, where, fail)
    with capture_logs() as logs:
        client.write(call(3), message(3, b"request", end=True))
        status = await client.status()
    failed = (Status.INTERNAL.value[0], "the server failed; its log says why")
    assert status == ((0, "") if where == "on_closed" else failed)
    assert [(log["log_level"], log["method"]) for log in logs] == [("error", "/test/Echo")]
    setattr(service, where, kept)
    client.write(message(1, b"after"))
    while (found := await client.next(frames.DATA)).stream != 1:
        pass
    assert found.payload[5:] == b"after"


async def test_a_failure_that_is_kept_does_not_lock_what_comes(client: Raw, service: Service) -> None:
    def refuse(echo: Echo, raw: bytes) -> None:
        raise CallEnd(Status.ABORTED, "no")

    service.on_message = refuse  # and the end is kept by the handler, with its traceback
    whole = message(1, b"hello")[frames.HEAD_SIZE :]
    client.write(call(1), data(1, whole[:3]), data(1, whole[3:] + b"\0"))
    assert await client.status() == (Status.ABORTED.value[0], "no")
    client.write(call(3, path="/test/Nothing"))
    assert (await client.status())[0] == Status.UNIMPLEMENTED.value[0]


# The order of things.


async def test_requests_that_end_within_a_message(client: Raw, service: Service) -> None:
    client.write(call(1), data(1, b"\0\0\0\0\5hel", frames.END_STREAM))
    assert await client.status() == (Status.INTERNAL.value[0], "the requests end within a message")
    assert service.calls[0].requests == []
    assert service.calls[0].halves == 0


async def test_a_paused_call_gets_its_requests_in_order(client: Raw, service: Service) -> None:
    def take(echo: Echo, raw: bytes) -> None:
        echo.call.pause()
        asyncio.get_running_loop().call_soon(echo.call.resume)

    service.on_message = take
    sent = [str(index).encode() * (index % 7) for index in range(500)]
    whole = b"".join(message(1, each)[frames.HEAD_SIZE :] for each in sent)
    client.write(call(1), *(data(1, whole[at : at + 97]) for at in range(0, len(whole), 97)))
    client.write(data(1, b"", frames.END_STREAM))
    assert (await client.status())[0] == 0
    assert service.calls[0].requests == sent
    assert service.calls[0].halves == 1


async def test_the_end_of_the_requests_waits_and_is_told_once(client: Raw, service: Service) -> None:
    service.on_message = lambda echo, raw: echo.call.pause()
    service.on_half_closed = lambda echo: echo.call.send(b"seen")
    client.write(call(1), message(1, b"a"), message(1, b"b", end=True), frame(frames.PING, 0, 0, bytes(8)))
    await client.next(frames.PING)
    echo = service.calls[0]
    assert (echo.requests, echo.halves) == ([b"a"], 0)
    echo.call.resume()
    assert (echo.requests, echo.halves) == ([b"a", b"b"], 0)
    for _ in range(3):
        echo.call.resume()
    assert echo.halves == 1


def _lose(client: Raw, echo: Echo) -> None:
    client.writer.transport.abort()


ENDINGS: dict[str, tuple[Callable[[Raw, Echo], object], grpc.StatusCode | None]] = {
    "half closed": (lambda client, echo: client.write(data(1, b"", frames.END_STREAM)), Status.OK),
    "finished": (lambda client, echo: echo.call.finish(Status.ABORTED), Status.ABORTED),
    "too large": (
        lambda client, echo: client.write(data(1, b"\0\xff\xff\xff\xff")),
        Status.RESOURCE_EXHAUSTED,
    ),
    "reset": (lambda client, echo: client.write(rst_stream(1, frames.CANCEL)), None),
    "lost": (_lose, None),
    "a fault of the stream": (lambda client, echo: client.write(frames.window_update(1, 0)), None),
    "a fault of the connection": (lambda client, echo: client.write(frames.window_update(0, 0)), None),
    "cut": (lambda client, echo: cut(echo), Status.UNAVAILABLE),
}


def cut(echo: Echo) -> None:
    for connection in echo.service.listener.connections:
        connection.cut("the server stops")


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_end_is_told_once(service: Service, ending: str) -> None:
    async with raw(service.port) as client:
        client.write(call(1, [("grpc-timeout", "1H")]), message(1, b"hello"))
        await client.next(frames.DATA)
        echo = service.calls[0]
        act, expected = ENDINGS[ending]
        act(client, echo)
        await asyncio.wait_for(echo.over.wait(), 20)
        echo.call.finish(Status.INTERNAL)
        echo.call.send(b"late")
        assert not echo.call.writable
    await asyncio.wait_for(service.listener.empty.wait(), 20)
    assert [end and end.code for end in echo.ends] == [expected]


async def test_a_call_that_is_refused_begins_no_handler(client: Raw, service: Service) -> None:
    def refuse(call: Call) -> None:
        raise CallEnd(Status.PERMISSION_DENIED, f"not {call.peer}")

    service.on_begin = refuse
    client.write(call(1, [("grpc-timeout", "1H")]), message(1, b"hello"))
    code, text = await client.status()
    assert code == Status.PERMISSION_DENIED.value[0]
    assert text.startswith("not ipv4:127.0.0.1:")
    assert not service.calls


async def test_parts_of_requests_are_given_back(client: Raw, service: Service) -> None:
    room = service.listener.requests
    part = message(1, bytes(20_000))[frames.HEAD_SIZE :][:10_000]
    client.write(call(1), frame(frames.DATA, 0, 1, part))
    client.write(frame(frames.PING, 0, 0, bytes(8)))
    await client.next(frames.PING)
    assert room.taken == 10_000
    client.write(frame(frames.DATA, 0, 1, bytes(10_005)))
    await service.calls[0].arrived.wait()
    assert [len(raw) for raw in service.calls[0].requests] == [20_000]
    assert room.taken == 0
    client.write(frame(frames.DATA, 0, 1, part), rst_stream(1, frames.CANCEL))
    await service.calls[0].over.wait()
    assert room.taken == 0
