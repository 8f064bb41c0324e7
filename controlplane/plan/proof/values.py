"""A value of one part of a request that meets several statements, or the proof that there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from controlplane.model.networks import Network
from controlplane.plan.conditions import CLIENT_HEADER, HOST_HEADER, PATH_HEADER, lifted_header
from controlplane.plan.hosts import asked_host
from controlplane.plan.proof.atoms import ALWAYS, Literal, Value
from controlplane.plan.proof.patterns import Unclear
from controlplane.plan.proof.words import words
from controlplane.plan.request import ANY_CLIENT, normalised_path

NUMBERS = 1_000
"""Values that are tried where only buckets and exceptions are asked for."""
QUERY, COOKIE = lifted_header("query", ""), lifted_header("cookie", "")

_HEADER = re.compile("[\t -~\x80-\U0010ffff]*")
_COOKIE = re.compile("[\t -:<-~\x80-\U0010ffff]*")
_METHOD = re.compile("[A-Z-]{1,32}")
_HOST = re.compile(r"[a-z0-9_.-]*|\[[0-9a-f:.]+\]")
_PATH = re.compile(r"/[!-\"$->@-~]*")
_NOT_READ = re.compile(r"\\[bBAz]|\\|[\^$()?*+]")
"""What a pattern has besides the text that it matches, in simple cases."""
_LIKED = {
    ":method": ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"),
    HOST_HEADER: ("shop.example.com", "shop.example", "example.org", "localhost", ""),
    ":authority": ("shop.example.com", "shop.example", "example.org"),
    PATH_HEADER: ("/",),
    CLIENT_HEADER: (ANY_CLIENT,),
    "x-forwarded-for": (ANY_CLIENT,),
    "x-forwarded-proto": ("http", "https"),
}
_SHAPES = {":method": "[A-Z-]{1,32}", PATH_HEADER: '/[!-"$->@-~]*'}
"""What all values look like, for proofs that there is none."""


class NoValue(Exception):
    """No value meets all literals: proven."""


def possible(name: str, value: bytes) -> bool:
    """Whether a request can have this value there when rules are evaluated."""
    if name == CLIENT_HEADER:
        return True
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return name.startswith(QUERY)
    if name == ":method":
        return _METHOD.fullmatch(text) is not None
    if name == PATH_HEADER:
        return _PATH.fullmatch(text) is not None and len(text) <= 8_192 and normalised_path(text) == text
    if name == HOST_HEADER:
        return len(text) <= 255 and _HOST.fullmatch(text) is not None and asked_host(text) == text
    if name.startswith(QUERY):
        return "\0" not in text
    if name.startswith(COOKIE):
        return _COOKIE.fullmatch(text) is not None and text.strip() == text
    return _HEADER.fullmatch(text) is not None and text.strip(" \t") == text


def solve(name: str, literals: Sequence[Literal]) -> Value:
    """A value of the part `name` that meets all literals; None where having nothing there does.

    Raises NoValue if there is provably none, and Unclear if that could not be decided.
    """
    if name not in ALWAYS and all(one.met(None) for one in literals):
        return None
    wanted = [one.atom for one in literals if one.wanted]
    lists = [found for one in literals if (found := _listed(one)) is not None]
    finite = min(lists, key=len, default=None)
    low = max(
        (one.atom.below for one in literals if not one.wanted and one.atom.below is not None), default=0.0
    )
    high = min((one.below for one in wanted if one.below is not None), default=100.0)
    candidates = finite if finite is not None else _addresses(literals) if name == CLIENT_HEADER else None
    if candidates is not None:  # these are all that need to be tried
        found = _first(name, literals, candidates)
        if found is None:
            raise NoValue
        return found
    if low >= high:
        raise NoValue
    found = _first(name, literals, _guesses(name, literals))
    if found is not None:
        return found
    return _by_patterns(name, literals)


def _listed(literal: Literal) -> tuple[bytes, ...] | None:
    """All values that meet the literal, where they can be listed."""
    return literal.atom.finite if literal.wanted else literal.atom.exceptions


def _first(name: str, literals: Sequence[Literal], candidates: Iterable[bytes]) -> Value:
    return next((x for x in candidates if all(one.met(x) for one in literals) and possible(name, x)), None)


def _guesses(name: str, literals: Sequence[Literal]) -> Iterator[bytes]:
    """Values that are likely to do, those that people read most easily first."""
    start = max((one.atom.hint for one in literals if one.wanted), key=len, default="")
    for liked in _LIKED.get(name, ("",) if start else ("any",)):
        yield (start or liked).encode()
    excluded = sum(len(one.atom.finite or ()) for one in literals if not one.wanted)
    buckets = any(one.atom.below is not None for one in literals)
    separator = "" if not start or start.endswith("/") or name != PATH_HEADER else "/"
    regexes = any(one.wanted and one.atom.pattern is not None and not one.atom.hint for one in literals)
    if not regexes:
        for number in range(1, (NUMBERS if buckets else 20) + excluded):
            yield f"{start or 'user-' if buckets else start}{separator}{number}".encode()
    for one in literals:
        if one.wanted and one.atom.pattern is not None and not one.atom.hint:
            yield _NOT_READ.sub("", one.atom.pattern).encode()
    yield b""
    if name.startswith(QUERY):
        yield b"\xff"


def _addresses(literals: Iterable[Literal]) -> list[bytes]:
    """The first address of each stretch in which no literal changes: one of each kind of address."""
    edges: set[tuple[int, int]] = {(4, 0), (6, 0)}
    for one in literals:
        for net in one.atom.networks:
            edges |= _ends(net)
    plain = [ANY_CLIENT, *(str(_address(version, number)) for version, number in sorted(edges))]
    return [text.encode() for text in plain if getattr(ip_address(text), "ipv4_mapped", None) is None]


def _ends(net: Network) -> set[tuple[int, int]]:
    first, last = int(net.network_address), int(net.broadcast_address)
    behind = {(net.version, last + 1)} if last + 1 < 1 << net.max_prefixlen else set[tuple[int, int]]()
    return {(net.version, first), *behind}


def _address(version: int, number: int) -> object:
    return ip_address(number) if version == 4 else ip_address(number.to_bytes(16, "big"))


def _by_patterns(name: str, literals: Sequence[Literal]) -> bytes:
    patterns = [(one.wanted, one.atom.pattern) for one in literals if one.atom.pattern is not None]
    wanted = {pattern for want, pattern in patterns if want}
    unwanted = {pattern for want, pattern in patterns if not want}
    if wanted & unwanted:
        raise NoValue
    if name in _SHAPES:
        wanted.add(_SHAPES[name])
    word = words(tuple(sorted(wanted)), tuple(sorted(unwanted))).find(
        lambda text: possible(name, text.encode()) and all(one.met(text.encode()) for one in literals)
    )
    if word is None:
        raise NoValue
    return word.encode()


__all__ = ["NoValue", "Unclear", "possible", "solve"]
