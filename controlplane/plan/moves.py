"""Which requests a change of definitions moves to another lane or route, each with one that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from controlplane.model.definitions import Definitions
from controlplane.model.times import phase
from controlplane.plan.evaluate import Decision, decide, shares
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.hours import Hours
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.proof.entries import Entry, Index, entries_of
from controlplane.plan.proof.front import Front
from controlplane.plan.proof.questions import ANY, Answer, Questions
from controlplane.plan.request import Request

TOLD = 20
"""Moves that are told of one gateway."""
PAIRS = 1_000
"""Pairs of lanes that are looked at for one gateway."""
MOMENTS = 6
"""Moments that are looked at, now included: those at which lanes open or close next."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: its route, and its lane. None: no route; base.

    by_share: the lane is one of those by ratio, or base.
    """

    route: str | None
    lane: str | None
    by_share: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """Requests such as `request` go from `before` to `after`. since: from when on that is so, as words; ""
    for now.
    """

    gateway: str
    before: Place
    after: Place
    request: Request
    since: str = ""


@dataclass(frozen=True, slots=True)
class ShareChange:
    """A lane's share of the requests of a route that no lane with a rule takes, in per cent. since: as of a
    Move.
    """

    gateway: str
    route: str
    lane: str
    before: float
    after: float
    since: str = ""


@dataclass(frozen=True, slots=True)
class Moves:
    """What a change moves. incomplete: there may be more that was not looked for or could not be decided."""

    moves: tuple[Move, ...] = ()
    shares: tuple[ShareChange, ...] = ()
    incomplete: bool = False


def moved(before: Definitions, after: Definitions, at: float) -> Moves:
    """What the change from `before` to `after` moves: now (`at`, in seconds since the epoch), and at the
    moments at which lanes open or close next.
    """
    moves: dict[tuple[str, Place, Place], Move] = {}
    changes: dict[tuple[str, str, str, float, float], ShareChange] = {}
    hours = Hours.of(before, at), Hours.of(after, at)
    moments, incomplete = _moments(*hours)
    looked: set[tuple[frozenset[str], ...]] = set()
    for moment in moments:
        closed = tuple(one.closed(moment) for one in hours)
        if closed in looked:
            continue
        looked.add(closed)
        for name in sorted(before.gateways.keys() & after.gateways.keys()):
            one = _OfGateway(name, (before, after), closed)
            for move in one.moves():
                since = _since(hours[1], moment, move.before.lane, move.after.lane)
                moves.setdefault((name, move.before, move.after), replace(move, since=since))
            for share in one.shares():
                key = name, share.route, share.lane, share.before, share.after
                changes.setdefault(key, replace(share, since=_since(hours[1], moment, share.lane)))
            incomplete |= one.incomplete
    return Moves(tuple(moves.values()), tuple(changes.values()), incomplete)


def _moments(before: Hours, after: Hours) -> tuple[list[float], bool]:
    """Now and when lanes open or close next, twice each; and whether there are more than are looked at."""
    found: set[float] = set()
    for hours in (before, after):
        for lane in hours.lanes.values():
            moment: float | None = hours.at
            for _ in range(2):
                moment = phase(lane, moment).until if moment is not None else None
                if moment is not None:
                    found.add(moment)
    ordered = sorted(found)
    return [after.at, *ordered[: MOMENTS - 1]], len(ordered) >= MOMENTS


def _since(hours: Hours, moment: float, *lanes: str | None) -> str:
    return hours.words(moment, (one for one in lanes if one is not None)) if moment > hours.at else ""


def _planned(name: str, definitions: Definitions, closed: frozenset[str]) -> tuple[GatewayPlan, list[Entry]]:
    enabled = set(enabled_lanes(definitions, closed))
    plan = plan_gateway(definitions.gateways[name], definitions, enabled, lambda service: service)
    lanes = definitions.lanes
    groups = {lane: one.group for lane, one in lanes.items()}
    return plan, entries_of(plan, groups, {lane: one.priority for lane, one in lanes.items()})


class _OfGateway:
    """Both states of a gateway, each with the lanes that are closed in it. A lane that the change leaves as
    it is has one rank, a changed one two.
    """

    def __init__(
        self, name: str, both: tuple[Definitions, Definitions], closed: tuple[frozenset[str], ...]
    ) -> None:
        self._name = name
        self._plans: list[GatewayPlan] = []
        self._orders: list[list[int]] = []  # ranks in the order in which edges try them
        self.incomplete = False
        merged: list[Entry] = []
        before, after = both
        for definitions, resting in zip(both, closed, strict=True):
            plan, entries = _planned(name, definitions, resting)
            self._plans.append(plan)
            ranks = {entry.name: rank for rank, entry in enumerate(merged)}
            order: list[int] = []
            for entry in entries:
                rank = ranks.get(entry.name)
                if rank is None or not merged[rank].same(entry):
                    rank = len(merged)
                    merged.append(entry)
                order.append(rank)
            self._orders.append(order)
        first, second = self._orders
        self._changed: set[int] = set(first) ^ set(second)
        kept = [rank for rank in first if rank in set(second)]
        again = [rank for rank in second if rank in set(first)]
        if kept != again:  # priorities changed
            self._changed |= {
                r
                for r in kept
                if before.lanes[merged[r].name].priority != after.lanes[merged[r].name].priority
            }
        self._entries = merged
        self._fronts = [Front.of(plan, None) for plan in self._plans]
        self._questions = Questions(self._fronts[1], Index(merged))

    def moves(self) -> Iterator[Move]:
        """At most TOLD of them."""
        told = 0
        seen: set[tuple[Place, Place]] = set()
        for request in self._candidates():
            before, after = (_place(decide(plan, request)) for plan in self._plans)
            if before == after or (before, after) in seen:
                continue
            seen.add((before, after))
            if told == TOLD:
                self.incomplete = True
                return
            told += 1
            yield Move(self._name, before, after, request)

    def _candidates(self) -> Iterator[Request]:
        """Requests that may move."""
        yield from self._of_routes()
        left = PAIRS
        for one, other in self._pairs():
            if left == 0:
                self.incomplete = True
                return
            left -= 1
            answer = self._between(one, other)
            if answer.witness is not None:
                yield answer.witness.request
            elif answer.unclear:
                self.incomplete = True

    def _pairs(self) -> Iterator[tuple[int | None, int | None]]:
        """The lanes between which requests may move, by rank; None is base."""
        first, second = self._orders
        for rank in first:
            if rank in self._changed:
                yield rank, None
                yield from ((rank, other) for other in second if other != rank)
        for rank in second:
            if rank in self._changed:
                yield None, rank
                yield from ((other, rank) for other in first if other not in self._changed and other != rank)

    def _between(self, one: int | None, other: int | None) -> Answer:
        """A request that gets `one` before and `other` after the change."""
        if one is not None and other is not None and self._entries[one].name == self._entries[other].name:
            return Answer()
        first, second = self._orders
        avoided = {*_before(first, one), *_before(second, other)}
        matching = [rank for rank in (one, other) if rank is not None]
        if avoided.intersection(matching):
            return Answer()
        places = [self._entries[rank].routes for rank in matching]
        routes = [route for route in places[0] if all(route in place for place in places[1:])]
        return self._questions.ask(routes, matching, avoided, ANY)

    def _of_routes(self) -> Iterator[Request]:
        """A request of each route that is new, changed or deleted."""
        mine, others = ({route.name: route for route in front.plan.routes} for front in self._fronts)
        for name in sorted(mine.keys() | others.keys()):
            if mine.get(name) == others.get(name):
                continue
            for front in self._fronts:
                questions = Questions(front, Index([]))
                answer = questions.ask([name])
                if answer.witness is not None:
                    yield answer.witness.request

    def shares(self) -> Iterator[ShareChange]:
        """The shares that change, on routes that stay."""
        tables: list[dict[str, dict[str, float]]] = []
        for plan in self._plans:
            tables.append({})
            for route in plan.routes:
                found = shares(route.ratio) if route.ratio is not None else ()
                tables[-1][route.name] = {lane: share for lane, share in found if lane is not None}
        first, second = tables
        for route in sorted(first.keys() & second.keys()):
            for lane in sorted(first[route].keys() | second[route].keys()):
                was, becomes = first[route].get(lane, 0.0), second[route].get(lane, 0.0)
                if round(was, 4) != round(becomes, 4):
                    yield ShareChange(self._name, route, lane, round(was, 2), round(becomes, 2))


def _before(order: Sequence[int], rank: int | None) -> Sequence[int]:
    return order if rank is None else order[: order.index(rank)]


def _place(decision: Decision) -> Place:
    route = decision.route.name if decision.route is not None else None
    return Place(route, decision.lane, bool(decision.candidates))
