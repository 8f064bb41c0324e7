"""Header blocks of one connection: put together from frames (RFC 9113, section 4.3) and decoded."""

from __future__ import annotations

from dataclasses import dataclass

from . import frames
from .frames import ConnectionFault
from .headers import Fields, HeaderDecoder

_LARGEST_BLOCK = 20 << 10  # more cannot be a list of the allowed size
_MOST_CONTINUATIONS = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A whole block. `end`: it ends the stream. `itself`: its priority depends on its own stream."""

    number: int
    fields: Fields
    end: bool
    itself: bool


class Blocks:
    """Gives a block when its last frame has come. Every method may raise ConnectionFault."""

    __slots__ = ("_continuations", "_decoder", "_end", "_itself", "_parts", "open")

    def __init__(self) -> None:
        self._decoder = HeaderDecoder()
        self._parts = bytearray()
        self._continuations = 0
        self._end = self._itself = False
        self.open = 0
        """The stream whose block is to be continued; 0 for none."""

    def headers(self, number: int, flags: int, payload: bytes) -> Block | None:
        """Take a HEADERS frame."""
        if not number & 1:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"no client opens stream {number}")
        payload = frames.without_padding(flags, payload)
        self._itself = False
        if flags & frames.WITH_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            self._itself = int.from_bytes(payload[:4], "big") & frames.STREAM_MASK == number
            payload = payload[5:]
        self._end = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            return Block(number, self._decoder.decode(payload), self._end, self._itself)
        self.open = number
        self._parts = bytearray(payload)
        self._continuations = 0
        return None

    def continuation(self, number: int, flags: int, payload: bytes) -> Block | None:
        """Take a CONTINUATION frame."""
        if not self.open:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"nothing to continue on stream {number}")
        self._parts += payload
        self._continuations += 1
        if len(self._parts) > _LARGEST_BLOCK or self._continuations > _MOST_CONTINUATIONS:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "the header block does not end", "headers")
        if not flags & frames.END_HEADERS:
            return None
        self.open = 0
        return Block(number, self._decoder.decode(bytes(self._parts)), self._end, self._itself)
