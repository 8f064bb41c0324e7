"""What the server sends over HTTP/2: windows, paused streams, the beginning and the end."""

from __future__ import annotations

import pytest

from controlplane.rpc import frames
from controlplane.rpc.frames import frame, rst_stream, settings, window_update
from controlplane.rpc.headers import RequestHead, block
from controlplane.rpc.stream import CONNECTION_WINDOW, STREAM_WINDOW, Stream
from tests.rpc.pair import HELLO, OK, REQUEST, Frame, Server, Told, data, greeted, open_stream, parse


def credited(answers: list[Frame], stream: int) -> int:
    """The bytes of window that these frames give."""
    return sum(each.number for each in answers if each.kind == frames.WINDOW_UPDATE and each.stream == stream)


def test_streams_share_the_window_of_the_connection() -> None:
    server = greeted()
    server.http2.receive(open_stream(1) + open_stream(3))
    for _ in range(4):
        server.streams[1].send(bytes(10_000))
        server.streams[3].send(bytes(10_000))
    assert sum(len(each.payload) for each in parse(server.take())) == frames.DEFAULT_WINDOW
    sent = server.answers(window_update(0, 80_000 - frames.DEFAULT_WINDOW))
    assert sum(len(each.payload) for each in sent) == 80_000 - frames.DEFAULT_WINDOW
    assert not server.streams[1].waiting
    assert not server.streams[3].waiting


def test_a_wider_initial_window_lets_go_what_waits_after_it_is_acknowledged() -> None:
    server = greeted()
    server.http2.receive(settings({frames.INITIAL_WINDOW_SIZE: 0}) + open_stream(1))
    server.streams[1].send(b"waits")
    assert server.streams[1].waiting
    answers = server.answers(settings({frames.INITIAL_WINDOW_SIZE: 6}))
    assert [(each.kind, each.payload) for each in answers] == [
        (frames.SETTINGS, b""),
        (frames.DATA, b"waits"),
    ]
    assert not server.streams[1].waiting


def test_a_smaller_table_is_agreed_to_in_the_next_block_alone() -> None:
    server = greeted()
    server.http2.receive(settings({frames.HEADER_TABLE_SIZE: 100}) + open_stream(1) + open_stream(3))
    server.take()
    for number in (1, 3):
        server.streams[number].stream.send_headers(OK)
    assert [each.payload for each in parse(server.take())] == [b"\x20" + OK, OK]


def test_a_paused_stream_holds_its_window_and_no_more() -> None:
    server = greeted()
    server.http2.receive(open_stream(1))
    server.streams[1].stream.pause()
    assert server.answers(data(1, bytes(STREAM_WINDOW))) == []
    (reset,) = server.answers(data(1, b"x"))
    assert (reset.kind, reset.number) == (frames.RST_STREAM, frames.FLOW_CONTROL_ERROR)
    assert server.streams[1].gone
    assert len(server.streams[1].received) == STREAM_WINDOW


def test_what_was_paused_is_credited_when_it_goes_on() -> None:
    server = greeted()
    server.http2.receive(open_stream(1))
    stream = server.streams[1].stream
    for _ in range(2 * CONNECTION_WINDOW // STREAM_WINDOW):
        stream.pause()
        assert server.answers(data(1, bytes(STREAM_WINDOW))) == []
        stream.resume()
        assert credited(parse(server.take()), 1) == STREAM_WINDOW
    assert len(server.streams[1].received) == 2 * CONNECTION_WINDOW


def test_paused_streams_hold_the_window_of_the_connection_and_no_more() -> None:
    server = greeted()
    for number in (1, 3, 5, 7, 9):
        server.http2.receive(open_stream(number))
        server.streams[number].stream.pause()
    for number in (1, 3, 5, 7):
        assert server.answers(data(number, bytes(STREAM_WINDOW))) == []
    assert server.fault(data(9, b"x")) == frames.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("ending", ["reset by the client", "ended by the server", "beyond its window"])
def test_what_a_stream_held_is_credited_to_the_connection_when_it_ends(ending: str) -> None:
    server, given, sent = greeted(), 0, 0
    for number in range(1, 41, 2):
        server.http2.forget_glitches()
        server.http2.receive(open_stream(number))
        server.streams[number].stream.pause()
        size = STREAM_WINDOW + (ending == "beyond its window")
        sent += size
        given += credited(server.answers(data(number, bytes(size))), 0)
        if ending == "reset by the client":
            server.http2.receive(rst_stream(number, frames.CANCEL))
        elif ending == "ended by the server":
            server.streams[number].stream.end(OK)
        given += credited(parse(server.take()), 0)
    assert sent - CONNECTION_WINDOW // 2 < given <= sent


def test_what_is_more_than_its_length_is_credited_to_the_connection() -> None:
    server, given, sent = greeted(), 0, 0
    for number in range(1, 1_001, 2):
        server.http2.forget_glitches()
        server.http2.receive(open_stream(number, head=REQUEST + block([("content-length", "1")])))
        given += credited(server.answers(data(number, bytes(16_000))), 0)
        sent += 16_000
    assert sent > CONNECTION_WINDOW
    assert sent - CONNECTION_WINDOW // 2 < given <= sent


@pytest.mark.parametrize("say", ["ping", "go_away", "farewell"])
def test_the_preface_of_the_server_comes_first_and_once(say: str) -> None:
    server = Server()
    said = getattr(server.http2 if say == "farewell" else server.http2.ends, say)
    said(*((frames.NO_ERROR, "") if say == "farewell" else ()))
    first, *others = parse(server.take())
    assert (first.kind, first.flags) == (frames.SETTINGS, 0)
    assert others
    assert [(each.kind, each.flags) for each in server.answers(HELLO)] == [(frames.SETTINGS, frames.ACK)]


def goodbye(server: Server) -> bytes:
    """What the client answers to the first GOAWAY."""
    server.take()
    server.http2.ends.go_away()
    leave, ping = parse(server.take())
    assert (leave.kind, leave.goaway) == (frames.GOAWAY, (frames.LARGEST_WINDOW, frames.NO_ERROR))
    assert ping.kind == frames.PING
    return frame(frames.PING, frames.ACK, 0, ping.payload)


def test_goaway_serves_what_was_under_way() -> None:
    server = greeted()
    server.http2.receive(open_stream(1))
    answer = goodbye(server)
    server.http2.receive(open_stream(3))
    (last,) = server.answers(answer)
    assert last.goaway == (3, frames.NO_ERROR)
    assert list(server.http2.streams) == [1, 3]
    (refused,) = server.answers(open_stream(5))
    assert (refused.kind, refused.number) == (frames.RST_STREAM, frames.REFUSED_STREAM)
    for number in (1, 3):
        assert not server.http2.departed
        server.streams[number].stream.end(OK)
    assert server.http2.departed
    assert not server.streams[1].gone


def test_goaway_never_allows_more_streams_than_before() -> None:
    server = greeted()
    server.http2.receive(open_stream(1))
    answer = goodbye(server)
    server.http2.receive(answer + open_stream(3))
    server.take()
    server.http2.ends.go_away()
    assert server.answers(answer) == []
    server.http2.farewell(frames.NO_ERROR, "")
    assert [each.goaway for each in parse(server.take())] == [(1, frames.NO_ERROR)]


def test_who_says_goodbye_unasked_goes_on() -> None:
    server = greeted()
    answer = goodbye(greeted())
    assert server.answers(answer + open_stream(1)) == []
    assert list(server.http2.streams) == [1]
    assert not server.http2.departed


def test_streams_of_a_lost_connection_are_told_once() -> None:
    server = greeted()
    server.http2.receive(open_stream(1) + open_stream(3) + rst_stream(3, frames.CANCEL) + open_stream(5))
    server.streams[5].stream.end(OK)
    server.http2.lost()
    server.http2.lost()
    assert [number for what, number, _ in server.events if what == "closed"] == [3, 1]


@pytest.mark.parametrize(
    ("complete", "kinds"),
    [(True, [frames.HEADERS]), (False, [frames.HEADERS, frames.RST_STREAM])],
    ids=["complete", "not complete"],
)
def test_a_request_is_cut_only_where_more_of_it_may_come(complete: bool, kinds: list[int]) -> None:
    def refuse(stream: Stream, head: RequestHead) -> Told:
        stream.end(OK)
        return Told(server, stream, head)

    server = Server(refuse)
    server.http2.receive(HELLO)
    answers = server.answers(open_stream(1, frames.END_STREAM if complete else 0))
    assert [answer.kind for answer in answers] == kinds
    assert [what for what, _, _ in server.events] == ["open"]


def test_an_unclogged_connection_tells_none_that_has_ended() -> None:
    class Ending(Told):
        def drained(self) -> None:
            super().drained()
            for told in server.streams.values():
                if told is not self and told.stream.number in server.http2.streams:
                    told.stream.end(OK)
                    told.gone = True

    def accept(stream: Stream, head: RequestHead) -> Told:
        told = server.streams[stream.number] = Ending(server, stream, head)
        return told

    server = Server(accept)
    server.http2.receive(HELLO + open_stream(1) + open_stream(3))
    server.http2.outgoing.clogged = True
    assert not server.streams[1].stream.writable
    server.http2.unclog()
    assert list(server.http2.streams) == [1]
