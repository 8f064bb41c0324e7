"""One request as one proxy reports it, read from an entry of Envoy's access log service.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/data/accesslog/v3/accesslog.proto
Only what a way is put together from is kept: no query string, no cookie, no other header of the request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from controlplane.tracing.names import NOTES, WATCHED

Side = Literal["edge", "inbound", "outbound"]
Carrier = Literal["", "rule", "header", "baggage", "tracestate", "trace", "instance"]
SIDES: tuple[Side, ...] = ("edge", "inbound", "outbound")
CARRIED: tuple[Carrier, ...] = ("header", "baggage", "tracestate")
"""What a request may carry its lane in, in the order of belief."""
LONGEST = 256
"""Characters of a text that are kept."""
NO_LANE = frozenset({"", "base", "read", "tunnel", "~elsewhere", "-"})
"""Names of routes of sidecars that are no lane's."""

_TRACE = {
    "traceparent": re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-"),
    "b3": re.compile(r"([0-9a-f]{16,32})-"),
    "x-b3-traceid": re.compile(r"([0-9a-f]{16,32})$"),
    "sw8": re.compile(r"[01]-([^-]+)-"),
    "uber-trace-id": re.compile(r"([0-9a-f]{1,32}):"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """A request at one proxy. Times are seconds; `start` is by the clock of the proxy.

    `given` is the lane that the request brought and `carrier` how; `lane` is that by which the proxy routed
    it. `tag`, `service` and `application` are those of the instance that served it. `trace` is the id of its
    trace as tracing systems show it, and the first of `traces` if they disagree. `peer` and `local` are
    the ends of the connection that it came on, `upstream_local` and `upstream` those of the one that it went
    on, as ip:port.
    """

    node: str
    owner: str
    side: Side
    start: float
    duration: float
    request_id: str
    traces: frozenset[str]
    given: str
    carrier: Carrier
    lane: str
    method: str
    host: str
    path: str
    route: str
    cluster: str
    service: str
    application: str
    tag: str
    peer: str
    local: str
    upstream_local: str
    upstream: str
    status: int
    flags: tuple[str, ...]
    token: str = ""
    trace: str = ""

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def fallback(self) -> bool:
        """Base served it although its lane has a cluster of its own."""
        return bool(self.lane) and self.cluster.endswith(">base") and self.tag == "base"

    def ids(self) -> Iterator[str]:
        """Every id by which a call may be recognised."""
        if self.request_id:
            yield self.request_id
        yield from self.traces


def read(entry: Any, node: str, owner: str, side: Side) -> Report:
    """The report in an HTTPAccessLogEntry of the proxy `node`, which belongs to `owner`: a gateway or an
    application.
    """
    common, request = entry.common_properties, entry.request
    notes = common.metadata.filter_metadata[NOTES].fields if common.metadata.filter_metadata else {}
    headers = {name.lower(): value for name, value in request.request_headers.items()}
    route = _kept(common.route_name)
    given, carrier = "", ""
    if side == "edge":
        other = [value for name, value in headers.items() if name not in _TRACE]
        lane = _kept(other[0]) if other else ""
        carrier = "rule" if lane else ""
    else:
        for one in CARRIED:
            value = notes[one].string_value if one in notes else ""
            if value:
                given, carrier = _kept(value), one
                break
        lane = given
        if not lane and side == "outbound" and route not in NO_LANE:
            lane, carrier = route, "instance"
    return Report(
        node=node,
        owner=owner,
        side=side,
        start=common.start_time.seconds + common.start_time.nanos / 1e9,
        duration=common.duration.seconds + common.duration.nanos / 1e9,
        request_id=_kept(request.request_id),
        traces=frozenset(_traces(headers)),
        given=given,
        carrier=carrier,
        lane=lane,
        method=_method(request.request_method),
        host=_kept(request.authority),
        path=_kept(request.path.partition("?")[0]),
        route=route,
        cluster=_kept(common.custom_tags.get("routed", "")),
        service=_kept(common.custom_tags.get("service", "")),
        application=_kept(common.custom_tags.get("application", "")),
        tag=_kept(common.custom_tags.get("tag", "")),
        peer=_address(common.downstream_direct_remote_address),
        local=_address(common.downstream_local_address),
        upstream_local=_address(common.upstream_local_address),
        upstream=_address(common.upstream_remote_address),
        status=entry.response.response_code.value,
        flags=tuple(field.name for field, value in common.response_flags.ListFields() if value is True),
        token=_kept(notes[WATCHED].string_value) if side == "edge" and WATCHED in notes else "",
        trace=_trace(headers),
    )


def _kept(text: str) -> str:
    """What is kept of a text that a client chose."""
    cut = text[:LONGEST]
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode()[:LONGEST]


def _method(number: int) -> str:
    from envoy.config.core.v3 import base_pb2

    return base_pb2.RequestMethod.Name(number) if number in base_pb2.RequestMethod.values() else ""


def _traces(headers: dict[str, str]) -> Iterator[str]:
    for name, pattern in _TRACE.items():
        found = pattern.match(headers.get(name, ""))
        if found is not None:
            yield found[1][:LONGEST]


def _trace(headers: dict[str, str]) -> str:
    for name, pattern in _TRACE.items():
        found = pattern.match(headers.get(name, ""))
        if found is not None:
            return _decoded(found[1][:LONGEST]) if name == "sw8" else found[1]
    return ""


def _decoded(text: str) -> str:
    """An id of SkyWalking, which travels in Base64; "" if it is none."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _address(address: Any) -> str:
    socket = address.socket_address
    if not socket.address:
        return ""
    host = f"[{socket.address}]" if ":" in socket.address else socket.address
    return f"{host[:LONGEST]}:{socket.port_value}"
