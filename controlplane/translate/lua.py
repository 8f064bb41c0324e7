"""The Lua filters, each a source file beside this module plus a head of constants.

They arrive as extension configurations (ECDS), so that a new cookie name or another default lane changes no
listener: a changed listener would drain its connections, and old connections would keep the old code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from controlplane.model.sticky import USUAL, Sticky
from controlplane.plan.baggage import canonical_name
from controlplane.plan.conditions import HOST_HEADER, carried_in, lifted_header
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.lanes import LaneMeaning
from controlplane.translate.messages import ADS, pack, struct

LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
LIFTED = ("query", "cookie")
"""Sources of conditions whose values are copied into a header for each name."""


@lru_cache
def _source(name: str) -> str:
    return files("controlplane.translate").joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _quote(text: str) -> str:
    return (
        '"'
        + "".join(
            f"\\{byte:03d}" if byte < 32 or byte > 126 or byte in b'"\\' else chr(byte)
            for byte in text.encode()
        )
        + '"'
    )


def _table(entries: Iterable[tuple[str, str]]) -> str:
    found = sorted(entries)
    return "{" + ", ".join(f"[{_quote(k)}]={_quote(v)}" for k, v in found) + "}" if found else "nil"


def _names(members: Iterable[str]) -> str:
    """The table that `baggage.lua` looks names up in; of two that agents take for one, the last counts."""
    found = {canonical_name(member.encode()).decode(): member for member in members}
    return f"local NAMES = {_table(found.items())}"


def _extension(name: str, head: str, source: str) -> extension_pb2.TypedExtensionConfig:
    code = lua_pb2.Lua(default_source_code=base_pb2.DataSource(inline_string=f"{head}\n{source}"))
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(code))


def edge_filter(plan: GatewayPlan) -> extension_pb2.TypedExtensionConfig:
    """The edge's filter: named `edge-request`, the same name for every gateway."""
    lifted = {(c.source, c.name or "", carried_in(c)) for c in plan.conditions() if c.source in LIFTED}
    stickies = [r.ratio.sticky for r in plan.routes if r.ratio and r.ratio.sticky and r.ratio.sticky.cookie]
    cookies = {(name, key) for source, name, key in lifted if source == "cookie"}
    headers = {header for header, _ in plan.foreign} - {plan.carriers.header.lower()}
    cookies |= {(s.cookie, lifted_header("cookie", s.cookie)) for s in stickies if s.cookie}
    asked = sorted({(cookie_note(s), s.cookie or "", s.set_cookie) for s in stickies})
    stayed = ", ".join(
        f"[{_quote(note)}]={{name={_quote(name)}, rest={_quote(rest)}}}" for note, name, rest in asked
    )
    head = "\n".join(
        [
            f"local HEADER = {_quote(plan.carriers.header.lower())}",
            f"local MEMBER = {_quote(plan.carriers.baggage)}",
            f"local FOREIGN = {_table((header, '') for header in headers)}",
            _names([*(member for _, member in plan.foreign), plan.carriers.baggage]),
            f"local TRUST = {'true' if plan.trusted is not None else 'false'}",
            f"local QUERIES = {_table((name, key) for source, name, key in lifted if source == 'query')}",
            f"local COOKIES = {_table(cookies)}",
            f"local ASKED_HOST = {_quote(HOST_HEADER) if _reads_host(plan) else 'nil'}",
            f"local STICKY = {{{stayed}}}",
        ]
    )
    source = _source("baggage") + _source("edge")
    return _extension("edge-request", head, source + _source("edge_state") if plan.by_trace else source)


def cookie_note(sticky: Sticky) -> str:
    """The name under which the edge's filter notes a Set-Cookie: routes may ask for different attributes."""
    key = lifted_header("cookie", sticky.cookie or "")
    if sticky.set_cookie == USUAL.text:
        return key
    return f"{key}-{hashlib.sha256(sticky.set_cookie.encode()).hexdigest()[:8]}"


def _reads_host(plan: GatewayPlan) -> bool:
    return any(c.source == "host" for c in plan.conditions())


def lifted_headers(plan: GatewayPlan) -> list[str]:
    """Every header that the edge's filter may set for matching: none may go upstream."""
    names = {carried_in(c) for c in plan.conditions() if c.source in (*LIFTED, "host")}
    names |= {
        lifted_header("cookie", r.ratio.sticky.cookie)
        for r in plan.routes
        if r.ratio and r.ratio.sticky and r.ratio.sticky.cookie
    }
    return sorted(names)


def sidecar_filter(
    direction: str, carriers: Iterable[tuple[str, str]], default: LaneMeaning | None, by_trace: bool = False
) -> extension_pb2.TypedExtensionConfig:
    """The filter `inbound-request` or `outbound-request`; `carriers` are (header, baggage member).

    `by_trace`: it also reads and sets `tracestate`, and remembers the lanes of traces.
    """
    known = list(carriers)
    listed = ", ".join(f"{{header={_quote(h)}, baggage={_quote(b)}}}" for h, b in known)
    given = "nil"
    if default is not None:
        lane, carrier, member = map(_quote, (default.name, default.header, default.baggage))
        given = f"{{lane={lane}, header={carrier}, baggage={member}}}"
        known.append((default.header, default.baggage))
    head = "\n".join(
        [
            f"local OUTBOUND = {'true' if direction == 'outbound' else 'false'}",
            f"local CARRIERS = {{{listed}}}",
            f"local DEFAULT = {given}",
            _names(member for _, member in known),
        ]
    )
    source = _source("baggage") + _source("sidecar")
    if by_trace:
        source = _source("traces") + source + _source("sidecar_state")
    return _extension(f"{direction}-request", head, source)


def discovered(name: str) -> hcm_pb2.HttpFilter:
    """A filter whose configuration is asked for by `name` over the same stream."""
    return hcm_pb2.HttpFilter(
        name=name,
        config_discovery=config_source_pb2.ExtensionConfigSource(config_source=ADS, type_urls=[LUA_TYPE]),
    )


def fixed_filter(name: str) -> hcm_pb2.HttpFilter:
    """A filter whose code stands in the listener: `receive`, `reply`, `destination`, `host`, `elsewhere`."""
    code = lua_pb2.Lua(default_source_code=base_pb2.DataSource(inline_string=_source(name)))
    # They say themselves when the route is to be looked for again: a changed header alone must not.
    code.clear_route_cache.value = False
    return hcm_pb2.HttpFilter(name=name, typed_config=pack(code))


def reply_context(lane: str) -> lua_pb2.LuaPerRoute:
    """What `reply` knows of the route of a lane that does not fall back."""
    return lua_pb2.LuaPerRoute(filter_context=struct({"strict": lane}))
