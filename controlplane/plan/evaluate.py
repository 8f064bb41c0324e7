"""What a plan does with a request: the decision at the edge, and why. Envoy gets the same plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import xxhash

from controlplane.model.conditions import Condition, Rule
from controlplane.plan.arrival import REQUEST_ID, Arrived
from controlplane.plan.conditions import carried_in, full_match, lifted_header, met
from controlplane.plan.gateways import TOTAL_SLOTS, ContentLane, GatewayPlan, RatioPlan, RoutePlan
from controlplane.plan.request import Request, carried_values, named_lane, normalised_path, refusal
from controlplane.plan.route_actions import allows, is_preflight


@dataclass(frozen=True, slots=True)
class ConditionOutcome:
    """One condition and its outcome. `value` is what the request has, None if it has nothing there."""

    condition: Condition
    value: bytes | None
    met: bool


@dataclass(frozen=True, slots=True)
class LaneOutcome:
    """One lane, and whether its rule matched."""

    lane: str
    matched: bool
    conditions: tuple[ConditionOutcome, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The route and the lane of a request, and the reason.

    `candidates`: where chance decides, (lane, or None for base, and its share in percent).
    """

    route: RoutePlan | None
    lane: str | None
    reason: str
    evaluated: tuple[LaneOutcome, ...] = ()
    candidates: tuple[tuple[str | None, float], ...] = ()


def decide(plan: GatewayPlan, request: Request) -> Decision:
    """The route and the lane that an edge of this gateway chooses for `request`, and the reason."""
    refused = refusal(plan, request)
    if refused:
        return Decision(None, None, refused)
    arrived = request.arrived(plan)
    values = carried_values(plan, request, arrived)
    route = find_route(plan, request.host, normalised_path(request.path), values)
    if route is None:
        return Decision(None, None, "no route matches the host and path")
    if preflighted(route, values):
        return Decision(route, None, "the edge answers the browser's preflight (CORS)")
    if route.answers:
        what = "redirects" if route.actions.redirect is not None else "answers"
        return Decision(route, None, f"the edge {what}, and no lane is chosen")
    if route.service is None:
        return Decision(route, None, f"the route's service cannot be served: {route.problem}")
    named = named_lane(plan, arrived)
    if named:
        lane = named.decode(errors="replace")
        if plan.trusted and lane in plan.trusted:
            return Decision(route, lane, "the client named the lane, and this gateway trusts its clients")
        return Decision(route, None, f"the client named {lane[:100]!r}, which is not an enabled lane: base")
    evaluated: list[LaneOutcome] = []
    for lane in route.content:
        outcome = _evaluate(lane, values)
        evaluated.append(outcome)
        if outcome.matched:
            how = "all its conditions are" if lane.rule.match == "all" else "one of its conditions is"
            reason = f"{how} met, first by priority and name{_by_chance(arrived, evaluated)}"
            return Decision(route, lane.name, reason, tuple(evaluated))
    if route.ratio is not None:
        return _by_ratio(route, route.ratio, _sticky_key(route.ratio, arrived, values), tuple(evaluated))
    reason = "no lane's rule is met" if route.content else "no enabled lane applies to this route"
    return Decision(route, None, f"{reason}: base{_by_chance(arrived, evaluated)}", tuple(evaluated))


def _by_chance(arrived: Arrived, evaluated: Iterable[LaneOutcome]) -> str:
    """What to add to the reason if the same request may get another answer the next time."""
    found = [one.condition for lane in evaluated for one in lane.conditions]
    undecided = [c for c in found if c.operator in ("percentage", "regex", "prefix")]
    if arrived.random_id and any(carried_in(c) == REQUEST_ID for c in undecided):
        return f" (a rule reads {REQUEST_ID}, which the edge makes by chance for each request)"
    return ""


def find_route(plan: GatewayPlan, host: str, path: str, values: Mapping[str, bytes]) -> RoutePlan | None:
    """The first base route, by precedence, that matches; None if none does. `values`: see
    `carried_values`.
    """
    for level in plan.chain(plan.host_key(host)):
        for route in level:  # in order of precedence
            if path_matches(route, path) and _conditions_met(route, values):
                return route
    return None


def path_matches(route: RoutePlan, path: str) -> bool:
    """Whether a route's path matches `path`, which is normalised and has no query."""
    match = route.path
    if match.regex is not None:
        return full_match(match.regex, path.encode())
    wanted = match.exact if match.exact is not None else match.prefix or "/"
    if match.ignore_case:
        path, wanted = path.lower(), wanted.lower()
    if match.exact is not None:
        return path == wanted
    whole = wanted if wanted.endswith("/") else wanted + "/"
    return path == wanted or path.startswith(whole)


def _conditions_met(route: RoutePlan, values: Mapping[str, bytes]) -> bool:
    method = values[":method"].decode()
    asked = route.actions.cors is not None and is_preflight(method, values)
    if route.methods and method not in route.methods and not asked:
        return False
    # A preflight has none of the headers of the request that it asks for.
    needed = (c for c in route.conditions if not (asked and c.source == "header"))
    return all(met(c, values.get(carried_in(c))) for c in needed)


def preflighted(route: RoutePlan, values: Mapping[str, bytes]) -> bool:
    """Whether the edge answers a preflight request itself. Those of origins that are not allowed go to
    the service.
    """
    cors = route.actions.cors
    if cors is None or not is_preflight(values[":method"].decode(), values):
        return False
    return allows(cors, values["origin"].decode(errors="surrogateescape"))


def _evaluate(lane: ContentLane, values: Mapping[str, bytes]) -> LaneOutcome:
    rule: Rule = lane.rule
    outcomes = tuple(
        ConditionOutcome(c, values.get(carried_in(c)), met(c, values.get(carried_in(c))))
        for c in rule.conditions
    )
    matched = (all if rule.match == "all" else any)(o.met for o in outcomes)
    return LaneOutcome(lane.name, matched, outcomes)


def shares(ratio: RatioPlan) -> tuple[tuple[str | None, float], ...]:
    """(lane, percent) of each lane in order of name, then (None, what is left for base)."""
    found: dict[str, int] = {}
    for slot in ratio.ranges:
        found[slot.lane] = found.get(slot.lane, 0) + slot.end - slot.start
    left = TOTAL_SLOTS - sum(found.values())
    percent = 100 / TOTAL_SLOTS
    return (*((lane, found[lane] * percent) for lane in sorted(found)), (None, left * percent))


def slot_owner(ratio: RatioPlan, slot: int) -> str | None:
    """The lane that owns the slot, None for base."""
    return next((r.lane for r in ratio.ranges if r.start <= slot < r.end), None)


def _sticky_key(ratio: RatioPlan, arrived: Arrived, values: Mapping[str, bytes]) -> int | None:
    """The hash by which Envoy chooses a slot; None if it draws one by chance."""
    sticky = ratio.sticky
    if sticky is not None and sticky.header:
        name = sticky.header.lower()
        lines = [value.encode() for key, value in arrived.headers if key == name]
        return (
            _hash(lines)
            if name in values and lines and not (arrived.random_id and name == REQUEST_ID)
            else None
        )
    if sticky is not None and sticky.client_address:
        return _hash([arrived.client.encode()])
    key = values.get(lifted_header("cookie", sticky.cookie)) if sticky is not None and sticky.cookie else None
    return None if key is None else _hash([key])


def _hash(lines: Iterable[bytes]) -> int:
    """Envoy's hash of a header: XXH64, over several lines in order of their bytes, each seeded with the
    hash so far.
    """
    digest = 0
    for line in sorted(lines):
        digest = xxhash.xxh64_intdigest(line, seed=digest)
    return digest


def _by_ratio(
    route: RoutePlan, ratio: RatioPlan, key: int | None, evaluated: tuple[LaneOutcome, ...]
) -> Decision:
    if key is None:
        why = "the request has no sticky key, so its lane is" if ratio.sticky is not None else "its lane is"
        drawn = ", ".join(f"{lane or 'base'} {share:g} %" for lane, share in shares(ratio))
        return Decision(route, None, f"{why} drawn per request: {drawn}", evaluated, shares(ratio))
    slot = key % TOTAL_SLOTS
    lane = slot_owner(ratio, slot)
    return Decision(route, lane, f"the sticky key's slot {slot} belongs to {lane or 'base'}", evaluated)
