"""The bodies of answers about traffic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from controlplane.admin.answers import Answer, Count, Times
from controlplane.traffic.meter import Why
from controlplane.traffic.series import FIELDS, Key

Rate = Annotated[float, Field(ge=0)]
Milliseconds = Annotated[float | None, Field(description="null without requests")]


class Latency(Answer):
    """Durations of requests in milliseconds, from the first byte of a request to the last of its answer."""

    p50: Milliseconds
    p90: Milliseconds
    p99: Milliseconds


class Sums(Answer):
    """What was counted in a time, and its rates a second."""

    requests: Count
    qps: Rate
    exceptions: Annotated[Count, Field(description="server_errors and resets")]
    exception_qps: Rate
    error_rate: Annotated[float | None, Field(description="exceptions of requests, 0 to 1; null without any")]
    client_errors: Annotated[Count, Field(description="Answers with a status from 400 to 499")]
    server_errors: Annotated[Count, Field(description="Answers with a status of 500 or more")]
    resets: Annotated[Count, Field(description="Requests without an answer, or with half of one")]
    cancelled: Annotated[Count, Field(description="Requests that the client gave up")]
    retries: Count
    fallbacks: Annotated[Count, Field(description="Requests of a lane that base answered in its place")]
    refusals: Annotated[Count, Field(description="Requests for which there was no instance")]
    latency: Latency


class Steps(Answer):
    """One value a step, the oldest first."""

    qps: list[Rate]
    exception_qps: list[Rate]
    p50: list[Milliseconds]
    p99: list[Milliseconds]


class Part(Sums):
    steps: Steps


class TagPart(Part):
    tag: Annotated[str, Field(description='Of who answered: "base", a tag, or "" for nobody')]


class LaneSums(Sums):
    lane: Annotated[str, Field(description='"" for requests in no lane')]


class ServiceSums(Sums):
    service: str


class TrafficGap(Answer):
    """Requests of a proxy may be missing."""

    node: str
    start: str
    end: Annotated[str | None, Field(description="null while it lasts")]
    why: Annotated[
        Why,
        Field(
            description="restarted: what it counted between its last report and its end; silent: no report "
            "comes; away: it may have reported to another control plane in between; new: it was first seen "
            "some time after its start; moved: what it counted between its last report to one control plane "
            "and its first to another"
        ),
    ]


class Reporting(Answer):
    """Proxies of this control plane and of those that answered it."""

    connected: Annotated[Count, Field(description="Edges and sidecars with an open xDS stream")]
    reporting: Annotated[Count, Field(description="Proxies that have reported in the last 12 seconds")]


class AskedPeer(Answer):
    """Another control plane that was asked. Without its answer the figures lack its proxies."""

    peer: Annotated[str, Field(description="Its URL, as it was set")]
    problem: Annotated[str, Field(description="Why it did not answer; absent if it did")] = ""


class Measured(Answer):
    """What every answer about traffic begins with. The window ends with the last slot that is over."""

    start: str
    end: str
    step: Annotated[Count, Field(description="Seconds")]
    seen_by: Annotated[
        Literal["callers", "receivers"],
        Field(
            description="callers: counted by edges and by sidecars of callers; receivers: by the sidecars of "
            "the application, where no caller has counted anything"
        ),
    ]
    proxies: Reporting
    peers: Annotated[list[AskedPeer], Field(description="The other control planes that were asked")]
    gaps: list[TrafficGap]


class ApplicationTraffic(Measured):
    """`gray`: answered by tagged instances. `received`: counted by the application's own sidecars."""

    application: str
    total: Part
    base: Part
    gray: Part
    tags: list[TagPart]
    lanes: list[LaneSums]
    services: list[ServiceSums]
    received: Sums


class ServiceTraffic(Measured):
    service: str
    total: Part
    base: Part
    gray: Part
    tags: list[TagPart]
    lanes: list[LaneSums]
    received: Sums


class LaneService(Answer):
    """A service of the lane's group: its requests in the lane, beside those in no lane."""

    service: str
    application: str
    lane: Sums
    base: Sums


class LaneTraffic(Measured):
    """`lane`: requests in it; `base`: requests in no lane to the same services. `share`: the part of the
    requests at the gateway's edges, on the lane's routes, that were in it, 0 to 1; null without any.
    """

    lane_name: str
    group: str
    gateway: str
    tag: str
    enabled: bool
    times: Annotated[Times | None, Field(description="Only of a lane that has times")] = None
    share: float | None
    edge: Sums
    lane: Part
    base: Part
    services: list[LaneService]


class RouteSums(Sums):
    route: Annotated[str, Field(description='"" for requests that met no route')]
    service: str


class GatewayTraffic(Measured):
    gateway: str
    total: Part
    routes: list[RouteSums]
    lanes: list[LaneSums]
    tags: list[TagPart]


class RouteTraffic(Measured):
    gateway: str
    route: str
    total: Part
    lanes: list[LaneSums]
    tags: list[TagPart]


class ApplicationLine(Answer):
    application: str
    qps: Rate
    exception_qps: Rate
    gray_qps: Rate
    p50: Milliseconds
    p99: Milliseconds


class LaneLine(Answer):
    """qps is that of all hops of the lane; share that of the gateway's requests."""

    lane: str
    group: str
    qps: Rate
    edge_qps: Rate
    share: float | None
    error_rate: float | None
    base_error_rate: float | None
    p50: Milliseconds
    p99: Milliseconds
    base_p99: Milliseconds
    fallback_qps: Rate
    refusal_qps: Rate


class GatewayLine(Answer):
    gateway: str
    qps: Rate
    exception_qps: Rate
    p99: Milliseconds


class TrafficSummary(Answer):
    """The last two slots, ten seconds."""

    at: str
    seconds: Count
    proxies: Reporting
    peers: list[AskedPeer]
    gateways: list[GatewayLine]
    applications: list[ApplicationLine]
    lanes: list[LaneLine]


class OwnGap(Answer):
    """Times are seconds since the epoch."""

    node: str
    start: float
    end: float | None
    why: Why


class OwnSeries(Answer):
    key: Annotated[
        list[str],
        Field(
            min_length=len(Key._fields),
            max_length=len(Key._fields),
            description="hop, gateway, route, service, application, lane, tag",
        ),
    ]
    last: Annotated[Count, Field(description="The last slot in which something was counted")]
    rows: Annotated[
        list[Annotated[list[Count], Field(min_length=1 + FIELDS, max_length=1 + FIELDS)]],
        Field(description="A row a step with something in it: its first slot, and the count of each field"),
    ]


class OwnTraffic(Answer):
    """What this control plane has counted itself; others ask for it. slots: times of 5 seconds since the
    epoch.
    """

    identity: Annotated[str, Field(description="Of this process: it may be asked by itself")]
    connected: Count
    reporting: Count
    gaps: list[OwnGap]
    series: list[OwnSeries]
    ejected: Annotated[
        dict[str, tuple[Count, Count]],
        Field(description="By cluster: the most instances that one proxy has ejected, and how many have any"),
    ]


ANSWERS: list[type[BaseModel]] = [
    ApplicationTraffic,
    ServiceTraffic,
    LaneTraffic,
    GatewayTraffic,
    RouteTraffic,
    TrafficSummary,
    OwnTraffic,
]
