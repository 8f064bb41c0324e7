"""The frames of HTTP/2 on the wire: https://www.rfc-editor.org/rfc/rfc9113, sections 4, 6 and 7."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: Length (16 bits and 8 bits), type, flags, stream.
HEAD = struct.Struct(">HBBBL")
HEAD_SIZE = 9
STREAM_MASK = 0x7FFFFFFF

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
FLOW_CONTROL_ERROR = 0x3
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
ENHANCE_YOUR_CALM = 0xB

DEFAULT_WINDOW = 65_535
DEFAULT_TABLE = 4_096
LARGEST_WINDOW = (1 << 31) - 1
SMALLEST_FRAME_LIMIT = 16_384
LARGEST_FRAME_LIMIT = (1 << 24) - 1


class ConnectionFault(Exception):
    """The whole connection must end with this error code, because the peer broke the protocol or a bound.

    reason: a word for the metric of connections that were ended.
    """

    def __init__(self, code: int, text: str, reason: str = "protocol") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.reason = reason


class StreamFault(Exception):
    """The peer broke the protocol on one stream, which ends with this error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload of `length` bytes."""
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return head(len(payload), kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *item) for item in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    """An RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int, text: str) -> bytes:
    """A GOAWAY frame: streams up to `last` are served."""
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last, code) + text.encode()[:1024])


def without_padding(flags: int, payload: bytes) -> bytes:
    """The payload of a DATA or HEADERS frame. Raises ConnectionFault where the padding is longer than it."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "the padding is longer than the frame")
    return payload[1 : len(payload) - payload[0]]


def check_priority(number: int, payload: bytes) -> None:
    """Raises ConnectionFault or StreamFault for a PRIORITY frame that cannot be."""
    if number == 0:
        raise ConnectionFault(PROTOCOL_ERROR, "a priority for no stream")
    if len(payload) != 5:
        raise StreamFault(FRAME_SIZE_ERROR, "a priority of another size")
    if int.from_bytes(payload[:4], "big") & STREAM_MASK == number:
        raise StreamFault(PROTOCOL_ERROR, "the stream depends on itself")


def check(stream: bool, size: bool) -> None:
    """Raises ConnectionFault for a frame that is not on the right stream, or not of the right size."""
    if not stream:
        raise ConnectionFault(PROTOCOL_ERROR, "a frame on a stream where it has no place")
    if not size:
        raise ConnectionFault(FRAME_SIZE_ERROR, "a frame of a size that it cannot have")
