"""What a client may not do on an HTTP/2 connection, and how much of it the server bears."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable

import pytest
from hpack import Encoder

from controlplane.rpc import frames, headers
from controlplane.rpc.frames import frame, rst_stream, settings, window_update
from controlplane.rpc.headers import HeaderDecoder, RequestHead, block
from controlplane.rpc.http2 import MOST_GLITCHES, Http2Connection
from controlplane.rpc.outgoing import MOST_QUEUED
from controlplane.rpc.stream import MOST_STREAMS, Stream
from tests.rpc.pair import END, HELLO, OK, REQUEST, Server, Told, data, greeted, open_stream

CALM = frames.ENHANCE_YOUR_CALM


TRAILERS = frames.END_HEADERS | frames.END_STREAM


ONE_BYTE = frame(frames.WINDOW_UPDATE, 0, 1, (1).to_bytes(4, "big"))


FLOODS = {
    "ping": frame(frames.PING, 0, 0, b"12345678"),
    "ping acknowledged": frame(frames.PING, frames.ACK, 0, b"12345678"),
    "settings": settings({frames.INITIAL_WINDOW_SIZE: 1}),
    "settings acknowledged": frame(frames.SETTINGS, frames.ACK, 0),
    "priority": frame(frames.PRIORITY, 0, 7, b"\0\0\0\0\0"),
    "goaway": frames.goaway(0, 0, ""),
    "unknown": frame(0xFA, 0, 0, b"x"),
    "empty data": frame(frames.DATA, 0, 1),
    "padding only": frame(frames.DATA, frames.PADDED, 1, b"\x05" + bytes(5)),
    "data on a closed stream": frame(frames.DATA, 0, 3, b"x"),
    "reset of a closed stream": rst_stream(3, frames.CANCEL),
    "window of a closed stream": window_update(3, 1),
    "trailers on a stream that was cut": frame(frames.HEADERS, TRAILERS, 5, END),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_frames_without_a_purpose_are_borne_so_often(flood: bytes) -> None:
    server = greeted()
    server.answers(open_stream(1) + open_stream(3) + rst_stream(3, frames.CANCEL))
    server.answers(open_stream(5) + window_update(5, 0))
    server.http2.forget_glitches()
    server.http2.receive(flood * MOST_GLITCHES)
    server.http2.forget_glitches()
    server.http2.receive(flood * MOST_GLITCHES)
    assert server.fault(flood) == CALM
    assert len(server.take()) <= 2 * len(flood) * (MOST_GLITCHES + 1) + 100


RESETS = {
    "rapid reset": lambda number: open_stream(number) + rst_stream(number, frames.CANCEL),
    # The client has the server reset the stream.
    "malformed": lambda number: open_stream(number, head=REQUEST + block([("te", "gzip")])),
    "window by nothing": lambda number: open_stream(number) + window_update(number, 0),
    "window too wide": lambda number: open_stream(number) + window_update(number, frames.LARGEST_WINDOW),
    "more than its length": lambda number: (
        open_stream(number, head=REQUEST + block([("content-length", "1")])) + data(number, b"xy")
    ),
}


@pytest.mark.parametrize("script", RESETS.values(), ids=RESETS)
def test_streams_that_are_reset_are_borne_so_often(script: object) -> None:
    server = greeted()
    server.http2.forget_glitches()
    assert callable(script)
    for index in range(MOST_GLITCHES):
        server.http2.receive(script(2 * index + 1))
        assert not server.http2.streams
    assert server.fault(script(2 * MOST_GLITCHES + 1)) == CALM


def test_streams_beyond_the_most_are_refused_and_borne_so_often() -> None:
    server = greeted()
    server.http2.receive(b"".join(open_stream(2 * index + 1) for index in range(MOST_STREAMS)))
    server.http2.forget_glitches()
    number = 2 * MOST_STREAMS + 1
    (refused,) = server.answers(open_stream(number))
    assert (refused.kind, refused.number) == (frames.RST_STREAM, frames.REFUSED_STREAM)
    assert len(server.http2.streams) == MOST_STREAMS
    server.http2.receive(rst_stream(1, frames.CANCEL) + open_stream(number + 2))
    assert len(server.http2.streams) == MOST_STREAMS
    assert (
        server.fault(b"".join(open_stream(number + 4 + 2 * index) for index in range(MOST_GLITCHES))) == CALM
    )


def test_a_header_block_ends_soon() -> None:
    for size in (0, 1, frames.SMALLEST_FRAME_LIMIT):
        server = greeted()
        server.http2.receive(frame(frames.HEADERS, 0, 1, REQUEST))
        assert server.fault(frame(frames.CONTINUATION, 0, 1, bytes(size)) * 17) == CALM


def test_window_updates_of_a_byte_send_no_more_than_they_let_and_are_borne_so_often() -> None:
    server = greeted()
    server.http2.receive(settings({frames.INITIAL_WINDOW_SIZE: 0}) + open_stream(1))
    server.streams[1].send(bytes(MOST_GLITCHES))
    server.http2.forget_glitches()
    sent = server.answers(ONE_BYTE * MOST_GLITCHES)
    assert [answer.payload for answer in sent] == [b"\0"] * MOST_GLITCHES
    assert not server.streams[1].stream.outgoing.queued
    server.streams[1].send(bytes(MOST_GLITCHES))
    assert server.fault(ONE_BYTE * MOST_GLITCHES) == CALM


def test_window_updates_that_answer_data_are_no_flood() -> None:
    """Python's h2 and Node's clients send two for each frame that they get."""
    server = greeted()
    server.http2.receive(open_stream(1))
    for _ in range(3 * MOST_GLITCHES):
        server.streams[1].send(b"response")
        server.http2.receive(window_update(0, 8) + window_update(1, 8))


def waiting(streams: int, window: int = 0) -> Server:
    """A server with responses on many streams that have this window each."""
    server = greeted()
    server.http2.receive(settings({frames.INITIAL_WINDOW_SIZE: window}))
    for index in range(streams):
        server.http2.receive(open_stream(2 * index + 1))
        server.streams[2 * index + 1].send(bytes(1_000))
    server.http2.forget_glitches()
    return server


def instructions(server: Server, raw: bytes) -> int:
    """How many lines of the server run for these bytes."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    gc.disable()  # others' callbacks of the collector would count
    sys.settrace(trace)  # pyright: ignore[reportArgumentType]
    try:
        server.http2.receive(raw)
    finally:
        sys.settrace(None)
        gc.enable()
    return count


COSTS = {
    "the window of the connection": window_update(0, 1),
    "the window of a stream": window_update(1, 1),
    "an initial window again": settings({frames.INITIAL_WINDOW_SIZE: 0}),
    "initial windows": settings({frames.INITIAL_WINDOW_SIZE: 0}) * 3,
    "a smaller initial window": settings({frames.INITIAL_WINDOW_SIZE: 0}),
}


@pytest.mark.parametrize("raw", COSTS.values(), ids=COSTS)
def test_what_a_frame_costs_does_not_depend_on_how_many_streams_wait(raw: bytes) -> None:
    few, many = (instructions(waiting(streams), raw) for streams in (2, MOST_STREAMS))
    assert many <= few + 5


def test_a_window_of_the_connection_looks_only_at_the_streams_that_it_lets_go_on() -> None:
    def cost(streams: int) -> int:
        server = waiting(streams, 500)
        server.http2.receive(window_update(0, 1))  # all that the default lets go has gone
        return instructions(server, window_update(0, 1_000))

    assert cost(MOST_STREAMS) <= cost(300) + 5


def test_initial_windows_that_let_many_streams_go_on_are_borne_so_often() -> None:
    server = waiting(MOST_STREAMS)
    wider = b"".join(settings({frames.INITIAL_WINDOW_SIZE: size}) for size in range(1, 30))
    assert server.fault(wider) == CALM


def test_responses_that_wait_have_a_bound_over_all_streams() -> None:
    server = greeted()
    server.http2.receive(b"".join(open_stream(number) for number in (1, 3, 5)))
    first, second, third = (server.streams[number] for number in (1, 3, 5))
    assert second.stream.writable
    first.send(bytes(2 * MOST_QUEUED))  # one response may be larger
    assert not second.stream.writable
    assert not third.stream.writable
    second.waiting = True
    server.http2.receive(window_update(1, 1 << 30) + window_update(0, MOST_QUEUED))
    assert second.waiting
    server.http2.receive(window_update(0, MOST_QUEUED // 2))
    assert not second.waiting
    assert second.stream.writable


def test_a_stream_without_a_window_is_told_when_it_has_one() -> None:
    server = greeted()
    server.http2.receive(settings({frames.INITIAL_WINDOW_SIZE: 0}) + open_stream(1) + open_stream(3))
    for number in (1, 3):
        assert not server.streams[number].stream.writable
        server.streams[number].waiting = True
    server.http2.receive(window_update(1, 1))
    assert (server.streams[1].waiting, server.streams[3].waiting) == (False, True)
    server.http2.receive(settings({frames.INITIAL_WINDOW_SIZE: 1}))
    assert not server.streams[3].waiting


@pytest.mark.parametrize("end", ["reset", "lost"])
def test_a_response_that_waited_makes_room_when_its_stream_ends(end: str) -> None:
    server = greeted()
    server.http2.receive(open_stream(1) + open_stream(3))
    server.streams[1].send(bytes(2 * MOST_QUEUED))
    assert not server.streams[3].stream.writable
    server.streams[3].waiting = True
    if end == "reset":
        server.http2.receive(rst_stream(1, frames.CANCEL))
        assert not server.streams[3].waiting
    else:
        server.http2.lost()
        assert server.streams[3].gone


def refuse(server: Server) -> Callable[[Stream, RequestHead], Told]:
    def accept(stream: Stream, head: RequestHead) -> Told:
        stream.end(OK)
        return Told(server, stream, head)

    return accept


def test_requests_that_come_to_nothing_are_borne_so_often() -> None:
    server = Server()
    server.http2 = Http2Connection(server._write, refuse(server))
    server.http2.receive(HELLO)
    server.http2.forget_glitches()
    opened = [open_stream(2 * index + 1, frames.END_STREAM) for index in range(MOST_GLITCHES + 1)]
    server.http2.receive(b"".join(opened[:-1]))
    assert server.fault(opened[-1]) == CALM


def test_pings_that_answer_data_are_no_flood() -> None:
    """grpc-go sends one for each response that it gets while none is under way."""
    server = greeted()
    server.http2.receive(open_stream(1) + window_update(1, 1 << 20) + window_update(0, 1 << 20))
    for _ in range(3 * MOST_GLITCHES):
        server.streams[1].send(b"response")
        server.http2.receive(frame(frames.PING, 0, 0, b"12345678"))
    assert server.fault(frame(frames.PING, 0, 0, b"12345678") * (2 * MOST_GLITCHES + 1)) == CALM


def test_a_large_field_of_the_table_again_and_again() -> None:
    bomb = Encoder().encode([("a", "x" * 3_900)], huffman=False) + b"\xbe" * 60_000
    tracemalloc.start()
    try:
        server = greeted()
        pieces = [bomb[at : at + 16_000] for at in range(0, len(bomb), 16_000)]
        raw = frame(frames.HEADERS, 0, 1, pieces[0])
        raw += b"".join(frame(frames.CONTINUATION, 0, 1, piece) for piece in pieces[1:-1])
        assert server.fault(raw + frame(frames.CONTINUATION, frames.END_HEADERS, 1, pieces[-1])) == CALM
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("bad", "code"),
    {
        "a table that is too large": (b"\x3f\xe2\x1f", frames.COMPRESSION_ERROR),
        "no such index": (b"\xff\x00", frames.COMPRESSION_ERROR),
        "index 0": (b"\x80", frames.COMPRESSION_ERROR),
        "a length that never ends": (b"\x00" + b"\xff" * 10_000, frames.COMPRESSION_ERROR),
        "a string that is cut": (b"\x00\x05ab", frames.COMPRESSION_ERROR),
        "huffman padding": (b"\x00\x81\x00\x00", frames.COMPRESSION_ERROR),
        "many empty fields": (b"\x01\x00" * 500, CALM),
        "a long value": (block([("a", "x" * 16_000), ("b", "x" * 330)]), CALM),
    }.values(),
)
def test_blocks_that_cannot_be_read_end_the_connection(bad: bytes, code: int) -> None:
    server = greeted()
    with pytest.raises(frames.ConnectionFault) as caught:
        server.http2.receive(open_stream(1, head=bad))
    assert caught.value.code == code
    assert len(caught.value.text) < 300
    assert not server.streams


def test_what_is_remembered_of_first_blocks_is_bounded() -> None:
    for index in range(1_000):
        HeaderDecoder().decode(REQUEST + block([("index", str(index))]))
    assert len(headers._remembered) <= headers._MOST_REMEMBERED


def test_a_remembered_first_block_fills_the_table_all_the_same() -> None:
    encoder = Encoder()
    fields = [(":method", "POST"), ("first", "one"), ("second", "two")]
    blocks = [encoder.encode(fields) for _ in range(3)]
    assert len(blocks[1]) < len(blocks[0])  # it refers to the table
    for _ in range(2):
        decoder = HeaderDecoder()
        for each in blocks:
            assert decoder.decode(each) == tuple((name.encode(), value.encode()) for name, value in fields)
