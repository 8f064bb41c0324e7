"""How gRPC encodes messages, durations and binary metadata on HTTP/2.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests and compression.md beside it.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import grpc

from .transport import CallEnd

_WINDOW_BITS = {"deflate": zlib.MAX_WBITS, "gzip": 16 + zlib.MAX_WBITS}
_SMALL = 64 << 10  # bytes that any message may unpack to
_MOST_TIMES = 20  # as many bytes as were sent; names that differ in a number only are a tenth
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def decompress(flag: int, encoding: str, raw: bytes, largest: int) -> bytes:
    """The content of a message that is flagged as compressed. Raises CallEnd, without unpacking more than
    `largest` bytes, or than a message of its size has: what is handled is in proportion to what was sent.
    """
    largest = min(largest, max(_SMALL, _MOST_TIMES * len(raw)))
    if flag != 1 or encoding not in _WINDOW_BITS:
        raise CallEnd(grpc.StatusCode.INTERNAL, f"a message with flag {flag} and grpc-encoding {encoding}")
    unpacking = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        content = unpacking.decompress(raw, largest + 1)
    except zlib.error as error:
        raise CallEnd(grpc.StatusCode.INTERNAL, f"a message is not {encoding}: {error}") from None
    if len(content) > largest:
        raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, f"a request of more than {largest} bytes")
    if not unpacking.eof:
        raise CallEnd(grpc.StatusCode.INTERNAL, f"a message ends within its {encoding}")
    return content


def seconds(timeout: str) -> float:
    """A grpc-timeout in seconds. Raises CallEnd."""
    digits, unit = timeout[:-1], timeout[-1:]
    if unit not in _UNITS or not digits.isdecimal() or len(digits) > 8:
        raise CallEnd(grpc.StatusCode.INTERNAL, f"grpc-timeout {timeout!r} is not a duration")
    return int(digits) * _UNITS[unit]


def binary(name: str, value: str) -> bytes:
    """Binary metadata, of which several values are separated by commas; the first. Raises CallEnd."""
    first = value.split(",", 1)[0]
    try:
        return base64.b64decode(first + "=" * (-len(first) % 4), validate=True)
    except binascii.Error:
        raise CallEnd(grpc.StatusCode.INTERNAL, f"metadata {name} is not base64") from None
