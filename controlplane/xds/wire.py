"""The few pieces of the protobuf wire format that responses are assembled from.

A response to a thousand streams is the same bytes but for its nonce. Parsing and serialising it as a message
for each stream costs milliseconds, concatenating fields that are already encoded costs a copy. A message is
the concatenation of its fields in any order, and a repeated field may be spread over the message:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Sequence

_VARINT, _LENGTH_DELIMITED = 0, 2
_ODD = 16
_SHORT = [bytes([value]) for value in range(0x80)]
"""Varints of one byte: nearly all tags and lengths that each stream's own part of a response has."""
_SIZES = {1: 8, 3: 0, 4: 0, 5: 4}  # bytes of a value by wire type; the fields of a group count

# DiscoveryResponse, field numbers of envoy/service/discovery/v3/discovery.proto.
SOTW_VERSION_INFO = 1
SOTW_RESOURCES = 2
SOTW_TYPE_URL = 4
SOTW_NONCE = 5

# DeltaDiscoveryResponse.
DELTA_VERSION = 1
DELTA_RESOURCES = 2
DELTA_TYPE_URL = 4
DELTA_NONCE = 5
DELTA_REMOVED = 6

# Resource, the wrapper in a DeltaDiscoveryResponse.
RESOURCE_VERSION = 1
RESOURCE_BODY = 2
RESOURCE_NAME = 3
RESOURCE_ALIASES = 4

# The entries of a map<string, string>.
ENTRY_KEY = 1
ENTRY_VALUE = 2

Response = tuple[bytes, ...]
"""The parts of an encoded message, to be sent one after the other. Streams share those that are large."""

_LEAST_SHARED = 4 << 10  # bytes of which a copy costs less than parts of their own

# google.protobuf.Any.
ANY_TYPE_URL = 1
ANY_VALUE = 2


def varint(value: int) -> bytes:
    """Encode a non-negative integer as a base 128 varint."""
    if value < len(_SHORT):
        return _SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes) -> bytes:
    """Encode a length-delimited field: bytes, string or embedded message."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(value)) + value


def text(number: int, value: str) -> bytes:
    """Encode a string field; the empty string is the default and is left out, as protobuf does."""
    return field(number, value.encode()) if value else b""


def response(fields: Sequence[bytes]) -> Response:
    """A message of encoded fields. Large ones, which many streams are sent, are not copied."""
    if max(map(len, fields), default=0) < _LEAST_SHARED:
        return (b"".join(fields),)
    shared = [one for one in fields if len(one) >= _LEAST_SHARED]
    return (*shared, b"".join([one for one in fields if len(one) < _LEAST_SHARED]))


def entry(key: str, value: str) -> bytes:
    """Encode an entry of a map<string, string>. Unlike other fields, an empty key or value is written too."""
    return field(ENTRY_KEY, key.encode()) + field(ENTRY_VALUE, value.encode())


def entry_key(entry: bytes) -> str:
    """The key of an encoded entry of a map<string, string>, empty where there is none."""
    if len(entry) > 1 and entry[0] == ENTRY_KEY << 3 | _LENGTH_DELIMITED and entry[1] < 0x80:
        end = 2 + entry[1]
        if entry[end : end + 1] == b"\x12" and end + 2 + entry[end + 1] == len(entry):
            return entry[2:end].decode(errors="replace")  # key and value of less than 128 bytes
    at = 0
    key = b""
    while at < len(entry):
        tag, at = _read_varint(entry, at)
        length, at = _read_varint(entry, at)
        if tag == ENTRY_KEY << 3 | _LENGTH_DELIMITED:
            key = entry[at : at + length]
        elif tag != ENTRY_VALUE << 3 | _LENGTH_DELIMITED:
            break
        at += length
    return key.decode(errors="replace")


def more_fields(message: bytes, most: int) -> bool:
    """Whether a message has more than `most` fields. Fields of nested messages do not count.

    Counting stops where the message is malformed. A field that is not a string, or has 16 KiB or more, counts
    as `_ODD` fields, because it takes longer to read and a request has few of them.
    """
    at, end, left = 0, len(message) - 2, most
    while at < end:
        if left <= 0:
            return True
        tag, length = message[at], message[at + 1]
        if tag < 0x80 and tag & 7 == _LENGTH_DELIMITED:
            if length < 0x80:
                at += 2 + length
                left -= 1
                continue
            if message[at + 2] < 0x80:
                at += 3 + (length & 0x7F | message[at + 2] << 7)
                left -= 1
                continue
        left -= _ODD
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, at = _read_varint(message, at)
            at += length
        elif kind == _VARINT:
            _, at = _read_varint(message, at)
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            return False
    return left <= 0 and at < len(message)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 28:
            break
        shift += 7
    return value, at
