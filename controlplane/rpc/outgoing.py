"""What one HTTP/2 connection sends on its streams, within the client's flow control windows. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from . import frames
from .frames import ConnectionFault, StreamFault

_LARGEST_FRAME = 1 << 16  # more would keep other streams of the connection waiting


class OutgoingStream:
    """One stream's window and what waits for it."""

    __slots__ = ("ended", "number", "queue", "queued", "trailers", "window")

    def __init__(self, number: int, window: int) -> None:
        self.number = number
        self.window = window
        self.queue: deque[memoryview] = deque()
        self.queued = 0
        """Bytes that wait."""
        self.trailers: bytes | None = None
        self.ended = False


class Outgoing:
    """The sending side. Methods that widen a window return the numbers of streams that wait no more."""

    def __init__(self, write: Callable[[list[bytes]], None]) -> None:
        self._write = write
        self._window = frames.DEFAULT_WINDOW
        self._initial = frames.DEFAULT_WINDOW
        self._frame = frames.SMALLEST_FRAME_LIMIT
        self._streams: dict[int, OutgoingStream] = {}
        self._waiting: dict[OutgoingStream, None] = {}
        self._before_block = b""
        self.sent = False
        """Whether data has been sent since somebody made this false."""

    def stream(self, number: int) -> OutgoingStream:
        """Open a stream."""
        stream = self._streams[number] = OutgoingStream(number, self._initial)
        return stream

    def drop(self, stream: OutgoingStream) -> None:
        """Forget a stream and what waits."""
        self._streams.pop(stream.number, None)
        self._waiting.pop(stream, None)
        stream.queue.clear()
        stream.queued = 0

    def headers(self, stream: OutgoingStream, block: bytes, flags: int = frames.END_HEADERS) -> None:
        """Send a header block; it is smaller than any frame limit."""
        block, self._before_block = self._before_block + block, b""
        self._write([frames.frame(frames.HEADERS, flags, stream.number, block)])

    def data(self, stream: OutgoingStream, parts: Sequence[bytes]) -> None:
        """Send the parts, one after the other; what there is no window for waits."""
        size = sum(map(len, parts))
        if not stream.queued and size <= self._frame and size <= stream.window and size <= self._window:
            stream.window -= size
            self._window -= size
            self.sent = True
            self._write([frames.head(size, frames.DATA, 0, stream.number), *parts])
            return
        stream.queue.extend(memoryview(part) for part in parts if part)
        stream.queued += size
        self._flush(stream)

    def end(self, stream: OutgoingStream, trailers: bytes) -> bool:
        """Send a last header block after what waits. Whether it has been sent."""
        stream.trailers = trailers
        if not stream.queued:
            self._end(stream)
        return stream.ended

    def widen(self, increment: int) -> list[int]:
        """The client lets the connection send more. Raises ConnectionFault."""
        self._window += increment
        if self._window > frames.LARGEST_WINDOW:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "a window that is too wide")
        return self.flush()

    def widen_stream(self, stream: OutgoingStream, increment: int) -> list[int]:
        """The client lets a stream send more. Raises StreamFault."""
        stream.window += increment
        if stream.window > frames.LARGEST_WINDOW:
            raise StreamFault(frames.FLOW_CONTROL_ERROR, "a window that is too wide")
        return [stream.number] if stream in self._waiting and self._flush(stream) else []

    def setting(self, setting: int, value: int) -> None:
        """Follow a setting of the client (RFC 9113, section 6.5.2). Raises ConnectionFault.

        `flush` when it is acknowledged: the client counts by its new windows from there on.
        """
        if setting == frames.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes")
            difference, self._initial = value - self._initial, value
            for stream in self._streams.values():
                stream.window += difference
                if stream.window > frames.LARGEST_WINDOW:
                    raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "a window that is too wide")
        elif setting == frames.MAX_FRAME_SIZE:
            if not frames.SMALLEST_FRAME_LIMIT <= value <= frames.LARGEST_FRAME_LIMIT:
                raise ConnectionFault(frames.PROTOCOL_ERROR, f"a frame limit of {value} bytes")
            self._frame = min(value, _LARGEST_FRAME)
        elif setting == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
        elif setting == frames.HEADER_TABLE_SIZE and value < frames.DEFAULT_TABLE:
            # RFC 7541, section 4.2: the next block says the smaller size. No table is used, so that is 0.
            self._before_block = b"\x20"

    def flush(self) -> list[int]:
        """Send what there is window for now."""
        return [stream.number for stream in tuple(self._waiting) if self._flush(stream)]

    def _flush(self, stream: OutgoingStream) -> bool:
        """Send what there is window for. Whether nothing waits any more."""
        queue, out = stream.queue, list[bytes]()
        while stream.queued:
            size = min(stream.queued, stream.window, self._window, self._frame)
            if size <= 0:
                break
            stream.queued -= size
            stream.window -= size
            self._window -= size
            out.append(frames.head(size, frames.DATA, 0, stream.number))
            while size:
                part = queue[0]
                if len(part) <= size:
                    size -= len(part)
                    queue.popleft()
                    out.append(part)  # pyright: ignore[reportArgumentType]
                else:
                    out.append(part[:size])  # pyright: ignore[reportArgumentType]
                    queue[0] = part[size:]
                    size = 0
        if out:
            self.sent = True
            self._write(out)
        if stream.queued:
            self._waiting[stream] = None
            return False
        self._waiting.pop(stream, None)
        if stream.trailers is not None:
            self._end(stream)
        return True

    def _end(self, stream: OutgoingStream) -> None:
        stream.ended = True
        flags = frames.END_HEADERS | frames.END_STREAM
        self.headers(stream, stream.trailers or b"", flags)
