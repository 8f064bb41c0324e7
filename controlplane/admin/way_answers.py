"""The bodies of answers about the ways of requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from controlplane.admin.answers import Answer, Count
from controlplane.tracing.names import TOKEN_HEADER
from controlplane.tracing.propagation import Finding, Observed
from controlplane.tracing.watches import Watch
from controlplane.tracing.way import Way


class TraceRequest(BaseModel):
    """Which gateway's edges are to recognise the request, and for how many seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: Annotated[str, Field(min_length=1, max_length=63)]
    seconds: Annotated[float, Field(ge=1, le=60)] = 20.0


class PropagationRequest(BaseModel):
    """For how many seconds the sidecars report, and of which lane group (none: of all)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: Annotated[float, Field(ge=1, le=60)] = 10.0
    group: Annotated[str, Field(min_length=1, max_length=63)] | None = None


class TraceBegun(Answer):
    id: str
    header: Annotated[str, Field(description="Name of the header that the request must carry")]
    token: Annotated[str, Field(description="Its value, for this trace only; the edge removes it")]
    seconds: Annotated[float, Field(description="Until the proxies report no more")]
    not_reporting: Annotated[
        tuple[str, ...], Field(description="Proxies whose bootstraps do not say how to report")
    ] = ()
    not_ready: Annotated[tuple[str, ...], Field(description="Proxies that have not confirmed the trace")] = ()


class WayHop(Answer):
    depth: Count
    caller: Annotated[str, Field(description="A gateway, or an application")]
    application: str
    service: str
    instance: str
    tag: Annotated[str | None, Field(description="Tag of the instance that served; base, or none known")]
    lane: Annotated[str | None, Field(description="The lane by which the call was routed")]
    given: Annotated[str | None, Field(description="The lane that the caller itself sent")]
    carrier: Annotated[
        Literal["", "rule", "header", "baggage", "tracestate", "trace", "instance"],
        Field(description="How the proxy found the lane; rule: the edge chose it"),
    ]
    fallback: bool
    status: Count
    flags: list[str]
    duration_ms: float
    known: Annotated[
        Literal["edge", "id", "time", "perhaps"],
        Field(description="How the call was recognised as part of the way"),
    ]
    late: Annotated[bool, Field(description="The caller had answered before")]


class LostLane(Answer):
    application: str
    instance: str
    lane: str
    to: str
    sent: str | None
    healed: Annotated[
        bool, Field(description="The instance's tag, or its trace, gave the call its lane again")
    ]
    certain: bool


class Trace(Answer):
    id: str
    running: bool
    seen: Annotated[bool, Field(description="Whether the edge has reported the request")]
    route: str | None
    lane: str | None
    hops: list[WayHop]
    lost: list[LostLane]
    reports: Count
    left_out: Annotated[Count, Field(description="Reports beyond the bound of a trace")]
    not_reporting: tuple[str, ...] = ()
    not_ready: tuple[str, ...] = ()


def begun(watch: Watch, now: float) -> TraceBegun:
    return TraceBegun(
        id=watch.id,
        header=TOKEN_HEADER,
        token=watch.token,
        seconds=round(max(watch.until - now, 0.0), 3),
        not_reporting=watch.missing,
        not_ready=watch.late,
    )


def trace(watch: Watch, found: Way, running: bool) -> Trace:
    return Trace(
        id=watch.id,
        running=running,
        seen=found.seen,
        route=found.route or None,
        lane=found.lane or None,
        hops=[
            WayHop(
                depth=hop.depth,
                caller=hop.caller,
                application=hop.application,
                service=hop.service,
                instance=hop.instance,
                tag=hop.tag or None,
                lane=hop.lane or None,
                given=hop.given or None,
                carrier=hop.carrier,
                fallback=hop.fallback,
                status=hop.status,
                flags=list(hop.flags),
                duration_ms=round(hop.duration * 1000, 3),
                known=hop.known,
                late=hop.late,
            )
            for hop in found.hops
        ],
        lost=[
            LostLane(
                application=one.application,
                instance=one.instance,
                lane=one.lane,
                to=one.to,
                sent=one.sent or None,
                healed=one.healed,
                certain=one.certain,
            )
            for one in found.losses
        ],
        reports=len(watch.reports),
        left_out=watch.left_out,
        not_reporting=watch.missing,
        not_ready=watch.late,
    )


class PropagationTo(Answer):
    """What an application did with the lane in its calls to one service."""

    application: str
    to: str
    verdict: Literal["keeps", "loses", "undecided"]
    kept: Annotated[Count, Field(description="Calls of coloured requests that carried the lane")]
    lost: Annotated[Count, Field(description="Calls of coloured requests that did not")]
    share: Annotated[float | None, Field(description="Percentage of these calls that lost it")]
    by: Annotated[
        Literal["id", "time", ""], Field(description="How lost calls were recognised as those of a request")
    ]
    reason: str


class Propagation(Answer):
    running: bool
    observed: Annotated[str | None, Field(description="When the last observation ended")]
    seconds: float
    reports: Count
    left_out: Count
    coloured: Annotated[dict[str, Count], Field(description="Coloured requests by application")]
    items: list[PropagationTo]
    not_reporting: tuple[str, ...] = ()


def propagation(found: Observed) -> Propagation:
    return Propagation(
        running=found.running,
        observed=found.at,
        seconds=found.seconds,
        reports=found.reports,
        left_out=found.left_out,
        coloured=dict(found.coloured),
        items=[_to(one) for one in found.findings],
        not_reporting=found.missing,
    )


def _to(one: Finding) -> PropagationTo:
    return PropagationTo(
        application=one.application,
        to=one.to,
        verdict=one.verdict,
        kept=one.kept,
        lost=one.lost,
        share=None if one.share is None else round(one.share * 100, 1),
        by=one.by,
        reason=one.reason,
    )


WAYS: list[type[BaseModel]] = [TraceBegun, Trace, Propagation]
ASKED_OF_WAYS: tuple[type[BaseModel], ...] = (TraceRequest, PropagationRequest)
