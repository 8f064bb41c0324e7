"""A request as the edge sees it after normalising and lifting, in Python: the twin of translate/edge.lua."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from controlplane.plan.arrival import Arrived, Headers, arrived, joined, refused_headers
from controlplane.plan.baggage import lane_of
from controlplane.plan.conditions import (
    CLIENT_HEADER,
    HOST_HEADER,
    PATH_HEADER,
    REFERER_HEADER,
    full_match,
    lifted_header,
)
from controlplane.plan.entrance import scheme_of
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.hosts import asked_host, without_dot

_PROXIES_OWN = ("x-envoy-", "x-laneway-", "x-forwarded-")
_OWN = ("x-request-id", "content-length", "transfer-encoding")
_ESCAPED_SLASH = re.compile(r"%(2f|5c)", re.IGNORECASE)
_DOTS_WITH_PARAMETERS = re.compile(r"(?<=/)(\.\.?);[^/]*")
_DOT = re.compile(r"%2e", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_NO_PATH = re.compile(r"[^\x21-\x7e]|#")
_HIDDEN_DOTS = re.compile(r"/\.\.?;")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NEW_ESCAPE = re.compile(r"\0(?=[0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPED = {ord(char): f"%{ord(char):02X}" for char in '"<>^`{|}'}


ANY_CLIENT = "192.0.2.1"
"""The client's address where a question names none: one that is kept for documentation (RFC 5737)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `headers` are in the order received, with names in any case; their values are sent as UTF-8.

    `client_address`: the address from which the connection to the edge comes. `port`: of the gateway's
    listener; 0 if it is not said.
    """

    method: str
    host: str
    path: str
    headers: Headers
    client_address: str = ANY_CLIENT
    port: int = 0

    def arrived(self, plan: GatewayPlan) -> Arrived:
        """The request as Envoy sees it at this gateway before it evaluates rules."""
        return arrived(
            self.headers,
            self.client_address,
            plan.trusted_hops,
            scheme_of(plan, self.port),
            plan.keep_request_id,
            plan.reads_referer,
        )


def _unescaped(path: str) -> str:
    """The path without its query, with plain slashes, and dot segments without parameters."""
    bare = path.partition("?")[0].partition("#")[0]
    bare = _ESCAPED_SLASH.sub(lambda found: "/" if found[1].lower() == "2f" else "\\", bare)
    return _DOTS_WITH_PARAMETERS.sub(r"\1", bare)


def normalised_path(path: str) -> str:
    """The path that routes match and applications get, without query, dot segments and double slashes.

    Envoy's HttpConnectionManager makes it by `path_with_escaped_slashes_action`, `normalize_path` and
    `merge_slashes`, in this order. A slash that is escaped once becomes a slash; a dot segment loses its
    parameters (`..;x`). Escapes of plain characters are decoded, and characters that a path must not have are
    escaped: tests/mesh compares that with Envoy, character by character.
    """
    bare = _unescaped(path).replace("\\", "/")
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

    decoded = _ESCAPE.sub(plain, _BARE_PERCENT.sub("\0", segment))
    # A per cent sign that begins no escape must not begin one now.
    return _NEW_ESCAPE.sub("%25", decoded).replace("\0", "%").translate(_ESCAPED)


def confusable(plan: GatewayPlan) -> str:
    """A regex for names that a server which reads `_` as `-` would take for a header of a proxy."""
    carriers = {plan.carriers.header.lower(), *(header for header, _ in plan.foreign)}
    exact = [spelling for name in sorted({*_OWN, *carriers}) for spelling in _spellings(name)]
    families = [f"{spelling}.*" for prefix in _PROXIES_OWN for spelling in _spellings(prefix)]
    return "|".join([*exact, *families, *(f"{prefix}.*_.*" for prefix in _PROXIES_OWN)])


def _spellings(name: str) -> list[str]:
    """Regexes that together match `name` with at least one `_` for a `-`."""
    parts = [re.escape(part) for part in name.split("-")]
    return ["-".join(parts[:n]) + "_" + "[-_]".join(parts[n:]) for n in range(1, len(parts))]


def removed_headers(plan: GatewayPlan, request: Request) -> list[str]:
    """The names of the client's headers that the edge sends to no application: lower case, sorted."""
    foreign = {header for header, _ in plan.foreign} - {plan.carriers.header.lower()}
    dropped = confusable(plan) if plan.keep_underscores else ".*_.*"
    kept = {name for name, _ in request.arrived(plan).headers}
    found: set[str] = set()
    for name in {name.lower() for name, _ in request.headers}:
        carrier = name == plan.carriers.header.lower() and plan.trusted is None
        ours = name in foreign or name.startswith(("x-envoy-", "x-laneway-"))
        if carrier or ours or name not in kept or full_match(dropped, name.encode()):
            found.add(name)
    return sorted(found)


def refusal(plan: GatewayPlan, request: Request) -> str | None:
    """The reason for which the edge answers by itself, whatever its routes say; None if there is none."""
    path = request.path
    if not path.startswith("/") or _NO_PATH.search(path) or "%00" in _unescaped(path):
        return "the path holds a fragment, NUL or a character that must be escaped: the edge answers 400"
    if _HIDDEN_DOTS.search(normalised_path(path)):
        return "the path hides a dot segment behind parameters (..;): the edge answers 400"
    limits = plan.header_limits
    if len(request.headers) > limits.lines:
        return f"more than {limits.lines} header lines: the edge answers 431"
    size = sum(len(name.encode()) + len(value.encode()) for name, value in request.headers)
    if size > limits.kib * 1024:
        return f"more than {limits.kib} KiB of headers: the edge answers 431"
    return refused_headers(request.headers)


def query_values(path: str) -> dict[bytes, bytes]:
    """The first value of each query parameter. Names and values are percent-decoded once; `+` is a space."""
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
    """The first value of each cookie, not decoded. Several lines count as one, joined with `; `."""
    found: dict[bytes, bytes] = {}
    for pair in (joined(headers, "cookie", "; ") or "").encode().split(b";"):
        name, equal, value = pair.strip().partition(b"=")
        if equal:
            found.setdefault(name.strip(), value.strip())
    return found


def carried_values(plan: GatewayPlan, request: Request, arrived: Arrived) -> dict[str, bytes]:
    """The bytes of every header that conditions and stickiness of this gateway read."""
    foreign = {header for header, _ in plan.foreign} - {plan.carriers.header.lower()}
    headers = [(name, value) for name, value in arrived.headers if name not in foreign]
    values: dict[str, bytes] = {
        ":authority": without_dot(request.host).encode(),
        ":method": request.method.encode(),
        PATH_HEADER: normalised_path(request.path).encode(),
        HOST_HEADER: asked_host(request.host).encode(),
        CLIENT_HEADER: arrived.client.encode(),
    }
    for name in {name for name, _ in headers}:
        value = joined(headers, name, "; " if name == "cookie" else ",")
        if value is not None and name != "host":
            values[name] = value.encode()
    if plan.reads_referer and values.get("referer"):  # an empty one is not copied
        values[REFERER_HEADER] = values["referer"]
    for name, value in query_values(request.path).items():
        values[lifted_header("query", name.decode(errors="surrogateescape"))] = value
    for name, value in cookie_values(headers).items():
        values[lifted_header("cookie", name.decode(errors="surrogateescape"))] = value
    return values


def named_lane(plan: GatewayPlan, arrived: Arrived) -> bytes | None:
    """The lane that the client names in either carrier, if the gateway trusts its clients."""
    if plan.trusted is None:
        return None
    header = joined(arrived.headers, plan.carriers.header.lower())
    if header:
        return header.encode()
    baggage = (joined(arrived.headers, "baggage") or "").encode()
    return lane_of(baggage, plan.carriers.baggage, (member for _, member in plan.foreign))
