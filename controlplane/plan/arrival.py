"""What an edge's Envoy does to the headers of a request before anything matches them, as of Envoy 1.40.

Rules and the application see the result. It was found by experiment, with `use_remote_address`, no internal
addresses and HTTP/1.1 as edges have it; tests/mesh/test_edge_headers.py holds it to a real edge.
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/header_sanitizing
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from controlplane.plan.referer import is_kept

Headers = Sequence[tuple[str, str]]

MAX_NOMINATED = 9
"""Headers that `Connection` may name; more are answered 400."""
_NOT_NOMINATED = frozenset({"close", "connection", "http2-settings", "keep-alive", "upgrade"})
_REFUSED = frozenset({"host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
_HOP_BY_HOP = frozenset({"connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding"})
_PROXIES_OWN = ("x-envoy-", "x-laneway-")
REQUEST_ID = "x-request-id"


@dataclass(frozen=True, slots=True)
class Arrived:
    """Headers in lower case, as rules read them, and the client's address as the gateway's hops say.

    `random_id`: the edge has made x-request-id by chance.
    """

    headers: Headers
    client: str
    random_id: bool


def joined(headers: Iterable[tuple[str, str]], name: str, separator: str = ",") -> str | None:
    """All lines of one header, joined; None where there is none. `name` is in lower case."""
    lines = [value for key, value in headers if key.lower() == name]
    return separator.join(lines) if lines else None


def refused_headers(headers: Headers) -> str | None:
    """Why Envoy answers a request with these headers by itself; None where it does not."""
    upgrade = _upgrade(headers)
    if upgrade:
        return (
            None if upgrade == "websocket" else f"the edge answers 403: it takes no upgrade to {upgrade[:50]}"
        )
    nominated = _tokens(headers)
    if len(nominated) > MAX_NOMINATED:
        return f"the edge answers 400: Connection names more than {MAX_NOMINATED} headers"
    wrong = next((one for one in nominated if one in _REFUSED or one.startswith(":")), None)
    return wrong and f"the edge answers 400: Connection names {wrong}, which the edge needs"


def arrived(
    headers: Headers,
    address: str,
    trusted_hops: int,
    scheme: str = "http",
    keep_request_id: bool = False,
    keep_referer: bool = False,
) -> Arrived:
    """What Envoy makes of `headers`, which come over a connection from `address`.

    `x-request-id` is another one at each call, unless the edge keeps the client's. Where `address` is
    127.0.0.1 or ::1, Envoy appends an address of its own host to X-Forwarded-For, which is not known here:
    it is given as `address`. `keep_referer`: whether the edge keeps one that Envoy would remove.
    """
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    address = _text(mapped or found)
    lines = [(name.lower(), value.strip(" \t")) for name, value in headers]
    client = _client(joined(lines, "x-forwarded-for"), address, trusted_hops)
    gone = _removed(lines, keep_referer)
    kept = [(name, value) for name, value in lines if name not in gone]
    if joined(kept, "te"):
        _replace(kept, "te", "trailers")
    _replace(kept, "x-forwarded-for", ",".join(filter(None, (joined(kept, "x-forwarded-for"), address))))
    proto = joined(kept, "x-forwarded-proto") if trusted_hops else None
    _replace(kept, "x-forwarded-proto", scheme if proto is None else proto)
    random_id = not keep_request_id or joined(kept, REQUEST_ID) is None
    if random_id:
        _replace(kept, REQUEST_ID, str(uuid.uuid4()))
    return Arrived(kept, client, random_id)


def _upgrade(headers: Headers) -> str:
    """The protocol that an upgrade asks for, in lower case; "" for none, and for those that Envoy ignores."""
    named = (joined(headers, "upgrade") or "").lower()
    asked = "upgrade" in _tokens(headers)
    return named if asked and named != "h2c" and not named.startswith("tls/") else ""


def _tokens(headers: Headers) -> list[str]:
    found = (joined(headers, "connection") or "").split(",")
    return [one.strip(" \t").lower() for one in found if one]


def _removed(lines: Headers, keep_referer: bool) -> set[str]:
    """Names of the headers that are gone before rules are looked at, or set anew."""
    gone = {"x-forwarded-client-cert"} | {name for name, _ in lines if name.startswith(_PROXIES_OWN)}
    nominated: set[str] = set()
    if _upgrade(lines):
        gone |= _HOP_BY_HOP - {"connection", "upgrade"}
    else:
        gone |= _HOP_BY_HOP
        nominated = set(_tokens(lines)) - _NOT_NOMINATED
        gone |= nominated
        if (joined(lines, "upgrade") or "").lower() == "h2c":
            gone.add("http2-settings")
    te = joined(lines, "te")
    if te and _asks_for_trailers(te, "te" in nominated):
        gone.discard("te")
    elif te:
        gone.add("te")
    if (joined(lines, "expect") or "").lower() == "100-continue":
        gone.add("expect")
    referer = joined(lines, "referer")
    if referer is not None and not keep_referer and not is_kept(referer):
        gone.add("referer")
    return gone


def _asks_for_trailers(te: str, nominated: bool) -> bool:
    tokens = [one.strip(" \t") for one in te.split(",")]
    return "trailers" in ([one.lower() for one in tokens] if nominated else tokens)


def _text(address: IPv4Address | IPv6Address) -> str:
    """`address` as Envoy writes it, by inet_ntop: ::ffff:10.1.2.3 rather than ::ffff:a01:203."""
    if isinstance(address, IPv6Address) and address.scope_id is None:
        if address.ipv4_mapped:
            return f"::ffff:{address.ipv4_mapped}"
        if 0xFFFF < int(address) <= 0xFFFFFFFF:
            return f"::{IPv4Address(int(address))}"
    return str(address)


def _client(forwarded: str | None, address: str, trusted_hops: int) -> str:
    """The address that the outermost trusted proxy wrote; the connection's where it wrote none."""
    if not trusted_hops or forwarded is None:
        return address
    parts = forwarded.split(",")
    if len(parts) < trusted_hops:
        return address
    try:
        return _text(ip_address(parts[-trusted_hops].strip(" \t")))
    except ValueError:
        return address


def _replace(headers: list[tuple[str, str]], name: str, value: str) -> None:
    headers[:] = [*((key, text) for key, text in headers if key != name), (name, value)]
