"""Header blocks: HPACK by the library of that name, and what RFC 9113 section 8 asks of a request.

The server's own blocks are literals that need no table. A client's first block on a connection is mostly the
same for a whole fleet, so what it decodes to is remembered; a decoder is made when a second block comes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from .frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, PROTOCOL_ERROR, ConnectionFault, StreamFault

LARGEST_LIST = 16 << 10
"""Bytes that the headers of one request may have, in the count of SETTINGS_MAX_HEADER_LIST_SIZE."""

_MOST_REMEMBERED = 512
_LARGEST_REMEMBERED = 1 << 10
_CONNECTION_SPECIFIC = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_PSEUDO = {b":method", b":scheme", b":path", b":authority"}
_NAME = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

Fields = tuple[tuple[bytes, bytes], ...]
_remembered: OrderedDict[bytes, Fields] = OrderedDict()


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The headers of a request. `fields` are those without a colon, repeated ones joined by a comma."""

    method: str
    path: str
    authority: str
    fields: Mapping[str, str]

    @property
    def content_length(self) -> int | None:
        text = self.fields.get("content-length")
        return int(text) if text is not None else None


class HeaderDecoder:
    """Decodes the header blocks of one connection, in their order."""

    __slots__ = ("_decoder", "_first")

    def __init__(self) -> None:
        self._decoder: Decoder | None = None
        self._first: bytes | None = None

    def decode(self, block: bytes) -> Fields:
        """The fields of a block. Raises ConnectionFault, after which the connection cannot go on."""
        if self._first is None:
            self._first = block
            known = _remembered.get(block)
            if known is not None:
                _remembered.move_to_end(block)
                return known
            fields = self._decode(block)
            if len(block) <= _LARGEST_REMEMBERED:
                _remembered[block] = fields
                if len(_remembered) > _MOST_REMEMBERED:
                    _remembered.popitem(last=False)
            return fields
        if self._decoder is None:
            self._decode(self._first)
        return self._decode(block)

    def _decode(self, block: bytes) -> Fields:
        if self._decoder is None:
            self._decoder = Decoder(LARGEST_LIST)
        try:
            return tuple((bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise ConnectionFault(ENHANCE_YOUR_CALM, str(error), "headers") from None
        except (HPACKError, IndexError, TypeError, ValueError) as error:
            # The library's text may have the whole block in it, or an address of this process's memory.
            text = f"a header block cannot be decoded: {type(error).__name__}"
            raise ConnectionFault(COMPRESSION_ERROR, text) from None


@lru_cache(maxsize=128)
def request(fields: Fields) -> RequestHead:
    """The request that these fields make. Raises StreamFault for one that is malformed (section 8.1.1)."""
    pseudo: dict[bytes, str] = {}
    others: dict[str, str] = {}
    for name, value in fields:
        try:
            text = value.decode("ascii")
        except UnicodeDecodeError:
            raise _malformed(f"the value of {name!r} is not of ASCII characters") from None
        if any(character in text for character in "\0\r\n"):
            raise _malformed(f"the value of {name!r} has a line break")
        if name[:1] == b":":
            if others or name in pseudo or name not in _PSEUDO:
                raise _malformed(f"the pseudo-header {name!r} is unknown, twice there or not at the start")
            pseudo[name] = text
        else:
            _check(name, text)
            key = name.decode()
            others[key] = f"{others[key]},{text}" if key in others else text
    for required in (b":method", b":scheme", b":path"):
        if not pseudo.get(required):
            raise _malformed(f"the pseudo-header {required!r} is missing")
    length = others.get("content-length")
    if length is not None and not (length.isdecimal() and len(length) < 16):
        raise _malformed(f"content-length {length!r} is not a number of bytes")
    authority = pseudo.get(b":authority", others.get("host", ""))
    return RequestHead(pseudo[b":method"], pseudo[b":path"], authority, others)


def check_trailers(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises StreamFault for trailers that are malformed."""
    for name, value in fields:
        if name[:1] == b":":
            raise _malformed(f"the pseudo-header {name!r} in trailers")
        _check(name, value.decode("ascii", "replace"))


def _check(name: bytes, value: str) -> None:
    if not name or not _NAME.issuperset(name):
        raise _malformed(f"{name!r} is not a header name")
    if name in _CONNECTION_SPECIFIC or (name == b"te" and value != "trailers"):
        raise _malformed(f"HTTP/2 does not allow the header {name!r}")


def _malformed(text: str) -> StreamFault:
    return StreamFault(PROTOCOL_ERROR, text)


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """A header block of literals that are not indexed (RFC 7541, section 6.2.2)."""
    out = bytearray()
    for name, value in fields:
        out.append(0)
        _append_string(out, name.encode("ascii"))
        _append_string(out, value.encode("ascii"))
    return bytes(out)


def _append_string(out: bytearray, text: bytes) -> None:
    length = len(text)
    if length < 0x7F:
        out.append(length)
    else:
        out.append(0x7F)
        length -= 0x7F
        while length > 0x7F:
            out.append((length & 0x7F) | 0x80)
            length >>= 7
        out.append(length)
    out += text
