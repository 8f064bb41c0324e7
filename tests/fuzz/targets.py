"""What is fuzzed: bytes of a client against HTTP/2, the calls on it, and the code of headers.

A target raises for any input only what is a mistake. `TARGETS` has them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import grpc
from hpack import Decoder
from hpack.exceptions import OversizedHeaderListError

from controlplane.rpc import frames
from controlplane.rpc.calls import Call
from controlplane.rpc.frames import ConnectionFault, StreamFault
from controlplane.rpc.headers import LARGEST_LIST, HeaderDecoder, RequestHead, block, check_trailers, request
from controlplane.rpc.http2 import Http2Connection
from controlplane.rpc.room import Room
from controlplane.rpc.stream import Stream
from controlplane.rpc.transport import Call as AnyCall
from controlplane.rpc.transport import CallEnd

HELLO = frames.PREFACE + frames.settings({})
LARGEST = 100_000  # bytes of a request
ROOM = 150_000
PATH = "/t/E"
FAILED = (grpc.StatusCode.INTERNAL, "the server failed; its log says why")


class Never:
    """A timer that never comes."""

    def cancel(self) -> None:
        pass


class Echo:
    """Does what the first byte of a request says."""

    def __init__(self, call: AnyCall, told: Conversation) -> None:
        self.call = call
        self.told = told
        self.ends = 0

    def message(self, raw: bytes) -> None:
        assert not self.ends
        self.told.events.append(raw)
        kind = raw[:1]
        if kind == b"p":
            self.call.pause()
            self.told.paused.append(self.call)
        elif kind == b"r":
            paused, self.told.paused = self.told.paused, []
            for call in paused:
                call.resume()
        elif kind == b"f":
            self.call.finish(grpc.StatusCode.ABORTED, raw[1:].decode(errors="replace"))
        elif kind == b"m":
            self.call.send(repr(sorted(self.call.metadata)).encode())
        elif kind == b"b":
            self.call.send(bytes(70_000), raw)
        else:
            self.call.send(raw)

    def half_closed(self) -> None:
        self.told.events.append("half closed")
        self.call.finish()

    def writable(self) -> None:
        assert not self.ends
        assert self.call.writable

    def closed(self, end: CallEnd | None) -> None:
        self.ends += 1
        self.told.events.append(end and (end.code, end.text))


class Conversation:
    """One connection, from its first byte until it is lost."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.paused: list[AnyCall] = []
        self.written = bytearray()
        self._handlers: list[Echo] = []
        self._room = Room("requests", ROOM, ROOM)
        self._share = self._room.share("127.0.0.1", self._never)
        self._http2 = Http2Connection(self._write, self._accept)

    def hear(self, pieces: list[bytes]) -> None:
        """Take what a client says, and then its leaving."""
        try:
            for piece in pieces:
                self._http2.receive(piece)
        except ConnectionFault as fault:
            self._http2.farewell(fault.code, fault.text)
        self._http2.lost()
        for call in self.paused:
            call.resume()  # which is late
        assert not self._http2.streams
        assert all(handler.ends == 1 for handler in self._handlers)
        assert not self._room.taken
        assert FAILED not in self.events, "something else than CallEnd was raised for a call"
        self._whole_frames()

    def _never(self, reason: str) -> None:
        raise AssertionError(f"the only connection has to make room for itself: {reason}")

    def _write(self, parts: list[bytes]) -> None:
        for part in parts:
            self.written += part

    def _accept(self, stream: Stream, head: RequestHead) -> Call:
        call = Call(stream, head, "ipv4:127.0.0.1:1", None, LARGEST, self._share)
        call.begin({PATH: self._serve}, lambda seconds, what: Never())
        return call

    def _serve(self, call: AnyCall) -> Echo:
        self._handlers.append(Echo(call, self))
        return self._handlers[-1]

    def _whole_frames(self) -> None:
        at = 0
        while at < len(self.written):
            high, low, *_ = frames.HEAD.unpack_from(self.written, at)
            at += frames.HEAD_SIZE + (high << 8 | low)
        assert at == len(self.written)


def connection(raw: bytes) -> None:
    """However the bytes are cut, the same is heard and said. The first byte says how they are cut."""
    if not raw:
        return
    step = 1 + (raw[0] >> 1)
    said = (HELLO if raw[0] & 1 else b"") + raw[1:]
    whole, cut = Conversation(), Conversation()
    whole.hear([said])
    cut.hear([said[at : at + step] for at in range(0, len(said), step)])
    assert whole.events == cut.events
    assert whole.written == cut.written


def headers(raw: bytes) -> None:
    """Two header blocks, the first of the length that the first byte says, against the library's decoder."""
    if not raw:
        return
    decoder, library = HeaderDecoder(), Decoder(LARGEST_LIST)
    for part in (raw[1 : 1 + raw[0]], raw[1 + raw[0] :]):
        try:
            fields = decoder.decode(part)
        except ConnectionFault:
            return
        try:
            assert [tuple(each) for each in library.decode(part, raw=True)] == list(fields)
        except OversizedHeaderListError as error:
            raise AssertionError("more than is allowed was taken") from error
        try:
            head = request(fields)
        except StreamFault:
            pass
        else:
            assert decode_anew(head) == head
        with suppress(StreamFault):
            check_trailers(fields)


def decode_anew(head: RequestHead) -> RequestHead:
    """The request after it was encoded and decoded."""
    pseudo = [(":method", head.method), (":scheme", "http"), (":path", head.path)]
    if head.authority:
        pseudo.append((":authority", head.authority))
    # Lines that were joined are one line now, which only `te` must not be.
    fields = {**head.fields, "te": "trailers"} if "te" in head.fields else head.fields
    encoded = block([*pseudo, *fields.items()])
    again = request(tuple((bytes(n), bytes(v)) for n, v in Decoder(1 << 20).decode(encoded, raw=True)))
    return replace(again, fields={**again.fields, **{k: v for k, v in head.fields.items() if k == "te"}})


TARGETS: dict[str, Callable[[bytes], None]] = {"connection": connection, "headers": headers}
