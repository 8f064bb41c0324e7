"""Which lanes of a gateway no request reaches, and which match requests that a lane of another group matches.

Every claim is proven: that no request does, by contradiction; that one does, by such a request, which the
project's evaluator has confirmed. What was found is kept, and looked at again where a change concerns it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.hours import ALWAYS, Hours
from controlplane.plan.proof.entries import Entry, Index
from controlplane.plan.proof.front import Front
from controlplane.plan.proof.questions import ANY, Answer, Questions, Witness

TOLD = 3
"""Overlaps that are looked for from one lane on."""
BLAMED = 12
"""Lanes of a proof that is made smaller."""
PAIRS, PAIRS_PER_LANE = 1_000, 3
"""Pairs of lanes that one update looks at, at least, and where there are many lanes. The next goes on."""


@dataclass(frozen=True, slots=True)
class Unreached:
    """No request gets to `lane`: lanes of `by` take all that match its rule. If there are none, no request
    that takes its routes meets its conditions; `contradiction`: none does at all.

    since: where that is so only while all lanes of `by` are open, the next moment at which they are.
    """

    lane: str
    by: tuple[str, ...] = ()
    contradiction: bool = False
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """`lane` and `other`, which is earlier and of another group, match the witness. since: the moment from
    which on both are open, None for now; the witness says which lane gets it then.
    """

    lane: str
    other: str
    witness: Witness
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Undecided:
    """It is not known whether a request gets to `lane`; with `other`, whether one matches both."""

    lane: str
    why: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class More:
    """A number of earlier lanes that may overlap with `lane` were not looked at."""

    lane: str
    number: int


Finding = Unreached | Overlap | Undecided | More


@dataclass(slots=True)
class _Reach:
    """What was found about one lane; `earlier` are the lanes on which that depends, None: on all."""

    entry: Entry
    answer: Answer
    earlier: tuple[Entry, ...]
    all_earlier: tuple[Entry, ...] | None = None


@dataclass(slots=True)
class _Pair:
    one: Entry
    other: Entry
    answer: Answer


class LaneProofs:
    """The findings about the lanes of one gateway, from one plan to the next."""

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        """pause: called every few searches."""
        self._pause = pause
        self._front: Front | None = None
        self._reaches: dict[str, _Reach] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._left = 0
        self._questions: Questions | None = None
        self._hours = ALWAYS
        self.searches = 0
        """Searches of the last update."""
        self.unfinished = False
        """Whether the next update goes on, because pairs were left out of the last one."""

    def update(self, plan: GatewayPlan, entries: Sequence[Entry], hours: Hours = ALWAYS) -> list[Finding]:
        """What is found about the lanes `entries`, which are in the order in which edges try them. `hours`
        say when each is open; none of them is over.
        """
        front = Front.of(plan, self._front)
        if front is not self._front:
            self._front, self._reaches, self._pairs = front, {}, {}
        index = Index(entries)
        questions = self._questions = Questions(front, index)
        reaches, pairs = self._reaches, self._pairs
        self._reaches, self._pairs = {}, {}
        self._left = max(PAIRS, PAIRS_PER_LANE * len(entries))
        self._hours = hours
        found: list[Finding] = []
        ranks = {entry.name: rank for rank, entry in enumerate(entries)}
        for rank, entry in enumerate(entries):
            self._pause()
            reach = reaches.get(entry.name)
            if reach is None or not _holds_still(reach, ranks, entries, questions):
                reach = _reach(rank, entries, questions)
            self._reaches[entry.name] = reach
            found += _said_of_reach(reach, rank, questions, hours)
        for rank in range(len(entries)):
            self._pause()
            found += self._overlaps(rank, index, questions, pairs)
        self.searches = questions.searches
        self.unfinished = not self._left
        return found

    @property
    def front(self) -> Front:
        """That of the last update, the same object while the routes are the same."""
        assert self._front is not None, "update was called before"
        return self._front

    def starved(self, plan: GatewayPlan) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Lanes by ratio of the last plan that no request reaches, because content lanes take all on each of
        their routes; and these content lanes.
        """
        assert self._questions is not None, "update was called before"
        routes: dict[str, set[str]] = {}
        for route in plan.routes:
            for slot in route.ratio.ranges if route.ratio is not None else ():
                routes.setdefault(slot.lane, set()).add(route.name)
        entries = self._questions.entries
        rests: dict[tuple[str, frozenset[int]], Answer] = {}
        for lane, names in sorted(routes.items()):
            by: set[str] = set()
            for name in sorted(names):
                places = frozenset(
                    rank
                    for rank, one in enumerate(entries)
                    if name in one.routes and self._hours.covers(one.name, lane)
                )
                if (name, places) not in rests:
                    rests[name, places] = self._questions.ask([name], (), places, ANY)
                rest = rests[name, places]
                if rest.witness is not None or rest.unclear:
                    break
                by |= {entries[rank].name for rank in rest.lanes}
            else:
                if by:
                    yield lane, tuple(sorted(by))

    def _overlaps(
        self, rank: int, index: Index, questions: Questions, kept: dict[tuple[str, str], _Pair]
    ) -> Iterator[Finding]:
        entry, hours = index.entries[rank], self._hours
        told = 0
        meeting = index.meeting(rank)
        if hours.lanes:
            meeting = [one for one in meeting if hours.first(entry.name, index.entries[one].name) is not None]
        for at, earlier in enumerate(meeting):
            other = index.entries[earlier]
            pair = kept.get((entry.name, other.name))
            holds = pair is not None and _pair_holds(pair, entry, other, questions)
            if told == TOLD or (not holds and not self._left):
                yield More(entry.name, len(meeting) - at)
                return
            if pair is None or not holds:
                self._left -= 1
                pair = _Pair(entry, other, _both(self._reaches[other.name], earlier, rank, questions))
            self._pairs[entry.name, other.name] = pair
            if pair.answer.witness is not None:
                told += 1
                yield _in_time(Overlap(entry.name, other.name, pair.answer.witness), pair, questions, hours)
            elif pair.answer.unclear:
                told += 1
                yield Undecided(entry.name, pair.answer.unclear, other.name)


def _common(one: Entry, other: Entry) -> list[str]:
    return [route for route in one.routes if route in other.routes]


def _both(reach: _Reach, earlier: int, rank: int, questions: Questions) -> Answer:
    """A request that both lanes match; one that the earlier of them gets, if there is one. `reach`: what was
    found about the earlier one. Requests that were found before are tried first.
    """
    if questions.meets(reach.answer, rank):  # the earlier one gets it
        return reach.answer
    one, other = questions.entries[earlier], questions.entries[rank]
    routes = _common(one, other)
    if questions.meets(sample := questions.sample(rank), earlier) or questions.meets(
        sample := questions.sample(earlier), rank
    ):
        whatever = sample
    else:
        whatever = questions.ask(routes, (earlier, rank), lane=ANY)
    known = whatever.witness is None or whatever.witness.lane == one.name
    if known or (reach.answer.witness is None and not reach.answer.unclear):
        return whatever
    better = questions.ask(routes, (earlier, rank), range(earlier), earlier)
    return better if better.witness is not None else whatever


def _pair_holds(pair: _Pair, entry: Entry, other: Entry, questions: Questions) -> bool:
    if not (pair.one.same(entry) and pair.other.same(other)):
        return False
    found = pair.answer
    if found.witness is None or found.model is None:
        return True
    return questions.winner(found.model, found.witness.route) == found.witness.lane


def _reach(
    rank: int,
    entries: Sequence[Entry],
    questions: Questions,
    before: Collection[int] | None = None,
    lane: int | None = None,
) -> _Reach:
    """Of a lane with the lanes `before` it, all earlier ones unless said. `lane`: see Questions.ask."""
    entry, before = entries[rank], range(rank) if before is None else before
    answer = questions.ask(entry.routes, (rank,), before, rank if lane is None else lane)
    if answer.witness is not None:
        return _Reach(entry, answer, ())
    if answer.unclear:
        return _Reach(entry, answer, (), tuple(entries[one] for one in sorted(before)))
    blamed = sorted(answer.lanes)
    for one in blamed if len(blamed) <= BLAMED else ():
        if smaller := questions.nowhere((rank,), [other for other in blamed if other != one]):
            blamed = sorted(smaller.lanes)
    return _Reach(entry, answer, tuple(entries[one] for one in blamed))


def _holds_still(
    reach: _Reach, ranks: Mapping[str, int], entries: Sequence[Entry], questions: Questions
) -> bool:
    """Whether what was found about the lane is true among these lanes, too. `ranks`: by their names."""
    rank = ranks[reach.entry.name]
    if not reach.entry.same(entries[rank]):
        return False
    found = reach.answer
    if found.witness is not None and found.model is not None:
        return questions.winner(found.model, found.witness.route) == reach.entry.name
    if reach.all_earlier is not None:
        before = reach.all_earlier
        return len(before) == rank and all(
            one.same(other) for one, other in zip(before, entries, strict=False)
        )
    return all((at := ranks.get(one.name, rank)) < rank and one.same(entries[at]) for one in reach.earlier)


def _said_of_reach(reach: _Reach, rank: int, questions: Questions, hours: Hours) -> Iterator[Finding]:
    answer, name = reach.answer, reach.entry.name
    if answer.witness is not None:  # whatever other lanes are closed
        return
    if answer.unclear:
        yield Undecided(name, answer.unclear)
        return
    by = tuple(one.name for one in reach.earlier)
    if all(hours.covers(one, name) for one in by):
        yield Unreached(name, by, not by and answer.anywhere)
        return
    entries = questions.entries
    always = {one for one in range(rank) if hours.covers(entries[one].name, name)}
    whenever = _reach(rank, entries, questions, always, ANY)
    if whenever.answer.witness is None and not whenever.answer.unclear:
        yield Unreached(name, tuple(one.name for one in whenever.earlier))
    elif (since := hours.first(name, *by)) is not None:
        yield Unreached(name, by, since=since)


def _in_time(found: Overlap, pair: _Pair, questions: Questions, hours: Hours) -> Overlap:
    """With the lane that gets the witness at the first moment at which both lanes are open."""
    at = hours.first(found.lane, found.other)
    model = pair.answer.model
    if not hours.lanes or at is None or model is None:
        return found
    route = found.witness.route
    lane = questions.winner(model, route, lambda name: hours.open(name, at))
    since = at if at > hours.at else None
    return replace(found, witness=replace(found.witness, lane=lane), since=since)
