"""What the proofs about lanes and routes find, in sentences, for the definitions that they concern."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway
from controlplane.model.kinds import Key
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.hours import Hours
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.naming import SHOWN, Told
from controlplane.plan.proof.entries import Entry, entries_of
from controlplane.plan.proof.front import Front, command
from controlplane.plan.proof.lanes import (
    TOLD,
    Finding,
    LaneProofs,
    More,
    Overlap,
    Unreached,
)
from controlplane.plan.proof.routes import RouteFinding, unreached

UNDECIDED = "undecided: "
"""How a warning begins that claims nothing, because neither a proof nor a witness was found."""


class Overlaps:
    """The sentences about all gateways. What a change does not concern is kept from the time before.

    pause: see Warner.
    """

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._gateways: dict[str, _OfGateway] = {}

    @property
    def searches(self) -> int:
        """Searches of the last time, at all gateways."""
        return sum(one.lanes.searches for one in self._gateways.values())

    def told(self, definitions: Definitions, hours: Hours) -> Iterator[Told]:
        """About these definitions, with every lane that is enabled and open at some time; services do not
        matter.
        """
        enabled = set(enabled_lanes(definitions, hours.over()))
        before, self._gateways = self._gateways, {}
        for name, gateway in sorted(definitions.gateways.items()):
            one = self._gateways[name] = before.get(name) or _OfGateway(self._pause)
            yield from one.told(gateway, definitions, enabled, hours)


class _OfGateway:
    def __init__(self, pause: Callable[[], None]) -> None:
        self.lanes = LaneProofs(pause)
        self._front: Front | None = None
        self._routes: list[RouteFinding] = []
        self._of: _Of | None = None
        self._told: list[Told] = []

    def told(
        self, gateway: Gateway, definitions: Definitions, enabled: Collection[str], hours: Hours
    ) -> Sequence[Told]:
        """The sentences; those of the time before, if nothing that they are about has changed."""
        of = _Of.of(gateway, definitions, hours)
        if self._of is None or not of.same(self._of) or self.lanes.unfinished:
            plan = plan_gateway(gateway, definitions, enabled, lambda service: service)
            self._told = list(self._look(plan, definitions, hours))
            self._of = of
        else:
            self.lanes.searches = 0
        return self._told

    def _look(self, plan: GatewayPlan, definitions: Definitions, hours: Hours) -> Iterator[Told]:
        entries = entries_of(
            plan,
            {name: lane.group for name, lane in definitions.lanes.items()},
            {name: lane.priority for name, lane in definitions.lanes.items()},
        )
        found = self.lanes.update(plan, entries, hours)
        yield from _of_lanes(plan.name, entries, found, hours)
        front = self.lanes.front
        if front is not self._front:
            self._front, self._routes = front, list(unreached(front))
        for one in self._routes:
            yield Key("Route", plan.name, one.route), _of_route(one)
        for lane, others in self.lanes.starved(plan):
            text = (
                "no request reaches this lane: on each of its routes lanes with rules take every request "
                f"before shares are looked at: {_some(others)}"
            )
            yield Key("Lane", definitions.lanes[lane].group, lane), text


@dataclass(frozen=True, slots=True)
class _Of:
    """What the sentences about a gateway are about: definitions, its shares, and which lanes are closed."""

    documents: tuple[object, ...]
    slots: tuple[tuple[str, object], ...]
    closed: frozenset[str]

    @classmethod
    def of(cls, gateway: Gateway, definitions: Definitions, hours: Hours) -> _Of:
        groups = {name for name, one in definitions.groups.items() if one.gateway == gateway.name}
        lanes = [one for one in definitions.lanes.values() if one.group in groups]
        routes = [one for (owner, _), one in definitions.routes.items() if owner == gateway.name]
        slots = {name: one for (owner, name), one in definitions.slots.items() if owner == gateway.name}
        common = (*definitions.gateways.values(), *definitions.groups.values())
        closed = hours.closed(hours.at).intersection(one.name for one in lanes)
        return cls((*common, *routes, *lanes), tuple(sorted(slots.items())), closed)

    def same(self, other: _Of) -> bool:
        """Whether it is all the same; documents are compared by identity, which is cheap."""
        return (
            len(self.documents) == len(other.documents)
            and all(one is two for one, two in zip(self.documents, other.documents, strict=True))
            and (self.slots, self.closed) == (other.slots, other.closed)
        )


def _of_route(found: RouteFinding) -> str:
    if found.unclear:
        return f"{UNDECIDED}whether a request takes this route ({found.unclear})"
    if found.equal:
        return (
            f"no request takes this route: route {found.equal} has the same match and comes first; "
            "change one of them, or delete it"
        )
    takes = "takes" if len(found.by) == 1 else "together take"
    return f"no request takes this route: {_routes(found.by)} {takes} all that it matches"


def _of_lanes(gateway: str, entries: list[Entry], findings: list[Finding], hours: Hours) -> Iterator[Told]:
    groups = {one.name: one.group for one in entries}
    taken: dict[str, list[Overlap]] = {}
    for one in findings:
        key = Key("Lane", groups[one.lane], one.lane)
        if isinstance(one, Unreached):
            yield key, _unreached(one, hours)
        elif isinstance(one, Overlap):
            taken.setdefault(one.other, []).append(one)
            yield key, _overlap(one, one.other, groups[one.other], gateway, hours)
        elif isinstance(one, More):
            lanes = f"{one.number} more lane{'s' if one.number > 1 else ''} of other groups"
            yield key, f"{UNDECIDED}whether {lanes} match the same requests (they were not compared)"
        else:
            what = (
                f"lane {one.other} of group {groups[one.other]} matches the same requests"
                if one.other
                else "a request reaches this lane"
            )
            yield key, f"{UNDECIDED}whether {what} ({one.why})"
    for name, overlaps in taken.items():
        key = Key("Lane", groups[name], name)
        for one in overlaps[:TOLD]:
            yield key, _overlap(one, one.lane, groups[one.lane], gateway, hours)
        if len(overlaps) > TOLD:
            yield key, f"{len(overlaps) - TOLD} more lanes of other groups match requests of this lane, too"


def _overlap(one: Overlap, other: str, group: str, gateway: str, hours: Hours) -> str:
    names = (one.lane, one.other)
    span = "" if one.since is None else hours.span(one.since, names)
    at = "" if one.since is None else hours.words(one.since, names)
    return (
        f"{span}lane {other} of group {group} matches some of the same requests; lane {one.witness.lane} "
        f"gets, for example: {command(gateway, one.witness.request, at)}"
    )


def _unreached(found: Unreached, hours: Hours) -> str:
    if found.by:
        one = len(found.by) == 1
        lanes = f"lane {found.by[0]} takes" if one else f"lanes {_some(found.by)} together take"
        come = "it comes" if one else "they come"
        text = f"{lanes} all that its rule matches, and {come} first by priority"
        span = "" if found.since is None else hours.span(found.since, (found.lane, *found.by))
        return f"{span}no request reaches this lane: {text}"
    if found.contradiction:
        return "no request reaches this lane: its conditions contradict each other"
    return "no request reaches this lane: none that takes its routes meets its conditions"


def _routes(names: tuple[str, ...]) -> str:
    return f"route{'s' if len(names) > 1 else ''} {_some(names)}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
