"""Questions about the lanes of one plan: which request gets to a lane, which matches two of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from controlplane.plan.evaluate import decide
from controlplane.plan.gateways import ContentLane
from controlplane.plan.proof.atoms import Clause
from controlplane.plan.proof.entries import Entry, Index
from controlplane.plan.proof.front import Entrance, Front, by_chance, request_of, unmet
from controlplane.plan.proof.search import Model, search
from controlplane.plan.request import Request, carried_values

SEARCHES = 20_000
"""Searches for one plan; what is asked then is undecided."""
ANY = -1
GIVEN_UP = "there are too many lanes and routes to look at"


@dataclass(frozen=True, slots=True)
class Witness:
    """A request, the route that it takes and the lane that it gets (None: base, or a lane by ratio)."""

    request: Request
    route: str
    lane: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A request and its values; or, without one, why that is undecided. If both are missing, none exists.

    lanes, routes: those by which that was proven: ranks, and names. anywhere: it is so whatever the routes
    are.
    """

    witness: Witness | None = None
    model: Model | None = None
    unclear: str = ""
    lanes: frozenset[int] = frozenset()
    routes: frozenset[str] = frozenset()
    anywhere: bool = False


class Questions:
    """About the routes of `front` with the lanes of `index`."""

    def __init__(self, front: Front, index: Index) -> None:
        self._front = front
        self._index = index
        self._chancy = [by_chance(formula, front.plan) for formula in index.formulas]
        self._chancy_routes = {
            route for one, so in zip(index.entries, self._chancy, strict=True) if so for route in one.routes
        }
        self._samples: dict[int, Answer] = {}
        self.searches = 0

    @property
    def entries(self) -> Sequence[Entry]:
        """The lanes, by rank."""
        return self._index.entries

    def ask(
        self,
        routes: Iterable[str],
        matching: Sequence[int] = (),
        avoided: Collection[int] = (),
        lane: int | None = None,
    ) -> Answer:
        """A request that takes one of the routes, meets the rules of all lanes `matching` and of none of
        `avoided`, and gets `lane`; none if it is None, whatever lane it gets if it is ANY.

        The first of `matching` must be allowed on all of the routes.
        """
        unclear, lanes, taken = "", set[int](), set[str]()
        first = True
        if any(self._chancy[rank] for rank in matching):
            return Answer(unclear="a rule reads x-request-id, which the edge makes by chance")
        for entrance in (one for route in routes for one in self._front.entrances(route)):
            if self.searches >= SEARCHES:
                return Answer(unclear=GIVEN_UP)
            self.searches += 1
            answer = self._at(entrance, matching, avoided, lane)
            if answer.witness is not None:
                return answer
            if first and matching and (proof := self.nowhere(matching, avoided)):
                return proof
            first = False
            unclear = unclear or answer.unclear
            lanes |= answer.lanes
            taken |= answer.routes
        return Answer(unclear=unclear, lanes=frozenset(lanes), routes=frozenset(taken))

    def sample(self, rank: int) -> Answer:
        """A request that meets the rule of this lane, whatever lane it gets."""
        if rank not in self._samples:
            self._samples[rank] = self.ask(self._index.entries[rank].routes, (rank,), lane=ANY)
        return self._samples[rank]

    def meets(self, found: Answer, rank: int) -> bool:
        """Whether the request of `found` meets the rule of this lane, too, where it may be chosen."""
        witness, model = found.witness, found.model
        if witness is None or model is None or not self._index.matches(rank, model, witness.route):
            return False
        return self._gets(self._index.entries[rank].lane, witness.request, witness.route)

    def nowhere(self, matching: Sequence[int], avoided: Collection[int] = ()) -> Answer | None:
        """The proof that on whatever route no request matches all of `matching` and none of those `avoided`
        that may be chosen wherever the first of `matching` may; None if there is no such proof.
        """
        entries, formulas = self._index.entries, self._index.formulas
        route, places = entries[matching[0]].routes[0], set(entries[matching[0]].routes)
        wanted = [clause for rank in matching for clause in formulas[rank].clauses()]

        def violated(model: Model) -> tuple[object, Clause] | None:
            if clause := unmet(wanted, model):
                return None, clause
            for one in self._index.hits(model, route) if avoided else ():
                if (
                    one in avoided
                    and places.issubset(entries[one].routes)
                    and (clause := unmet(formulas[one].refuted(), model))
                ):
                    return one, clause
            return None

        self.searches += 1
        fixed = [clause[0] for clause in wanted if len(clause) == 1]
        outcome = search(fixed, violated, lambda _: True)
        if outcome.model is not None or outcome.unclear:
            return None
        return Answer(lanes=frozenset(one for one in outcome.used if isinstance(one, int)), anywhere=True)

    def _at(
        self, entrance: Entrance, matching: Sequence[int], avoided: Collection[int], lane: int | None
    ) -> Answer:
        route = entrance.route.name
        formulas = self._index.formulas
        wanted = [clause for rank in matching for clause in formulas[rank].clauses()]
        found: list[Witness] = []

        def violated(model: Model) -> tuple[object, Clause] | None:
            if clause := unmet(wanted, model):
                return None, clause
            if lost := entrance.lost(model):
                return lost[0].name, lost[1]
            for rank in self._index.hits(model, route) if avoided else ():
                if rank in avoided and (clause := unmet(formulas[rank].refuted(), model)):
                    return rank, clause
            return None

        def accept(model: Model) -> bool:
            witness = self._confirmed(entrance, model, matching, lane)
            found.extend([witness] if witness else [])
            return witness is not None

        fixed = [*entrance.fixed, *(clause[0] for clause in wanted if len(clause) == 1)]
        outcome = search(fixed, violated, accept)
        if outcome.model is not None:
            return Answer(found[0], outcome.model)
        unclear = outcome.unclear
        if not unclear and entrance.preflight:
            unclear = "preflights of browsers (CORS) take a route without its conditions"
        return Answer(
            unclear=unclear,
            lanes=frozenset(one for one in outcome.used if isinstance(one, int)),
            routes=frozenset(one for one in outcome.used if isinstance(one, str)),
        )

    def _confirmed(
        self, entrance: Entrance, model: Model, matching: Sequence[int], lane: int | None
    ) -> Witness | None:
        """The request of `model`, if the evaluator says of it what is claimed."""
        plan, entries = self._front.plan, self._index.entries
        request = request_of(model)
        route = entrance.route.name
        values = carried_values(plan, request, request.arrived(plan))
        if route in self._chancy_routes or not all(
            self._index.matches(rank, values, route) for rank in matching
        ):
            return None
        first = [entries[rank].lane for rank in islice(self._index.hits(values, route), 1)]
        decision = decide(self._front.with_lanes(route, first), request)
        if decision.route is None or decision.route.name != route:
            return None
        expected = decision.lane if lane == ANY else None if lane is None else entries[lane].name
        if decision.lane != expected:
            return None
        for rank in matching:
            if not self._gets(entries[rank].lane, request, route):
                return None
        return Witness(request, route, decision.lane)

    def _gets(self, lane: ContentLane, request: Request, route: str) -> bool:
        """Whether the request gets the lane where there is no other."""
        return decide(self._front.with_lanes(route, [lane]), request).lane == lane.name

    def winner(self, model: Model, route: str, open_: Callable[[str], bool] | None = None) -> str | None:
        """The lane that a request with these values gets on the route, of those that are `open_`."""
        names = (self._index.entries[rank].name for rank in self._index.hits(model, route))
        return next((name for name in names if open_ is None or open_(name)), None)
