"""HTTP/2 with a client of another library, in any order of events, and with bytes that are anything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.rpc import frames
from controlplane.rpc.calls import Call
from controlplane.rpc.frames import ConnectionFault, frame, rst_stream, window_update
from controlplane.rpc.headers import RequestHead, block
from controlplane.rpc.http2 import Http2Connection
from controlplane.rpc.room import Room
from controlplane.rpc.stream import MOST_STREAMS, STREAM_WINDOW, Stream
from tests.rpc.pair import END, HELLO, OK, REQUEST, Server, data, open_stream, parse

PATTERN = bytes(range(251)) * 2_000
HEADERS = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a"), ("te", "trailers")]
WINDOWS = (0, 1, 100, 16_384, 65_535, 200_000)
Settings = h2.settings.SettingCodes


def piece(at: int, size: int) -> bytes:
    """Content by which its place in a stream is known."""
    return PATTERN[at % 251 :][:size]


def same(found: bytes | bytearray, size: int) -> bool:
    return len(found) == size and all(
        found[at : at + 100_000] == piece(at, min(size - at, 100_000)) for at in range(0, size, 100_000)
    )


class Pair:
    """A client that raises where the server breaks the protocol, and the server. Bytes are under way between
    them, and only whole frames go in.
    """

    def __init__(self) -> None:
        self.server = Server()
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.numbers: list[int] = []
        self.written: dict[int, int] = {}  # by the client
        self.read: dict[int, bytearray] = {}
        self.unread: dict[int, int] = {}
        self.ended: set[int] = set()  # by the server, as the client knows
        self.finished: set[int] = set()  # by the server
        self.completed: set[int] = set()  # by the client
        self.reset: set[int] = set()
        self.unanswered = 1  # SETTINGS

    # What may happen. `number` picks a stream, `size` says how much.

    def open(self, number: int, size: int) -> None:
        if len(self.numbers) < 6:
            new = self.client.get_next_available_stream_id()
            self.client.send_headers(new, HEADERS)
            self.numbers.append(new)
            self.written[new], self.read[new], self.unread[new] = 0, bytearray(), 0

    def write(self, number: int, size: int) -> None:
        if number in self.completed | self.reset:
            return
        left = min(size, self.client.local_flow_control_window(number))
        while left > 0:
            part = min(left, self.client.max_outbound_frame_size)
            self.client.send_data(number, piece(self.written[number], part))
            self.written[number] += part
            left -= part

    def complete(self, number: int, size: int) -> None:
        if number not in self.completed | self.reset:
            self.client.end_stream(number)
            self.completed.add(number)

    def cancel(self, number: int, size: int) -> None:
        if number not in self.reset | (self.completed & self.ended):
            self.client.reset_stream(number)
            self.reset.add(number)

    def respond(self, number: int, size: int) -> None:
        told = self.server.streams.get(number)
        if told is None or told.gone or number in self.finished:
            return
        if not told.sent:
            told.stream.send_headers(OK)
        content = piece(told.sent, size + 1)
        told.send(content[: size // 3], content[size // 3 :])

    def finish(self, number: int, size: int) -> None:
        told = self.server.streams.get(number)
        if told is not None and not told.gone and number not in self.finished:
            if not told.sent:
                told.stream.send_headers(OK)
            told.stream.end(END)
            self.finished.add(number)

    def pause(self, number: int, size: int) -> None:
        if number in self.server.streams:
            self.server.streams[number].stream.pause()

    def resume(self, number: int, size: int) -> None:
        if number in self.server.streams:
            self.server.streams[number].stream.resume()

    def widen(self, number: int, size: int) -> None:
        if number not in self.reset | self.ended:
            self.client.increment_flow_control_window(size + 1, number)

    def widen_all(self, number: int, size: int) -> None:
        self.client.increment_flow_control_window(size + 1)

    def take(self, number: int, size: int) -> None:
        taken = min(size, self.unread[number])
        if taken and number not in self.reset | self.ended:
            self.unread[number] -= taken
            self.client.acknowledge_received_data(taken, number)

    def initial_window(self, number: int, size: int) -> None:
        if not self.unanswered:  # the library takes an answer to one for the answer to all
            self.client.update_settings({Settings.INITIAL_WINDOW_SIZE: WINDOWS[size % len(WINDOWS)]})
            self.unanswered += 1

    def frame_limit(self, number: int, size: int) -> None:
        if not self.unanswered:
            self.client.update_settings(
                {Settings.MAX_FRAME_SIZE: 16_384 + size, Settings.HEADER_TABLE_SIZE: 0}
            )
            self.unanswered += 1

    def ping(self, number: int, size: int) -> None:
        self.client.ping(size.to_bytes(8, "big"))

    def upload(self, number: int, size: int) -> None:
        self.to_server += self.client.data_to_send()
        self.server.http2.receive(bytes(self.to_server[: size + 1]))
        del self.to_server[: size + 1]

    def download(self, number: int, size: int) -> None:
        self.to_client += self.server.take()
        for each in parse(bytes(self.to_client))[: size % 8 + 1]:
            raw = frame(each.kind, each.flags, each.stream, each.payload)
            del self.to_client[: len(raw)]
            for event in self.client.receive_data(raw):
                self._happened(event)

    def _happened(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            assert event.data is not None
            self.read[event.stream_id] += event.data
            self.unread[event.stream_id] += event.flow_controlled_length
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            assert event.error_code == frames.NO_ERROR
            self.reset.add(event.stream_id)
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.unanswered -= 1

    def check(self) -> None:
        """What holds at any time."""
        for told in self.server.streams.values():
            finished = told.stream.number in self.finished
            assert told.gone or finished or not (told.waiting and told.stream.writable)
            assert told.stream.held <= STREAM_WINDOW

    def settle(self) -> None:
        """Let everything arrive."""
        for number in self.server.streams:
            self.resume(number, 0)
        for _ in range(3):
            self._exchange()
            for number in self.numbers:
                self.widen(number, 5_000_000)
            self.widen_all(0, 20_000_000)
        self._exchange()

    def _exchange(self) -> None:
        while True:
            sent, written = self.client.data_to_send(), self.server.take()
            self.to_server += sent
            self.to_client += written
            if not self.to_server and not self.to_client:
                return
            self.upload(0, len(self.to_server))
            self.download(0, 7)


DEEDS = (
    *(Pair.open, Pair.write, Pair.complete, Pair.cancel, Pair.respond, Pair.finish, Pair.pause, Pair.resume),
    *(Pair.widen, Pair.widen_all, Pair.take, Pair.initial_window, Pair.frame_limit, Pair.ping),
)
MOVING = (Pair.open, Pair.upload, Pair.download, Pair.respond, Pair.write)
sizes = st.one_of(st.integers(0, 300), st.integers(1_000, 16_384), st.integers(0, 120_000))
steps = st.tuples(st.sampled_from(DEEDS + MOVING * 3), st.integers(0, 5), sizes)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=40, max_size=120))
def test_any_order_with_another_library(deeds: Sequence[tuple[object, int, int]]) -> None:
    pair = Pair()
    pair.open(0, 0)
    for deed, which, size in deeds:
        assert callable(deed)
        deed(pair, pair.numbers[which % len(pair.numbers)], size)
        pair.check()
    pair.settle()
    pair.check()
    for number in pair.numbers:
        told = pair.server.streams[number]
        assert same(told.received, len(told.received))
        if number not in pair.reset | pair.finished:
            assert len(told.received) == pair.written[number]
            assert told.complete == (number in pair.completed)
        if number not in pair.reset or number in pair.ended:
            assert same(pair.read[number], told.sent)
            assert (number in pair.ended) == (number in pair.finished)
        assert not told.stream.outgoing.queued
        assert not told.stream.held
        gone = number in pair.reset or number in pair.finished
        assert (number in pair.server.http2.streams) == (not gone)
    assert not pair.server.http2.outgoing._waiting
    assert set(pair.server.http2.outgoing._streams) == set(pair.server.http2.streams)


# Chunks.

_frames = st.one_of(
    st.builds(open_stream, st.integers(1, 9), st.sampled_from([0, frames.END_STREAM])),
    st.builds(data, st.integers(1, 9), st.binary(max_size=40), st.sampled_from([0, frames.END_STREAM])),
    st.builds(rst_stream, st.integers(1, 9), st.just(frames.CANCEL)),
    st.builds(window_update, st.integers(0, 9), st.integers(0, 1_000)),
    st.builds(frame, st.just(frames.PING), st.integers(0, 1), st.just(0), st.just(b"12345678")),
    st.builds(frame, st.integers(0, 12), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=20)),
    st.builds(
        lambda number, at: (
            frame(frames.HEADERS, 0, number, REQUEST[:at])
            + frame(frames.CONTINUATION, frames.END_HEADERS, number, REQUEST[at:])
        ),
        st.integers(1, 9),
        st.integers(0, len(REQUEST)),
    ),
)
conversations = st.lists(_frames, max_size=25).map(lambda parts: HELLO + open_stream(1) + b"".join(parts))


def cut(raw: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes in pieces, cut at these places."""
    at = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[begin:end] for begin, end in pairwise(at)]


def told(pieces: Sequence[bytes]) -> tuple[object, ...]:
    """Everything that becomes of these pieces."""
    server, fault = Server(), None
    for each in pieces:
        try:
            server.http2.receive(each)
        except ConnectionFault as error:
            fault = error.code, error.text
            break
    return server.events, fault, server.take()


@settings(max_examples=200, deadline=None)
@given(conversations, st.lists(st.integers(0, 10_000), max_size=10))
def test_chunks_make_no_difference(raw: bytes, places: Sequence[int]) -> None:
    whole = told([raw])
    assert told(cut(raw, places)) == whole
    assert told([raw[at : at + 1] for at in range(len(raw))]) == whole


# Garbage.


class _Echo:
    """A gRPC handler that pauses now and then."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.ends = 0

    def message(self, raw: bytes) -> None:
        self.call.pause()
        self.call.send(raw)
        self.call.resume()

    def half_closed(self) -> None:
        self.call.finish()

    def writable(self) -> None:
        self.call.resume()

    def closed(self, end: object) -> None:
        self.ends += 1


class _Later:
    def cancel(self) -> None:
        pass


CALL = block(
    {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/echo",
        "content-type": "application/grpc",
        "grpc-encoding": "gzip",
        "grpc-timeout": "1S",
    }.items()
)
TALK = HELLO + b"".join(
    open_stream(number, head=CALL)
    + data(number, b"\0\0\0\0\5hello\0\0\0\0\3abc")
    + window_update(number, 50)
    + data(number, b"\1\0\0\0\2xx", frames.END_STREAM)
    for number in (1, 3, 5)
)
_mutations = st.lists(
    st.tuples(st.integers(0, len(TALK) - 1), st.integers(0, 20), st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)


def mutated(changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    raw = TALK
    for at, without, instead in changes:
        raw = raw[:at] + instead + raw[at + without :]
    return raw


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(HELLO.__add__), _mutations.map(mutated)),
    st.lists(st.integers(0, 1_000), max_size=5),
)
def test_garbage_is_a_fault_of_the_connection_or_nothing(raw: bytes, places: Sequence[int]) -> None:
    written = 0
    handlers: list[_Echo] = []

    def serve(call: Call) -> _Echo:
        handlers.append(_Echo(call))
        return handlers[-1]

    def write(parts: list[bytes]) -> None:
        nonlocal written
        written += sum(map(len, parts))

    def accept(stream: Stream, head: RequestHead) -> Call:
        call = Call(stream, head, "peer", None, 1_000, Room("requests", 10_000, 10_000).share("", print))
        call.begin({"/echo": serve}, lambda seconds, what: _Later())
        return call

    http2 = Http2Connection(write, accept)
    try:
        for each in cut(raw, places):
            http2.receive(each)
    except ConnectionFault as fault:
        http2.farewell(fault.code, fault.text)
    assert len(http2._rest) <= frames.SMALLEST_FRAME_LIMIT + frames.HEAD_SIZE
    assert len(http2.streams) <= MOST_STREAMS
    assert written <= 2_000 + 20 * len(raw)
    http2.lost()
    assert [handler.ends for handler in handlers] == [1] * len(handlers)
