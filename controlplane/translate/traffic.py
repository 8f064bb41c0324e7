"""What proxies count of each request, and how such a count is read again.

Every proxy has counters and histograms with one label, `laneway.of`, that says everything about a request:
one label costs half of what seven do. Its parts have a space between them. Nothing in it comes from a client,
so clients cannot make a proxy keep more counters. docs/decisions/0022-traffic-statistics.md has the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, unquote

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import metadata_pb2, value_pb2
from google.protobuf import any_pb2, wrappers_pb2

from controlplane.plan.base import names_base
from controlplane.tracing.reports import Report
from controlplane.translate.gates import DRAWS
from controlplane.translate.messages import field, pack
from controlplane.translate.names import service_of_cluster

Hop = Literal["edge", "outbound", "inbound"]
"""Where a request was counted: by an edge, by the sidecar of its caller, or by that of its receiver."""

REQUESTS = "laneway.requests"
DURATION = "laneway.duration"
"""Names of the counter and of the histogram, as Envoy has them. The histogram counts milliseconds."""
EJECTED = "laneway.ejected"
"""The gauge of the instances of a cluster that outlier detection has ejected, as bootstraps name it."""
LABEL = "laneway.of"
SERVED_KEY = "of"
"""The key of an endpoint's metadata with its tag and application."""
MOST_COUNTERS = 4_096
"""Counters, and histograms, that one listener of a proxy may have. Beyond that, Envoy counts nothing new."""

_CHOSEN = "%ROUTE_NAME% %UPSTREAM_CLUSTER_RAW%"
# The share of a lane is drawn within one route: only the header that is then set says which lane it was.
_DRAWN = "%ROUTE_NAME%/%REQ({header})% %UPSTREAM_CLUSTER_RAW%"
_SERVED = f"%UPSTREAM_METADATA(lane:{SERVED_KEY})%"
_ONCE = "%RESPONSE_CODE% %RESPONSE_FLAGS%"
_END = f"{_ONCE} %UPSTREAM_REQUEST_ATTEMPT_COUNT%"
_LETTERS: dict[str, Hop] = {"e": "edge", "o": "outbound", "i": "inbound"}
_AS_BASE = "+"
"""Before the tag of an instance that answered as base. Tags have no such character."""
_DRAWS = "draws"
"""What the filter `draws` notes of requests whose route may draw a lane."""

# `stats_scope` (field 6, of the type envoy.type.v3.Scope): the generated messages do not know it. Fields of
# Scope in Envoy 1.40: 1 max_counters and 3 max_histograms, both google.protobuf.UInt32Value, and 5 prefix.
_MOST = wrappers_pb2.UInt32Value(value=MOST_COUNTERS).SerializeToString()
_STATS_SCOPE = field(6, field(1, _MOST) + field(3, _MOST) + field(5, b"laneway"))


def served(tag: str | None, application: str, base: bool) -> str:
    """The value of SERVED_KEY for an instance. The tag is empty for base; if a promoted tag is base, it is
    marked.
    """
    mark = _AS_BASE if base and tag is not None else ""
    return f"{mark}{tag or ''}@{quote(application, safe='/:._-~+')}"


def counted_by_edge(header: str) -> list[accesslog_pb2.AccessLog]:
    """`header` is the gateway's carrier: edges remove it from requests, and set it once a lane is chosen."""
    return [
        _counting("traffic", f"e {_CHOSEN}", _SERVED, _draws(False)),
        _counting("drawn traffic", f"e {_DRAWN.format(header=header)}", _SERVED, _draws(True)),
    ]


def counted_outbound() -> accesslog_pb2.AccessLog:
    """Requests of the application beside a sidecar."""
    return _counting("traffic", f"o {_CHOSEN}", _SERVED, None)


def counted_inbound() -> accesslog_pb2.AccessLog:
    """Requests to the application beside a sidecar."""
    return _counting("traffic", f"i {_CHOSEN}", "", None, end=f"{_ONCE} 1")  # never tried again


def draws_filter() -> hcm_pb2.HttpFilter:
    """A filter that notes, on routes with the configuration `drawing`, that the route may draw a lane."""
    return hcm_pb2.HttpFilter(name=DRAWS, typed_config=pack(header_to_metadata_pb2.Config()))


def drawing() -> any_pb2.Any:
    """The configuration of that filter on routes that draw a lane: every request has a method."""
    config = header_to_metadata_pb2.Config
    pair = config.KeyValuePair(metadata_namespace="laneway", key=_DRAWS, value="1")
    return pack(config(request_rules=[config.Rule(header=":method", on_header_present=pair)]))


def _draws(wanted: bool) -> accesslog_pb2.AccessLogFilter:
    matcher = metadata_pb2.MetadataMatcher(
        filter="laneway",
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=_DRAWS)],
        value=value_pb2.ValueMatcher(present_match=wanted),
    )
    return accesslog_pb2.AccessLogFilter(
        metadata_filter=accesslog_pb2.MetadataFilter(
            matcher=matcher, match_if_key_not_found=wrappers_pb2.BoolValue(value=not wanted)
        )
    )


def _counting(
    name: str, chosen: str, served: str, of: accesslog_pb2.AccessLogFilter | None, end: str = _END
) -> accesslog_pb2.AccessLog:
    config = stats_pb2.Config

    def stat(name: str, label: str) -> stats_pb2.Config.Stat:
        return config.Stat(
            name=name.removeprefix("laneway."), tags=[config.Tag(name=LABEL, value_format=label)]
        )

    whole = config(
        counters=[
            config.Counter(
                stat=stat(REQUESTS, f"{chosen} {served} {end}"),
                value_fixed=wrappers_pb2.UInt64Value(value=1),
            )
        ],
        histograms=[
            config.Histogram(
                stat=stat(DURATION, f"{chosen} {served}"),
                unit=config.Histogram.Milliseconds,
                value_format="%DURATION%",
            )
        ],
    )
    packed = pack(whole)
    return accesslog_pb2.AccessLog(
        name=name,
        filter=of,
        typed_config=any_pb2.Any(type_url=packed.type_url, value=packed.value + _STATS_SCOPE),
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """What a label says. `tag` is that of who answered: None for nobody, "" for base.

    route, lane: "" where there is none. application: of who answered. base: it answered as base. status: 0
    where there was no answer. flags: Envoy's, such as UH. attempts: how often it was sent on. The last three
    are of counters alone.
    """

    hop: Hop
    route: str
    lane: str
    cluster: str
    tag: str | None
    application: str
    status: int = 0
    flags: frozenset[str] = frozenset()
    attempts: int = 0
    base: bool = False

    @property
    def service(self) -> str | None:
        """The canonical id of the service that was asked; inbound, it is that of the sidecar."""
        return service_of_cluster(self.cluster)

    @property
    def in_lane(self) -> bool:
        """Whether the request was meant for the lane's instances of this service."""
        return ">" in self.cluster

    @property
    def strict(self) -> bool:
        """Whether base must not answer in place of the lane."""
        return self.cluster.endswith(">none")


def counted(report: Report) -> Counted:
    """What the label of a request says that was reported by itself, at the side of its caller."""
    found = Counted(
        hop=report.side,
        route=report.route.partition("/")[0] if report.side == "edge" else "",
        lane=report.lane if report.side == "edge" else report.route,
        cluster=report.cluster,
        tag=(report.tag if report.tag != "base" else "") if report.tag else None,
        application=report.application,
    )
    kept = not names_base(found.lane) and (found.hop == "edge" or found.in_lane)
    return found if kept else replace(found, lane="")


def read(label: str, counter: bool) -> Counted | None:
    """What a label says, of a counter or of a histogram; None if it is not a label of Laneway's."""
    parts = label.split(" ")
    least = 7 if counter else 4
    if len(parts) < least or parts[0] not in _LETTERS:
        return None
    hop = _LETTERS[parts[0]]
    last = len(parts) - (3 if counter else 0)
    tag, at, application = parts[last - 1].partition("@")
    base = bool(at) and tag[:1] in ("", _AS_BASE)
    tag = tag.removeprefix(_AS_BASE)
    route, _, lane = parts[1].partition("/")
    if hop == "outbound":
        route, lane = "", route
    elif hop == "edge":
        lane = lane.rpartition("/")[2]
        lane = "" if names_base(lane) else lane
    found = Counted(
        hop=hop,
        route=route if hop == "edge" else "",
        lane=lane,
        cluster=" ".join(parts[2 : last - 1]),
        tag=tag if at else None,
        application=unquote(application),
        base=base,
    )
    if hop == "outbound" and not found.in_lane:
        found = replace(found, lane="")
    if not counter:
        return found
    status, flags, attempts = parts[last:]
    return replace(
        found,
        status=int(status) if status.isdecimal() else 0,
        flags=frozenset(flags.split(",")) - {"-", ""},
        attempts=int(attempts) if attempts.isdecimal() else 0,
    )
