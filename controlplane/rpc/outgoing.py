"""What one HTTP/2 connection sends on its streams, within the client's flow control windows. No I/O.

Whatever a client sends costs in proportion to what it lets go: a stream that waits for its own window is not
looked at when the connection's window widens, and a change of the initial window is one addition.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from . import frames
from .backlog import Backlog, Waiting
from .frames import ConnectionFault, StreamFault

MOST_QUEUED = 1 << 20
"""Bytes that may wait on all streams of a connection before none is writable; one response may be larger."""

_SETTING = struct.Struct(">HL")
_LARGEST_FRAME = 1 << 16  # more would keep other streams of the connection waiting
_LEAST_ANSWERED = 1 << 10  # a frame of fewer bytes, cut short by a window, is nothing that a client answers
_MOST_AT_ONCE = 1 << 17  # bytes that are written before the socket is asked whether it takes more
_ANSWERS = 4  # a ping, and window updates of the stream and of the connection
_MOST_ANSWERS = 1_000


class OutgoingStream:
    """One stream's window, beyond the connection's initial one, and what waits for it."""

    __slots__ = ("credit", "ended", "number", "queue", "queued", "seen", "trailers")

    def __init__(self, number: int) -> None:
        self.number = number
        self.credit = 0
        self.queue: deque[memoryview] = deque()
        self.queued = 0
        """Bytes that wait."""
        self.seen: tuple[int, float] = (0, 0.0)
        """Bytes that waited when somebody looked, and since when there are as many."""
        self.trailers: bytes | None = None
        self.ended = False


class Outgoing:
    """The sending side. Methods that widen a window return the numbers of streams that wait no more."""

    def __init__(
        self,
        write: Callable[[list[bytes]], None],
        roused: Callable[[], None] = lambda: None,
        backlog: Backlog | None = None,
    ) -> None:
        """roused: see `waits`. backlog: what waits on all connections."""
        self.write = write
        self.waits = Waiting(backlog if backlog is not None else Backlog(), roused)
        """What waits here. Its `roused` tells that some of those that ask may be `released`."""
        self.sent = 0
        """Bytes of data that were written since the start."""
        self._window = frames.DEFAULT_WINDOW
        self._initial = frames.DEFAULT_WINDOW
        self._frame = frames.SMALLEST_FRAME_LIMIT
        self._streams: dict[int, OutgoingStream] = {}
        # With bytes that wait for the connection's window, or for its socket.
        self._waiting: dict[OutgoingStream, None] = {}
        self._shut: dict[OutgoingStream, None] = {}  # that wait for a window of their own
        self._asking: dict[OutgoingStream, None] = {}  # that wait until less is queued
        self._most_credit = 0  # no stream has more
        self._before_block = b""
        self._answers = 0
        self.clogged = False
        """Whether the socket takes nothing more."""

    def stream(self, number: int) -> OutgoingStream:
        """Open a stream."""
        stream = self._streams[number] = OutgoingStream(number)
        return stream

    def drop(self, stream: OutgoingStream) -> list[int]:
        """Forget a stream and what waits. Returns streams that are writable now."""
        self.forget(stream)
        return self.released() if self._asking else []

    def forget(self, stream: OutgoingStream) -> None:
        """Forget a stream and what waits."""
        self._streams.pop(stream.number, None)
        for those in (self._waiting, self._shut, self._asking):
            if those:
                those.pop(stream, None)
        if stream.queued:
            for part in stream.queue:
                self.waits.drop(part)
            stream.queue.clear()
            self.waits.taken(stream.queued)
            stream.queued = 0

    def stuck(self, now: float, patience: float) -> Iterator[OutgoingStream]:
        """Streams of which nothing has left for so long. To be asked now and then."""
        for stream in (*self._waiting, *self._shut):
            if not stream.queued:
                continue
            if stream.queued != stream.seen[0]:
                stream.seen = stream.queued, now
            elif now - stream.seen[1] > patience:
                yield stream

    def writable(self, stream: OutgoingStream) -> bool:
        """Whether more may be sent without making a long queue. If not, the stream is told when it may."""
        if stream.queued:
            return False
        if self._initial + stream.credit <= 0:
            self._shut[stream] = None
            return False
        if self.clogged or self.waits.size >= MOST_QUEUED:
            self._asking[stream] = None
            return False
        if self.waits.full:
            self._asking[stream] = None
            self.waits.ask()
            return False
        return True

    def headers(self, stream: OutgoingStream, block: bytes, flags: int = frames.END_HEADERS) -> None:
        """Send a header block; it is smaller than any frame limit."""
        block, self._before_block = self._before_block + block, b""
        self.write([frames.frame(frames.HEADERS, flags, stream.number, block)])

    def data(self, stream: OutgoingStream, parts: Sequence[bytes]) -> None:
        """Send the parts, one after the other; what there is no window for waits."""
        size = sum(map(len, parts))
        if (
            not stream.queued
            and not self.clogged
            and size <= self._frame
            and size <= self._initial + stream.credit
            and size <= self._window
        ):
            stream.credit -= size
            self._window -= size
            self.sent += size
            if self._answers < _MOST_ANSWERS:
                self._answers += _ANSWERS
            self.write([frames.head(size, frames.DATA, 0, stream.number), *parts])
            return
        parts = [part for part in parts if part]
        stream.queue.extend(map(memoryview, parts))
        stream.queued += size
        self.waits.add(parts, size)
        self._flush(stream)

    def end(self, stream: OutgoingStream, trailers: bytes) -> bool:
        """Send a last header block after what waits. Whether it has been sent."""
        stream.trailers = trailers
        if not stream.queued:
            self._end(stream)
        return stream.ended

    def answered(self) -> bool:
        """Whether a ping or a window update may be an answer to data; each data frame allows a few."""
        if self._answers:
            self._answers -= 1
            return True
        return False

    def widen(self, increment: int) -> list[int]:
        """The client lets the connection send more. Raises ConnectionFault."""
        self._window += increment
        if self._window > frames.LARGEST_WINDOW:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "a window that is too wide")
        return self._go_on() + self.released()

    def unclog(self) -> list[int]:
        """The socket takes more."""
        self.clogged = False
        return self._go_on() + self.released()

    def _go_on(self) -> list[int]:
        done: list[int] = []
        while self._waiting and self._window > 0 and not self.clogged:
            stream = next(iter(self._waiting))
            if self._flush(stream):
                done.append(stream.number)
        return done

    def widen_stream(self, stream: OutgoingStream, increment: int) -> list[int]:
        """The client lets a stream send more. Raises StreamFault."""
        stream.credit += increment
        if self._initial + stream.credit > frames.LARGEST_WINDOW:
            raise StreamFault(frames.FLOW_CONTROL_ERROR, "a window that is too wide")
        self._most_credit = max(self._most_credit, stream.credit)
        return self._opened([stream]) + self.released() if stream in self._shut else []

    def follow(self, settings: bytes) -> bool:
        """Follow the settings of a frame (RFC 9113, section 6.5.2). Whether the initial window is wider now.

        Then `opened` when they are acknowledged: the client counts by its new windows from there on. Raises
        ConnectionFault.
        """
        before = self._initial
        for setting, value in _SETTING.iter_unpack(settings):
            self._setting(setting, value)
        return self._initial > before

    def _setting(self, setting: int, value: int) -> None:
        if setting == frames.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes")
            if value + self._most_credit > frames.LARGEST_WINDOW:
                self._most_credit = max((stream.credit for stream in self._streams.values()), default=0)
                if value + self._most_credit > frames.LARGEST_WINDOW:
                    raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "a window that is too wide")
            self._initial = value
        elif setting == frames.MAX_FRAME_SIZE:
            if not frames.SMALLEST_FRAME_LIMIT <= value <= frames.LARGEST_FRAME_LIMIT:
                raise ConnectionFault(frames.PROTOCOL_ERROR, f"a frame limit of {value} bytes")
            self._frame = min(value, _LARGEST_FRAME)
        elif setting == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
        elif setting == frames.HEADER_TABLE_SIZE and value < frames.DEFAULT_TABLE:
            # RFC 7541, section 4.2: the next block says the smaller size. No table is used, so that is 0.
            self._before_block = b"\x20"

    @property
    def queued(self) -> int:
        """Bytes that wait, of all streams."""
        return self.waits.size

    @property
    def shut(self) -> int:
        """How many streams wait for a window of their own; what `opened` costs."""
        return len(self._shut)

    def opened(self) -> list[int]:
        """The initial window is wider than it was."""
        return self._opened(list(self._shut)) + self.released()

    def released(self) -> list[int]:
        """Streams that wait until less is queued, where that is so."""
        if not self._asking or self.clogged or self.waits.size > MOST_QUEUED // 2:
            return []
        if self.waits.full:
            self.waits.ask()
            return []
        asking, self._asking = self._asking, {}
        return [stream.number for stream in asking]

    def _opened(self, streams: Sequence[OutgoingStream]) -> list[int]:
        """These waited for their own windows. Those that do no more, and have nothing left to send."""
        done: list[int] = []
        for stream in streams:
            if self._initial + stream.credit > 0:
                del self._shut[stream]
                if not stream.queued or self._flush(stream):
                    done.append(stream.number)
        return done

    def _flush(self, stream: OutgoingStream) -> bool:
        """Send what there is window for. Whether nothing waits any more."""
        queue, out, answers = stream.queue, list[bytes](), 0
        window, before = self._initial + stream.credit, stream.queued
        written = 0
        while stream.queued and not self.clogged:
            size = min(stream.queued, window, self._window, self._frame)
            if size <= 0:
                break
            stream.queued -= size
            written += size
            window -= size
            self._window -= size
            answers += _ANSWERS if size >= _LEAST_ANSWERED or not stream.queued else 0
            out.append(frames.head(size, frames.DATA, 0, stream.number))
            while size:
                part = queue[0]
                if len(part) <= size:
                    size -= len(part)
                    queue.popleft()
                    self.waits.drop(part)
                    out.append(part)  # pyright: ignore[reportArgumentType]
                else:
                    out.append(part[:size])  # pyright: ignore[reportArgumentType]
                    queue[0] = part[size:]
                    size = 0
            if written >= _MOST_AT_ONCE:
                self.write(out)
                out, written = [], 0
        stream.credit = window - self._initial
        if stream.queued != before:
            self.waits.taken(before - stream.queued)
            self.sent += before - stream.queued
            self._answers = min(self._answers + answers, _MOST_ANSWERS)
        if out:
            self.write(out)
        if stream.queued:
            if window > 0:
                self._waiting[stream] = None
            else:
                self._waiting.pop(stream, None)
                self._shut[stream] = None
            return False
        self._waiting.pop(stream, None)
        if stream.trailers is not None:
            self._end(stream)
        return True

    def _end(self, stream: OutgoingStream) -> None:
        stream.ended = True
        flags = frames.END_HEADERS | frames.END_STREAM
        self.headers(stream, stream.trailers or b"", flags)
