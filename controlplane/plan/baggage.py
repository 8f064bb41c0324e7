"""The members of `baggage` as tracing agents read them, in Python: the twin of translate/baggage.lua.

Agents differ from the grammar (https://www.w3.org/TR/baggage/) and from each other: some decode names, each
trims other blanks, some write the name that they have decoded without encoding it again. A member is a lane's
if agents, any number of them in any order, could read the lane's name there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

LIMIT = 8192
"""Bytes of `baggage` that an edge reads and forwards: agents drop what is longer, or its end."""

_HEX = frozenset(b"0123456789abcdefABCDEF")
_PERCENT = ord("%")
_WIDE = re.compile(
    rb"\xc2[\x80-\xa0\xad]|\xd8\x9c|\xe1\x9a\x80|\xe1\xa0\x8e|\xe2\x80[\x80-\x8f\xa8-\xaf]|\xe2\x81[\x9f-\xaf]"
    rb"|\xe3\x80\x80|\xef\xbb\xbf|\xef\xbf[\xb9-\xbb]"
)
"""White space and marks without a width in UTF-8."""
_BLANK = bytes([*range(0x21), *range(0x7F, 0xA1), 0xAD])
"""White space, controls and the soft hyphen, in ASCII and Latin-1."""


def canonical_name(name: bytes) -> bytes:
    """`name` as any number of agents could read it: percent-decoded until nothing changes, `+` as a
    space, trimmed.
    """
    return _WIDE.sub(b" ", _decoded(name).replace(b"+", b" ")).strip(_BLANK)


def _decoded(name: bytes) -> bytes:
    """Each escape decoded as soon as it is complete, whatever completed it."""
    found = bytearray()
    for byte in name:
        found.append(byte)
        while len(found) > 2 and found[-3] == _PERCENT and found[-2] in _HEX and found[-1] in _HEX:
            found[-3:] = bytes([int(found[-2:], 16)])
    return bytes(found)


def _carried(member: bytes, names: Collection[bytes]) -> tuple[bytes | None, bytes]:
    """The one of `names` that some agent reads in `member`, and the text after its `=`."""
    before = re.split(rb"[=;]", member, maxsplit=1)[0]
    own = canonical_name(before)
    if own in names:
        rest = member[len(before) :]
        return own, rest[1:] if rest.startswith(b"=") else b""
    name, _, value = member.partition(b"=")
    own = canonical_name(name.strip(b"; \t"))  # OpenTelemetry for Java
    if own in names:
        return own, value
    pairs = member if member.lstrip(b" \t").startswith(b";") else member.partition(b";")[0]
    pieces = pairs.split(b"=")  # Micrometer's bridge to Brave takes two and two
    for index in range(2, len(pieces) - 1, 2):
        own = canonical_name(pieces[index])
        if own in names:
            return own, b"=".join(pieces[index + 1 :])
    return None, b""


def lane_of(baggage: bytes, name: str, foreign: Iterable[str] = ()) -> bytes | None:
    """The lane in the member `name` of all lines of `baggage`, joined with `,`; if it is there several times,
    the last.

    `foreign`: the names of other gateways' members.
    """
    if len(baggage) > LIMIT:
        baggage = baggage[: LIMIT + 1].rpartition(b",")[0]
    wanted = canonical_name(name.encode())
    names = {wanted, *(canonical_name(other.encode()) for other in foreign)}
    lane: bytes | None = None
    for member in baggage.split(b","):
        own, value = _carried(member, names)
        found = re.match(rb"[ \t\n\v\f\r]*([^; \t\n\v\f\r]+)", value)
        if own == wanted and found:
            lane = found[1]
    return lane
