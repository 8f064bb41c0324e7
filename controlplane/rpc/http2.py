"""The server's side of one HTTP/2 connection, without I/O: https://www.rfc-editor.org/rfc/rfc9113.

Bytes that arrive go into `receive`; what is to be sent goes to `write`. Both flow controls are kept in both
directions: a stream that nobody reads is not credited, and what the client has no window for waits in the
stream. A client that makes work without a purpose (pings, resets, frames on closed streams) is cut off.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from . import frames
from .backlog import Backlog
from .blocks import Block, Blocks
from .ends import Ends
from .frames import ConnectionFault, StreamFault
from .headers import RequestHead, check_trailers, request
from .outgoing import Outgoing
from .stream import CONNECTION_WINDOW, MOST_STREAMS, Receiver, Stream

MOST_GLITCHES = 1_000
"""Frames without a purpose between two calls of `forget_glitches` before the client is cut off."""

_LARGEST_FRAME = frames.SMALLEST_FRAME_LIMIT
_SETTINGS_A_GLITCH = 96  # bytes: there are six settings
_STREAMS_A_GLITCH = 16  # that a wider initial window may let go on

_SETTINGS_ACK = frames.frame(frames.SETTINGS, frames.ACK, 0)


def _nothing(*_: object) -> Any:
    """What a connection that is gone still does."""


class Http2Connection:
    """One connection. `accept` is called with each new stream and its request and gives its receiver.
    `served` is called when data are first sent on a stream. backlog: what waits on all connections.

    It raises nothing; a stream that it has ended gets no calls. `write` takes parts that belong together.
    """

    def __init__(
        self,
        write: Callable[[list[bytes]], None],
        accept: Callable[[Stream, RequestHead], Receiver],
        served: Callable[[], None] = lambda: None,
        backlog: Backlog | None = None,
    ) -> None:
        self._write = write
        self._accept = accept
        self._served = served
        self._until = math.inf
        self._behind: dict[Stream, None] = {}
        self._rest = b""
        self._prefaced = False
        self.greeted = False
        """Whether the client has sent its preface and its settings."""
        self._blocks = Blocks()
        self._highest = 0
        self._ended: deque[int] = deque(maxlen=64)
        self._cut: deque[int] = deque(maxlen=64)
        self._window = CONNECTION_WINDOW
        self._unread = 0
        self._glitches = 0
        self.streams: dict[int, Stream] = {}
        self.ends = Ends(write)
        self.outgoing = Outgoing(write, lambda: self._flushed(self.outgoing.released()), backlog)

    # The shell's side.

    def receive(self, data: bytes = b"", until: float = math.inf) -> bool:
        """Take what has arrived, until `time.perf_counter()`. Whether all was taken; if not, call it again.

        Raises ConnectionFault: send `farewell` and close.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        self._until = until
        while self._behind:
            stream = next(iter(self._behind))
            del self._behind[stream]
            stream.receiver.go_on()
            if self.late():
                self._rest = data
                return False
        at, size = 0, len(data)
        if not self._prefaced:
            if not frames.PREFACE.startswith(data[:24]):
                raise ConnectionFault(frames.PROTOCOL_ERROR, "this is not HTTP/2")
            if size < len(frames.PREFACE):
                self._rest = data
                return True
            self._prefaced = True
            # Now that there is somebody: it leaves with what answers this.
            self.ends.hello()
            at = len(frames.PREFACE)
        unpack, limit = frames.HEAD.unpack_from, _LARGEST_FRAME
        outgoing, clock = self.outgoing, time.perf_counter
        while size - at >= frames.HEAD_SIZE:
            high, low, kind, flags, number = unpack(data, at)
            length = high << 8 | low
            if length > limit:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            begin = at + frames.HEAD_SIZE
            at = begin + length
            if at > size:
                at = begin - frames.HEAD_SIZE
                break
            number &= frames.STREAM_MASK
            if self._blocks.open and (kind != frames.CONTINUATION or number != self._blocks.open):
                raise ConnectionFault(frames.PROTOCOL_ERROR, "a header block was not continued")
            if not self.greeted:
                if kind != frames.SETTINGS or flags & frames.ACK:
                    raise ConnectionFault(frames.PROTOCOL_ERROR, "the first frame is not SETTINGS")
                self.greeted = True
            try:
                if kind == frames.DATA:
                    self._data(number, flags, data, begin, at)
                else:
                    self._other(kind, number, flags, data[begin:at])
            except StreamFault as fault:
                self._fault(number, fault)
            if self._glitches > MOST_GLITCHES:
                raise ConnectionFault(
                    frames.ENHANCE_YOUR_CALM, "too many frames without a purpose", "glitches"
                )
            if outgoing.clogged or clock() > until:
                break
        self._rest = data[at:]
        return not self._behind and (len(self._rest) < frames.HEAD_SIZE or not self.late())

    @property
    def left(self) -> int:
        """Bytes that have arrived and are not taken."""
        return len(self._rest)

    def late(self) -> bool:
        """Whether it is the turn of others, or nothing more can be answered."""
        return self.outgoing.clogged or time.perf_counter() > self._until

    def farewell(self, code: int, text: str) -> None:
        """The last words before the connection closes."""
        self.ends.farewell(self._highest, code, text)

    def lost(self, until: float = math.inf) -> bool:
        """The connection is gone: tell its streams, until `time.perf_counter()`. Whether all were told."""
        self._behind.clear()
        self._rest = b""
        while self.streams:
            number = next(iter(self.streams))
            stream = self.streams.pop(number)
            self.outgoing.forget(stream.outgoing)
            stream.receiver.closed()
            stream.over()
            if self.streams and time.perf_counter() > until:
                return False
        self.outgoing.waits.close()
        # So that nothing is left in a circle with its socket.
        self._write = self.outgoing.write = self.ends.write = self._accept = self._served = _nothing
        return True

    def unclog(self) -> None:
        """The socket has room again."""
        self._flushed(self.outgoing.unclog())

    def forget_glitches(self) -> None:
        """To be called now and then: the limit is for such a span of time."""
        self._glitches = 0

    @property
    def departed(self) -> bool:
        """Whether the client knows that it is to leave, and has no stream open any more."""
        return self.ends.said and not self.streams

    # The streams' side.

    def behind(self, stream: Stream) -> None:
        """The receiver has not handled all that it was given: it goes on before anything else is taken."""
        self._behind[stream] = None

    def served(self) -> None:
        """Data are sent on a stream for the first time."""
        self._served()

    def credit(self, stream: Stream | None, size: int) -> None:
        """Count bytes as read and let the client send more when half a window is read (section 5.2.1)."""
        self._unread += size
        if self._unread >= CONNECTION_WINDOW // 2:
            self._write([frames.window_update(0, self._unread)])
            self._window += self._unread
            self._unread = 0
        if stream is not None and (increment := stream.credit(size)):
            self._write([frames.window_update(stream.number, increment)])

    def ended(self, stream: Stream) -> None:
        """All of a response is sent; whatever else the client sends is not wanted (section 8.1)."""
        if not stream.answered:
            self._glitches += 1
        self._forget(stream)
        if not stream.half_closed:
            self._cut.append(stream.number)
            self._write([frames.rst_stream(stream.number, frames.NO_ERROR)])
        stream.over()

    def reset(self, stream: Stream, code: int) -> None:
        """End a stream at once."""
        self._forget(stream)
        self._cut.append(stream.number)
        self._write([frames.rst_stream(stream.number, code)])

    def _forget(self, stream: Stream) -> None:
        if self.streams.pop(stream.number, None) is not None:
            self._ended.append(stream.number)
        self._flushed(self.outgoing.drop(stream.outgoing))
        self._behind.pop(stream, None)
        held, stream.held = stream.held, 0
        self.credit(None, held)

    # Frames.

    def _fault(self, number: int, fault: StreamFault) -> None:
        self._glitch()
        stream = self.streams.get(number)
        if stream is None:
            self._cut.append(number)
            self._write([frames.rst_stream(number, fault.code)])
            return
        self.reset(stream, fault.code)
        stream.receiver.closed()
        stream.over()

    def _data(self, number: int, flags: int, data: bytes, begin: int, end: int) -> None:
        size = end - begin
        self._window -= size
        if self._window < 0:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "more data than the connection's window")
        stream = self.streams.get(number)
        if stream is None or stream.half_closed:
            self._not_idle(number)
            self.credit(None, size)
            if number in self._cut:
                self._glitch()  # it may have been under way when the stream was cut
                return
            raise StreamFault(frames.STREAM_CLOSED, "data on a closed stream")
        payload = memoryview(data)[begin:end]
        if flags & frames.PADDED:
            payload = memoryview(frames.without_padding(flags, data[begin:end]))
        if not payload and not flags & frames.END_STREAM:
            self._glitch()
        stream.took(size, len(payload))
        if payload:
            stream.receiver.data(payload)
        if flags & frames.END_STREAM and number in self.streams:
            self._half_close(stream)

    def _half_close(self, stream: Stream) -> None:
        stream.complete()
        stream.receiver.half_closed()

    def _other(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        if kind == frames.HEADERS:
            self._block(self._blocks.headers(number, flags, payload))
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == frames.SETTINGS:
            self._settings(number, flags, payload)
        elif kind == frames.PING:
            self._ping(number, flags, payload)
        elif kind == frames.RST_STREAM:
            self._rst_stream(number, payload)
        elif kind == frames.CONTINUATION:
            self._block(self._blocks.continuation(number, flags, payload))
        elif kind == frames.PRIORITY:
            frames.check_priority(number, payload)
            self._glitch()
        elif kind == frames.GOAWAY:
            frames.check(number == 0, len(payload) >= 8)
            self._glitch()
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "a client promises nothing")
        else:
            self._glitch()

    def _block(self, block: Block | None) -> None:
        if block is None:
            return
        stream = self.streams.get(block.number)
        if stream is None:
            self._open(block)
        elif stream.half_closed:
            raise StreamFault(frames.STREAM_CLOSED, "headers after the end of the request")
        elif not block.end:
            raise StreamFault(frames.PROTOCOL_ERROR, "trailers that do not end the stream")
        else:
            check_trailers(block.fields)
            self._half_close(stream)

    def _open(self, block: Block) -> None:
        number = block.number
        if number <= self._highest:
            if number in self._cut:
                self._glitch()
                return
            if number in self._ended:
                raise ConnectionFault(frames.STREAM_CLOSED, f"headers on stream {number}, which is closed")
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"stream {number} after stream {self._highest}")
        self._highest = number
        if block.itself:
            raise StreamFault(frames.PROTOCOL_ERROR, "the stream depends on itself")
        if len(self.streams) >= MOST_STREAMS or number > self.ends.last_allowed:
            raise StreamFault(frames.REFUSED_STREAM, "too many streams, or none any more")
        head = request(block.fields)
        stream = self.streams[number] = Stream(self, number, head.content_length)
        stream.half_closed = block.end  # an answer at once needs no reset after it
        receiver = self._accept(stream, head)
        if number not in self.streams:
            return
        stream.receiver = receiver
        if block.end and number in self.streams:
            self._half_close(stream)

    def _window_update(self, number: int, payload: bytes) -> None:
        frames.check(True, len(payload) == 4)
        increment = int.from_bytes(payload, "big") & frames.STREAM_MASK
        if number == 0:
            if not increment:
                raise ConnectionFault(frames.PROTOCOL_ERROR, "a window update by nothing")
            self._answer()
            self._flushed(self.outgoing.widen(increment))
            return
        stream = self.streams.get(number)
        if stream is None:
            self._not_idle(number)
            self._glitch()
            return
        if not increment:
            raise StreamFault(frames.PROTOCOL_ERROR, "a window update by nothing")
        going = self.outgoing.widen_stream(stream.outgoing, increment)
        self._answer()
        self._flushed(going)

    def _settings(self, number: int, flags: int, payload: bytes) -> None:
        acknowledged = bool(flags & frames.ACK)
        frames.check(number == 0, len(payload) % 6 == 0 and not (acknowledged and payload))
        self._glitch()
        if acknowledged:
            return
        self._glitches += len(payload) // _SETTINGS_A_GLITCH
        wider = self.outgoing.follow(payload)
        self._write([_SETTINGS_ACK])
        if wider:
            self._glitches += self.outgoing.shut // _STREAMS_A_GLITCH
            self._flushed(self.outgoing.opened())

    def _flushed(self, numbers: Iterable[int]) -> None:
        """Streams that wait for nothing any more."""
        for number in numbers:
            stream = self.streams.get(number)
            if stream is None:
                continue
            if stream.outgoing.ended:
                self.ended(stream)
            elif stream.writable:
                stream.receiver.drained()

    def _ping(self, number: int, flags: int, payload: bytes) -> None:
        frames.check(number == 0, len(payload) == 8)
        self._answer()  # grpc-go measures the round trip with a ping for what it gets
        if not flags & frames.ACK:
            self._write([frames.frame(frames.PING, frames.ACK, 0, payload)])
        else:
            self.ends.answered(payload, self._highest)

    def _rst_stream(self, number: int, payload: bytes) -> None:
        frames.check(number != 0, len(payload) == 4)
        self._not_idle(number)
        self._glitch()
        stream = self.streams.get(number)
        if stream is not None:
            self._forget(stream)
            stream.receiver.closed()
            stream.over()

    def _not_idle(self, number: int) -> None:
        if not number & 1 or number > self._highest:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"stream {number} was never opened")

    def _answer(self) -> None:
        """A frame that has a purpose where data was sent."""
        if not self.outgoing.answered():
            self._glitch()

    def _glitch(self) -> None:
        self._glitches += 1
