"""What clients may put into `baggage`: spellings of a member's name, members that only look alike, whole
headers; and which of them are the lane's, worked out as simply as can be.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

MARKS = (0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
BLANKS = [
    chr(point)
    for point in range(0x10000)
    if chr(point).isspace()
    or unicodedata.category(chr(point)) in ("Cc", "Zs", "Zl", "Zp")
    or point in (*MARKS, 0xFFF9, 0xFFFA, 0xFFFB)
]
SEQUENCES = sorted(
    {blank.encode() for blank in BLANKS} | {blank.encode("latin-1") for blank in BLANKS if blank <= "\xff"},
    key=len,
    reverse=True,
)
ALIKE = (
    b"Lane", b"LANE", b"lanes", b"xlane", b"lan", b"l ane", b"la+ne", b"lane-id", b"my.lane", b'"lane"',
    b"'lane'", b"lan\xc3\xa9", b"lan%C3%A9", b"lane\xc3\xa0", b"lane%C3%A0", b"\xe2\x80\xa0lane",
    b"lane\xe2\x80\xa0", b"%C1%ACane", b"%zzlane", b"lane%", b"lane%6", b"%lane", b"l%61n", b"%4Cane",
    b"lane%5B0%5D", b"la;ne", b"user", b"k", b"0", b"12", b"%E4%B8%AD", b"sess-id", b"tenant*", b"a!b",
    b"la%00ne", b"lane%40x", b"l%C2%A0ane",
)  # fmt: skip
VALUES = (
    b"1", b"", b"a b", b"%20x", b"%2C", b"lane", b"lane=red", b"lane%3Dred", b"%C3%A9", b"a==", b"50%25",
    b'"q"', b"x;p=1", b"x;lane=1", b"x;lane", b"v ; p = 2;q", b"http://h/p?lane=red&x=%2F", b"\xc3\xa9",
    b"/:@[]{}",
)  # fmt: skip


def normal(name: bytes) -> bytes:
    """Decoded until nothing changes, `+` as a space, without blanks at both ends."""
    before = b""
    while before != name:
        before = name
        name = unquote_to_bytes(name.replace(b"+", b" "))
    while blank := next((b for b in SEQUENCES if name.startswith(b) or name.endswith(b)), b""):
        name = name.removeprefix(blank) if name.startswith(blank) else name.removesuffix(blank)
    return name


def readings(member: bytes) -> set[bytes]:
    """Every name that some agent reads in a member, in its normal form."""
    found = {re.split(b"[=;]", member)[0], member.split(b"=")[0].strip(b"; \t")}
    cut = member if member.startswith(b";") else member.split(b";")[0]
    found.update(cut.split(b"=")[:-1][::2])
    return {normal(name) for name in found}


def escaped(pick: random.Random, byte: int, depth: int) -> bytes:
    """`byte` so that `depth` decodings show it."""
    if depth <= 0:
        return bytes([byte])
    digits = pick.choice([b"%02X", b"%02x"]) % byte
    if pick.random() < 0.2:
        digits = digits[:1].lower() + digits[1:].upper()
    if pick.random() < 0.2:
        digits = b"".join(escaped(pick, digit, pick.choice([0, 1])) for digit in digits)
    return escaped(pick, ord("%"), depth - 1) + digits


def _blank(pick: random.Random) -> bytes:
    depth = pick.choice([1, 1, 1, 2, 4])
    kind = pick.random()
    if kind < 0.25:
        return pick.choice(
            [b"+", b" ", b"\t", b"  ", b"%2B", b"%252b", b"\xa0", b"\x85", b"\xc2\x85", b"\xc2\xa0"]
        )
    if kind < 0.35:
        return pick.choice([b";", b" ;", b"; ", b";;"])
    blank = pick.choice(BLANKS)
    raw = blank.encode("latin-1") if blank <= "\xff" and pick.random() < 0.3 else blank.encode()
    if kind < 0.5 and (blank == "\t" or blank > "\x7f"):
        return raw
    return b"".join(escaped(pick, byte, depth) for byte in raw)


def spelling(pick: random.Random, name: bytes) -> bytes:
    """`name`, as some agent might still read it."""
    if pick.random() < 0.4:  # as one agent alone may
        once = b"".join(escaped(pick, byte, pick.choice([0, 0, 1])) for byte in name)
        blanks = (
            b"",
            b"",
            b"+",
            b"%20",
            b"%09",
            b"%1F",
            b"%C2%A0",
            b"%E3%80%80",
            b"\xa0",
            b"\x85",
            b";",
            b" ;",
        )
        return pick.choice([pick.choice(blanks) + once, once + pick.choice(blanks)])
    style = pick.random()
    depth = pick.choice([1, 1, 1, 2, 3, 8, 30])
    body = b"".join(escaped(pick, byte, depth if pick.random() < style else 0) for byte in name)
    left, right = (b"".join(_blank(pick) for _ in range(pick.choice([0, 0, 1, 2, 5]))) for _ in range(2))
    return left + body + right


def forged(pick: random.Random, name: bytes, lane: bytes) -> bytes:
    """A member that some agent might read as the lane's."""
    spelt = spelling(pick, name)
    endings: Sequence[Callable[[], bytes]] = (
        *[lambda: spelt + b"=" + lane] * 8,
        lambda: spelt + pick.choice([b" = ", b"\t=", b"= ", b"=\xa0"]) + lane,
        lambda: spelt + b"=" + lane + pick.choice([b";p=1", b" ;x", b";lane=gray", b"=", b"=x"]),
        lambda: spelt + b";" + pick.choice([b"x=", b"lane=", b"="]) + lane,
        lambda: spelt + pick.choice([b"", b"=", b"= ", b";", b"=;p"]),
        lambda: pick.choice([b"a=1=", b";=1=", b"a=1=b=2=", b";a=1;p=", b"a= = "]) + spelt + b"=" + lane,
    )
    return pick.choice(endings)()


def other(pick: random.Random) -> bytes:
    """A member that is not the lane's, though it may look like it."""
    name = pick.choice(ALIKE) if pick.random() < 0.5 else b"k%d" % pick.randrange(300)
    return name + b"=" + pick.choice(VALUES) if pick.random() < 0.9 else name


def header(pick: random.Random, names: Sequence[bytes], lane: bytes) -> list[bytes]:
    """The lines of one `baggage`."""
    size = pick.choice([1, 1, 2, 3, 6, 80, 200])
    share = pick.choice([0.1, 0.5, 1.0])
    members = [
        forged(pick, pick.choice(names), lane) if pick.random() < share / max(1, size / 4) else other(pick)
        for _ in range(size)
    ]
    lines: list[list[bytes]] = [[]]
    for member in members:
        if pick.random() < 0.1:
            lines.append([])
        lines[-1].append(pick.choice([b"", b"", b" ", b"\t", b"  "]) + member)
    return [pick.choice([b",", b",", b", ", b",,"]).join(line) for line in lines]


def heavy(pick: random.Random) -> list[bytes]:
    """A `baggage` that agents make longer, sort, cut and drop."""
    unit = pick.choice([b"x", b"/", b"%2F", b"%FF", b"%ED%A0%80", b"\xc3\xa9", b"%E4%B8%AD", b"x/", b"~!"])
    length = pick.choice([1, 9, 40, 300, 2000, 4000])
    total = pick.choice([900, 2700, 4000, 8100, 8180, 8192, 8193, 9000, 20000, 50000])
    members: list[bytes] = []
    size = 0
    while size < total and len(members) < 4000:
        number = len(members)
        name = pick.choice([b"%d" % number, b"a%d" % number, b"!%d" % number, b"z%d" % number])
        value = (unit * length)[: max(1, min(length, total - size))]
        members.append(name + b"=" + value + (pick.choice([b"", b"", b";p=/"])))
        size += len(members[-1]) + 1
    return [b",".join(members)]


def split(lines: Sequence[bytes]) -> list[bytes]:
    """The members of all lines, without the blanks that separate them."""
    return [member.strip(b" \t") for member in b",".join(lines).split(b",") if member.strip(b" \t\v\f")]


def others_of(lines: Sequence[bytes], names: Sequence[bytes]) -> list[bytes]:
    """The members that are no lane's and that an edge forwards: those within the first 8192 bytes."""
    joined = b",".join(lines)
    kept = [joined[:8193].rpartition(b",")[0]] if len(joined) > 8192 else lines
    return [member for member in split(kept) if not readings(member) & set(names)]
