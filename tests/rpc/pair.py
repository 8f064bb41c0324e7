"""Both ends of an HTTP/2 connection without sockets: a server that notes what it is told, and raw frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from controlplane.rpc import frames
from controlplane.rpc.frames import ConnectionFault, frame
from controlplane.rpc.headers import RequestHead, block
from controlplane.rpc.http2 import Http2Connection
from controlplane.rpc.stream import Stream

REQUEST = block([(":method", "POST"), (":scheme", "http"), (":path", "/test"), (":authority", "here")])
HELLO = frames.PREFACE + frames.settings({})
OK = block([(":status", "200")])
END = block([("done", "yes")])


def open_stream(number: int, flags: int = 0, head: bytes = REQUEST) -> bytes:
    """HEADERS of a request."""
    return frame(frames.HEADERS, frames.END_HEADERS | flags, number, head)


def data(number: int, content: bytes, flags: int = 0) -> bytes:
    """DATA frames, as many as it takes."""
    step = frames.SMALLEST_FRAME_LIMIT
    pieces = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
    return b"".join(
        frame(frames.DATA, flags if at == len(pieces) - 1 else 0, number, piece)
        for at, piece in enumerate(pieces)
    )


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """What an RST_STREAM or WINDOW_UPDATE says."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def goaway(self) -> tuple[int, int]:
        """The last stream and the error code."""
        return self.number, int.from_bytes(self.payload[4:8], "big")


def parse(raw: bytes) -> list[Frame]:
    """Whole frames, and nothing else."""
    found, at = list[Frame](), 0
    while at < len(raw):
        high, low, kind, flags, stream = frames.HEAD.unpack_from(raw, at)
        at += frames.HEAD_SIZE
        length = high << 8 | low
        assert at + length <= len(raw), "a frame that is cut"
        found.append(Frame(kind, flags, stream, raw[at : at + length]))
        at += length
    return found


class Told:
    """Notes what it is told of one stream."""

    def __init__(self, server: Server, stream: Stream, head: RequestHead) -> None:
        self.server = server
        self.stream = stream
        self.received = bytearray()
        self.complete = False
        self.gone = False
        self.waiting = False  # for `drained`
        self.sent = 0
        self._note("open", head.path)

    def _note(self, what: str, detail: object = None) -> None:
        assert not self.gone, "told of a stream that is gone"
        self.server.events.append((what, self.stream.number, detail))

    def send(self, *parts: bytes) -> None:
        self.stream.send(*parts)
        self.sent += sum(map(len, parts))
        self.waiting = not self.stream.writable

    def data(self, payload: memoryview) -> None:
        self._note("data", bytes(payload))
        assert not self.complete
        self.received += payload

    def half_closed(self) -> None:
        self._note("half_closed")
        assert not self.complete
        self.complete = True

    def drained(self) -> None:
        assert self.stream.writable
        assert not self.gone
        self.waiting = False

    def closed(self) -> None:
        self._note("closed")
        self.gone = True


class Server:
    """A connection; what it writes is kept until it is taken."""

    def __init__(self, accept: Callable[[Stream, RequestHead], Told] | None = None) -> None:
        self.events: list[tuple[str, int, object]] = []
        self.streams: dict[int, Told] = {}
        self._written = bytearray()
        self.http2 = Http2Connection(self._write, accept or self._accept)

    def _write(self, parts: list[bytes]) -> None:
        for part in parts:
            self._written += part

    def _accept(self, stream: Stream, head: RequestHead) -> Told:
        told = self.streams[stream.number] = Told(self, stream, head)
        return told

    def take(self) -> bytes:
        """What has been written since the last time."""
        written = bytes(self._written)
        self._written.clear()
        return written

    def answers(self, raw: bytes) -> list[Frame]:
        """The frames that are written when these bytes arrive."""
        self.take()
        self.http2.receive(raw)
        return parse(self.take())

    def fault(self, raw: bytes) -> int:
        """The code of the fault that these bytes are."""
        with pytest.raises(ConnectionFault) as caught:
            self.http2.receive(raw)
        return caught.value.code


def greeted() -> Server:
    """A server whose client has said hello."""
    server = Server()
    server.answers(HELLO)
    return server
