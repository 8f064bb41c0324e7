"""What the admin API answers to explain, as the models of `explained`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.admin import answers
from controlplane.admin import explained as explain_body
from controlplane.admin.shapes import Counted, addresses, in_lane
from controlplane.model.conditions import Condition
from controlplane.model.fields import seconds
from controlplane.model.gateway_fields import AccessLog, Tracing
from controlplane.model.route_actions import Retries
from controlplane.model.upstream_fields import HealthCheck
from controlplane.plan.effects import HeaderChange
from controlplane.plan.entrance import Entrance
from controlplane.plan.evaluate import ConditionOutcome, LaneOutcome
from controlplane.plan.inheritance import Inheritance
from controlplane.plan.preview import Explanation, Hop
from controlplane.plan.upstream import KEEP_ALIVE, Upstream

VALUE_BYTES = 256
"""Of one value that an answer shows; what is longer is cut, and its length said."""
LIST_BYTES = 1024
"""Of the list of a condition with `in`."""
LINES = 2000
"""Lanes and conditions that one answer shows."""


def explained(
    found: Explanation, resting: Sequence[answers.Resting], counted: Counted
) -> explain_body.Explained:
    """The body of POST /v1/explain. counted: by lane and service."""
    decision = found.decision
    forwarded, answered = found.forwarded, found.answered
    listed, left_out = evaluated(decision.evaluated)
    return explain_body.Explained(
        route=decision.route.name if decision.route else None,
        lane=decision.lane,
        reason=decision.reason,
        path=found.path,
        client_address=found.client_address,
        removed_headers=list(found.removed_headers),
        evaluated=listed,
        evaluated_left_out=left_out,
        hops=[_hop(one, in_lane(counted, decision.lane or "", one.service)) for one in found.hops],
        candidates=[explain_body.Candidate(lane=lane, share=share) for lane, share in decision.candidates],
        resting=list(resting),
        forwarded=forwarded and explain_body.Forwarded(path=forwarded.path, host=forwarded.host),
        answered=answered and explain_body.Answered(status=answered.status, location=answered.location),
        request_timeout=found.request_timeout,
        idle_timeout=found.idle_timeout,
        listener=_listener(found.entrance),
        request_headers=_changes(found.request_headers),
        response_headers=_changes(found.response_headers),
        cors_allowed=found.readable,
        retries=_retries(decision.route.actions.retries) if decision.route is not None else None,
        keeps_request_id=found.keeps_id,
        access_log=_logged(found.observing.access_log),
        tracing=_traced(found.observing.tracing),
    )


def _listener(found: Entrance | None) -> explain_body.Entrance | None:
    if found is None:
        return None
    listener = found.listener
    return explain_body.Entrance(
        port=listener.port,
        addresses=list(listener.addresses),
        certificate=found.certificate or "",
        proxy_protocol=bool(listener.proxy_protocol),
        http3=(listener.http3.port or listener.port) if listener.http3 is not None else 0,
        redirect_to_https=listener.redirect_to_https or 0,
    )


def _changes(found: Iterable[HeaderChange]) -> list[explain_body.HeaderChange]:
    return [
        explain_body.HeaderChange(change=one.change, name=one.name, value=one.value, by=one.by)
        for one in found
    ]


def _retries(found: Retries | None) -> explain_body.Retries | None:
    if found is None:
        return None
    return explain_body.Retries(
        conditions=list(found.conditions or ()),
        statuses=list(found.statuses or ()),
        tries=found.tries,
        per_try_timeout=seconds(found.per_try_timeout) if found.per_try_timeout else 0.0,
    )


def _logged(found: AccessLog | None) -> str:
    """Where a line is written: `/dev/stdout as json; of 12.5 % of the requests`. Empty: nowhere."""
    if found is None:
        return ""
    places = [f"{found.path} as {found.format}"] if found.path is not None else []
    if found.otlp is not None:
        places.append(f"{found.otlp.host}:{found.otlp.port} by OTLP")
    return f"{', '.join(places)}; of {found.percent:g} % of the requests"


def _traced(found: Tracing | None, sidecar: bool = False) -> str:
    """Where spans go: `otel-collector:4317 by OTLP; of 1 % of the requests`. Empty: nowhere."""
    if found is None:
        return ""
    which = "requests without a decision of their own" if sidecar else "requests"
    return f"{found.collector.host}:{found.collector.port} by OTLP; of {found.percent:g} % of the {which}"


def _hop(one: Hop, observed: answers.InLane | None) -> explain_body.Hop:
    return explain_body.Hop(
        application=one.application,
        service=one.service,
        tag=one.tag,
        instances=addresses(one.instances),
        unhealthy=addresses(one.unhealthy),
        fallback=one.fallback,
        refused=one.refused,
        inherited=_inherited(one.inherited),
        calls=_calls(one.upstream),
        by_trace=one.by_trace,
        access_log=_logged(one.observing.access_log),
        tracing=_traced(one.observing.tracing, sidecar=True),
        observed=observed,
    )


def _calls(one: Upstream) -> explain_body.Calls | None:
    by = one.balancing.hash_by if one.balancing is not None else None
    key = "" if by is None else f" by header {by.header}" if by.header else f" by cookie {by.cookie}"
    shown = explain_body.Calls(
        load_balancing=f"{one.balancing.policy}{key}" if one.balancing is not None else "",
        request_timeout=one.request_timeout,
        idle_timeout=one.idle_timeout,
        circuit_breaking=one.circuit.model_dump() if one.circuit is not None else {},
        health_check=_checked(one.health_check) if one.health_check is not None else "",
        keep_alive=None if one.keep_alive == KEEP_ALIVE else one.keep_alive,
    )
    return None if shown == explain_body.Calls() else shown


def _checked(one: HealthCheck) -> str:
    """How instances are checked: `HTTP /healthz every 5s`."""
    if one.grpc is not None:
        how = f"gRPC {one.grpc.service}".rstrip()
    else:
        how = "TCP" if one.tcp else f"HTTP {one.path}"
    return f"{how} every {one.interval}"


def _inherited(one: Inheritance | None) -> explain_body.Inherited | None:
    if one is None:
        return None
    return explain_body.Inherited(lane=one.lane.name if one.lane else None, reason=one.reason)


def evaluated(outcomes: Sequence[LaneOutcome]) -> tuple[list[explain_body.LaneOutcome], int]:
    """Why each lane was chosen or not, and how many more lanes were considered than are listed.

    The last one is always listed: if a lane was chosen, it is that one.
    """
    if not outcomes:
        return [], 0
    *passed, last = outcomes
    listed: list[explain_body.LaneOutcome] = []
    left = LINES - len(last.conditions)
    for outcome in passed:
        left -= 1 + len(outcome.conditions)
        if left <= 0:
            break
        listed.append(_outcome(outcome))
    return [*listed, _outcome(last)], len(passed) - len(listed)


def _outcome(outcome: LaneOutcome) -> explain_body.LaneOutcome:
    conditions = [_condition(one) for one in outcome.conditions]
    return explain_body.LaneOutcome(lane=outcome.lane, matched=outcome.matched, conditions=conditions)


def _condition(outcome: ConditionOutcome) -> explain_body.ConditionOutcome:
    value = outcome.value
    text = None if value is None else value[:VALUE_BYTES].decode(errors="backslashreplace")
    long = len(value) if value is not None and len(value) > VALUE_BYTES else 0
    return explain_body.ConditionOutcome(
        condition=_shown(outcome.condition),
        value=f"{text}…" if long else text,
        met=outcome.met,
        length=long,
    )


def _shown(condition: Condition) -> explain_body.ShownCondition:
    value = condition.value
    shown = explain_body.ShownCondition(
        source=condition.source, name=condition.name or "", operator=condition.operator
    )
    if isinstance(value, str) and len(value) > VALUE_BYTES:
        return shown.model_copy(update={"value": f"{value[:VALUE_BYTES]}…", "length": len(value)})
    if not isinstance(value, tuple):
        return shown.model_copy(update={"value": value})
    some: list[str] = []
    room = LIST_BYTES
    for one in value:
        room -= len(one)
        if room < 0:
            break
        some.append(one)
    return shown.model_copy(update={"value": some, "left_out": len(value) - len(some)})
