"""A request as the edge sees it after normalising and lifting, in Python: the twin of translate/edge.lua."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from controlplane.plan.baggage import lane_of
from controlplane.plan.conditions import lifted_header
from controlplane.plan.gateways import GatewayPlan

_DOT = re.compile(r"%2e", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPED = {ord(char): f"%{ord(char):02X}" for char in '"<>^`{|}'}


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` in the order received; names in any case. On the wire a value is the UTF-8 of its text."""

    method: str
    host: str
    path: str
    headers: Sequence[tuple[str, str]]


def normalised_path(path: str) -> str:
    """The path without its query, dot segments and double slashes, as Envoy's `normalize_path` and
    `merge_slashes` leave it (config of HttpConnectionManager). Escapes of plain characters are undone, and
    characters that a path may not hold are escaped: measured, character by character, by tests/mesh.
    """
    bare = path.partition("?")[0].partition("#")[0].replace("\\", "/")
    output: list[str] = []
    segments = bare.split("/")[1:]
    for position, segment in enumerate(segments):
        plain = _DOT.sub(".", segment) if len(segment) <= 6 else segment
        last = position == len(segments) - 1
        if plain == ".":
            if last:
                output.append("")
        elif plain == "..":
            if output:
                output.pop()
            if last:
                output.append("")
        else:
            output.append(_canonical(segment))
    whole = "/" + "/".join(output)
    if len(whole) > 1 and not whole.strip("/"):
        return "//"  # what merging leaves of a path of slashes alone
    return re.sub("/{2,}", "/", whole)


def _canonical(segment: str) -> str:
    def plain(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0]

    return _ESCAPE.sub(plain, segment).translate(_ESCAPED)


def joined(headers: Iterable[tuple[str, str]], name: str, separator: str = ",") -> bytes | None:
    """All lines of one header, joined; None where there is none."""
    lines = [value.encode() for key, value in headers if key.lower() == name]
    return separator.encode().join(lines) if lines else None


def query_values(path: str) -> dict[bytes, bytes]:
    """First occurrence of each parameter; names and values percent-decoded once, `+` is a space."""
    _, mark, query = path.partition("#")[0].partition("?")
    found: dict[bytes, bytes] = {}
    for pair in query.split("&") if mark else ():
        if not pair:
            continue
        name, _, value = pair.partition("=")
        found.setdefault(_decoded(name), _decoded(value))
    return found


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " "))


def cookie_values(headers: Iterable[tuple[str, str]]) -> dict[bytes, bytes]:
    """First occurrence of each cookie, raw; several lines count as one, joined with `; `."""
    found: dict[bytes, bytes] = {}
    for pair in (joined(headers, "cookie", "; ") or b"").split(b";"):
        name, equal, value = pair.strip().partition(b"=")
        if equal:
            found.setdefault(name.strip(), value.strip())
    return found


def carried_values(plan: GatewayPlan, request: Request) -> dict[str, bytes]:
    """Every header that conditions and stickiness of this gateway read, with its bytes."""
    foreign = {header for header, _ in plan.foreign} - {plan.carriers.header.lower()}
    headers = [
        (name.lower(), value)
        for name, value in request.headers
        if not name.lower().startswith(("x-envoy-", "x-laneway-")) and name.lower() not in foreign
    ]
    values: dict[str, bytes] = {":authority": request.host.encode(), ":method": request.method.encode()}
    for name in {name for name, _ in headers}:
        value = joined(headers, name, "; " if name == "cookie" else ",")
        if value is not None and name != "host":
            values[name] = value
    for name, value in query_values(request.path).items():
        values[lifted_header("query", name.decode(errors="surrogateescape"))] = value
    for name, value in cookie_values(headers).items():
        values[lifted_header("cookie", name.decode(errors="surrogateescape"))] = value
    return values


def named_lane(plan: GatewayPlan, request: Request) -> bytes | None:
    """The lane that the client names, where the gateway trusts its clients; either carrier."""
    if plan.trusted is None:
        return None
    header = joined(request.headers, plan.carriers.header.lower())
    if header:
        return header
    baggage = joined(request.headers, "baggage") or b""
    return lane_of(baggage, plan.carriers.baggage, (member for _, member in plan.foreign))
