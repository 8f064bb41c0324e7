"""Where fuzzing begins: conversations that reach into the corners, and inputs that once were mistakes."""

from __future__ import annotations

from hpack import Encoder

from controlplane.rpc import frames
from controlplane.rpc.frames import frame
from controlplane.rpc.headers import block

_HEAD = ((":method", "POST"), (":scheme", "http"), (":path", "/t/E"), (":authority", "a"))
_GRPC = (*_HEAD, ("te", "trailers"), ("content-type", "application/grpc"))
_ENDS = frames.END_HEADERS | frames.END_STREAM


def _call(number: int, *fields: tuple[str, str], flags: int = frames.END_HEADERS) -> bytes:
    return frame(frames.HEADERS, flags, number, block([*_GRPC, *fields]))


def _message(number: int, content: bytes, flag: int = 0, end: bool = False) -> bytes:
    prefix = bytes([flag]) + len(content).to_bytes(4, "big")
    return frame(frames.DATA, frames.END_STREAM if end else 0, number, prefix + content)


def _conversations() -> list[bytes]:
    encoder = Encoder()
    indexed = [
        frame(frames.HEADERS, frames.END_HEADERS, number, encoder.encode([*_GRPC, ("k-bin", "AAEC")]))
        for number in (1, 3)
    ]
    split = block(_GRPC)
    padded = b"\2" + bytes(5) + split + b"\0\0"
    small = {frames.INITIAL_WINDOW_SIZE: 0, frames.HEADER_TABLE_SIZE: 0, frames.MAX_FRAME_SIZE: 16_384}
    return [
        _call(1) + _message(1, b"hello", end=True),
        _call(1) + _message(1, b"p") + _message(1, b"x") + _call(3) + _message(3, b"r") + _message(3, b"m"),
        _call(1) + _message(1, b"fno") + _message(1, b"late"),
        _call(1) + _message(1, b"b") + frames.window_update(1, 9_000) + frames.window_update(0, 9_000),
        _call(1, ("grpc-timeout", "1S"), ("grpc-encoding", "gzip")) + _message(1, b"\x1f\x8b", 1),
        b"".join(indexed) + _message(1, b"m") + _message(3, b"m"),
        frame(frames.HEADERS, 0, 1, split[:9]) + frame(frames.CONTINUATION, frames.END_HEADERS, 1, split[9:]),
        frame(frames.HEADERS, _ENDS | frames.PADDED | frames.WITH_PRIORITY, 1, padded),
        _call(1) + _message(1, b"a")[:-1] + frames.rst_stream(1, frames.CANCEL) + frames.window_update(1, 1),
        _call(1) + frame(frames.HEADERS, _ENDS, 1, block([("done", "yes")])),
        frames.settings(small)
        + _call(1) + _message(1, b"x") + frames.settings({frames.INITIAL_WINDOW_SIZE: 10}),
        frame(frames.PING, 0, 0, bytes(8)) + frame(frames.PRIORITY, 0, 1, bytes(5)) + frame(0x42, 0, 7, b"x"),
        frames.goaway(0, 0, "bye") + frame(frames.PUSH_PROMISE, 0, 1, bytes(4)),
    ]  # fmt: skip


def _blocks() -> list[bytes]:
    encoder = Encoder()
    return [
        encoder.encode(list(_GRPC)),
        encoder.encode([*_GRPC, ("x", "1"), ("x", "2"), ("content-length", "5")]),
        encoder.encode(list(_GRPC), huffman=False),
        block([*_GRPC, ("k" * 200, "v" * 300)]),
        block([("cookie", "a"), *_HEAD]),
        b"\x3f\xe1\x1f" + block(_HEAD),
        b"\x20" + block(_HEAD),
    ]


def seeds(target: str) -> list[bytes]:
    """Inputs of a target."""
    if target == "headers":
        blocks = _blocks()
        return [bytes([len(one) & 0xFF]) + one + other for one in blocks for other in blocks[:3]]
    said = _conversations()
    return [bytes([1 | step << 1]) + one for one in said for step in (0, 8, 100)] + [
        b"\0" + frames.PREFACE + frames.settings({}) + said[0],
        b"\0GET / HTTP/1.1\r\n\r\n",
    ]


#: What once was a mistake, by target.
FOUND: dict[str, list[bytes]] = {
    "connection": [
        # The text of the GOAWAY had an address of the process's memory in it.
        b"\1" + frame(frames.HEADERS, frames.END_HEADERS, 1, b"\0\7:scheme\4http" + b"\xff" * 18),
    ],
    "headers": [],
}
