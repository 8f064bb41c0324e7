"""Slots: which of the 10000 equal parts of a base route's requests each ratio lane has. Pure.

A change takes the old tables and the new shares of all base routes of a gateway to the next tables, so that a
table can be stored, exported and restored. What an assignment holds to, the first before the next:

1. Every enabled lane has exactly its share, and no slot has two lanes.
2. A lane that grows takes requests from base only.
3. One user is in one lane on all routes: where a lane has the same share it has the same slots, and where it
   has a smaller share it has some of those that it has where its share is larger.
4. Slots of a disabled lane stay reserved for it until another lane needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from controlplane.model import bits
from controlplane.model.bits import TOTAL, Bits

__all__ = ["TOTAL", "Share", "SlotRange", "Table", "Tables", "aligned", "apart", "assign", "moved", "seeded"]


class SlotRange(NamedTuple):
    """Slots `start` to `end` (exclusive) of 0-9999 on one base route belong to `lane`.

    A range of a disabled lane is reserved for it, until another lane needs it.
    """

    start: int
    end: int
    lane: str


class Share(NamedTuple):
    """What a ratio lane wants of one base route: a number of slots."""

    slots: int
    enabled: bool


Table = tuple[SlotRange, ...]
"""The slots of one base route, sorted by start."""
Tables = Mapping[str, Table]
"""By base route of one gateway."""
Shares = Mapping[str, Mapping[str, Share]]
"""By base route of one gateway: the ratio lanes that take part there, by name."""


def assign(old: Tables, shares: Shares, serving: Mapping[str, Collection[str]]) -> dict[str, Table]:
    """The next tables of the routes in `shares`.

    `old` may have further routes, which are gone: a route that comes in their place starts from them.
    `serving` are, by route, the lanes that were enabled until now: others' slots were base.

    A lane that leaves a route or gets a smaller share gives slots up. An enabled lane that wants more takes
    what was base: first what nobody has, then what is reserved for disabled lanes. Only then it takes from
    lanes that were serving: what they gave up, then what is reserved for those that this change disables. A
    disabled lane keeps what it has and takes nothing.

    Raises ValueError if the enabled lanes of a route want more than TOTAL slots.
    """
    for route, wanted in shares.items():
        if sum(share.slots for share in wanted.values() if share.enabled) > TOTAL:
            raise ValueError(f"the enabled lanes want more than all slots of route {route}")
    gateway = _Gateway(old, shares, serving)
    lanes = sorted({lane for wanted in shares.values() for lane in wanted})
    for lane in lanes:
        gateway.shrink(lane)
    for lane in lanes:
        gateway.grow(lane)
    return gateway.tables()


def aligned(old: Tables, shares: Shares) -> dict[str, Table]:
    """Tables in which each lane has the same or nested slots on its routes, whatever `old` says.

    It may move users between lanes and base, as few as it can: each lane keeps the slots that most of its
    routes have in common. Raises ValueError as `assign` does.
    """
    kept = {route: table for route, table in old.items() if route in shares}
    if not any(apart(kept, shares).values()):
        return dict(kept)
    # As routes that are gone, the old tables are what the lanes start from, and nothing holds them to it.
    new = assign({f"{route}\0": table for route, table in kept.items()}, shares, {})
    found: dict[str, Table] = {}
    for route in {*new, *kept}:
        # What is reserved for disabled lanes stays reserved as far as no enabled lane has it now.
        owned = bits.by_lane(new.get(route, ()))
        for lane, held in bits.by_lane(kept.get(route, ())).items():
            if lane in shares[route] and not shares[route][lane].enabled:
                owned[lane] = owned.get(lane, 0) | held & ~bits.union(owned.values())
        if table := _table(owned):
            found[route] = table
    return found


def moved(old: Table, new: Table, enabled: Collection[str]) -> int:
    """How many slots of a route change their owner; base is one, and those reserved for others are base."""
    before = {lane: held for lane, held in bits.by_lane(old).items() if lane in enabled}
    after = {lane: held for lane, held in bits.by_lane(new).items() if lane in enabled}
    same = bits.union(held & after.get(lane, 0) for lane, held in before.items())
    base = bits.ALL & ~bits.union(before.values()) & ~bits.union(after.values())
    return (bits.ALL & ~same & ~base).bit_count()


def apart(tables: Tables, shares: Shares) -> dict[str, dict[str, int]]:
    """Where a lane's slots are neither the same nor nested: by enabled lane and route, how many are astray.

    These are slots that the lane has on this route and not on one where its share is as large or larger.
    """
    found: dict[str, dict[str, int]] = {}
    owned = {route: bits.by_lane(table) for route, table in tables.items()}
    for lane in sorted({lane for wanted in shares.values() for lane in wanted}):
        routes = sorted(
            (wanted[lane].slots, route)
            for route, wanted in shares.items()
            if lane in wanted and wanted[lane].enabled
        )
        astray: dict[str, int] = {}
        common = bits.ALL  # what the lane has on all routes whose share is as large or larger
        for _, route in reversed(routes):
            mine = owned.get(route, {}).get(lane, 0)
            if wrong := mine & ~common:
                astray[route] = wrong.bit_count()
            common &= mine
        if astray:
            found[lane] = astray
    return found


def seeded(table: Sequence[SlotRange], lane: str, ranges: Iterable[tuple[int, int]]) -> Table:
    """`table` with `ranges` for `lane`, as far as they are base and the lane has no slots yet.

    So a restored lane finds its slots again, and one with stale slots disturbs nobody.
    """
    owned = bits.by_lane(table)
    if lane in owned:
        return tuple(table)
    given = bits.union(bits.run(start, end) for start, end in ranges)
    return _table({**owned, lane: given & ~bits.union(owned.values())})


def _table(owned: Mapping[str, Bits]) -> Table:
    return tuple(
        sorted(SlotRange(start, end, lane) for lane, held in owned.items() for start, end in bits.runs(held))
    )


class _Gateway:
    """The slots of all base routes of one gateway while a change is worked out, as sets of bits."""

    def __init__(self, old: Tables, shares: Shares, serving: Mapping[str, Collection[str]]) -> None:
        self._shares = shares
        self._serving = serving
        self._owned: dict[str, dict[str, Bits]] = {}
        self._given_up: dict[str, Bits] = dict.fromkeys(shares, 0)
        self._before: dict[str, list[Bits]] = {}  # what each lane had, route by route
        self._unowned: dict[str, Bits] = {}  # what no lane has, while that is known
        for route, table in sorted(old.items()):
            owned = bits.by_lane(table)
            for lane, held in owned.items():
                self._before.setdefault(lane, []).append(held)
            if route in shares:
                self._owned[route] = {lane: held for lane, held in owned.items() if lane in shares[route]}
                for lane, held in owned.items():
                    if lane not in shares[route] and lane in serving.get(route, ()):
                        self._given_up[route] |= held
        for route in shares:
            self._owned.setdefault(route, {})
        self._ever = bits.union(held for parts in self._before.values() for held in parts)

    def tables(self) -> dict[str, Table]:
        return {route: table for route, owned in self._owned.items() if (table := _table(owned))}

    def _held(self, route: str, lane: str) -> Bits:
        return self._owned[route].get(lane, 0)

    def shrink(self, lane: str) -> None:
        """Give up what is more than the share; what the lane has on most routes is kept longest."""
        for route, wanted in self._shares.items():
            held = self._held(route, lane)
            if lane not in wanted or held.bit_count() <= wanted[lane].slots:
                continue
            ranked = [slots for _, slots in _ranked(held, Counter(self._before[lane]))]
            kept = bits.first(ranked, wanted[lane].slots)
            self._owned[route][lane] = kept
            self._unowned.pop(route, None)
            if lane in self._serving.get(route, ()):
                self._given_up[route] |= held & ~kept

    def grow(self, lane: str) -> None:
        """Bring an enabled lane to its shares, from the smallest up: each has what the smaller ones have."""
        wanted = {
            route: share[lane].slots
            for route, share in self._shares.items()
            if lane in share and share[lane].enabled
        }
        if all(self._held(route, lane).bit_count() == slots for route, slots in wanted.items()):
            return
        common: list[Bits] = []  # what every larger share has or can have, by level
        for level in sorted(set(wanted.values()) - {0}):
            larger = [route for route in wanted if wanted[route] >= level]
            # Where there is least to choose from, the choice comes first: the others can follow it.
            here = sorted(
                (route for route in larger if wanted[route] == level),
                key=lambda route: (self._base(route).bit_count(), route),
            )
            common.append(self._common(lane, larger, here, level, bits.union(common)))
            for route in here:
                held = self._held(route, lane)
                self._take(
                    route, lane, bits.first([one & ~held for one in common], self._missing(route, lane))
                )
            for route in here:
                self._fill(route, lane, [one for one in larger if one != route])

    def _common(self, lane: str, larger: list[str], here: list[str], level: int, common: Bits) -> Bits:
        """What brings `common` to `level` slots, or as near as can be: what the lane has on all of `larger`,
        or can have there without taking it from anybody.
        """
        usable = bits.ALL & ~common
        for route in larger:
            usable &= self._held(route, lane) | self._base(route)
        # What the routes of this very share hold has to be in; then what the lane has or had on most routes.
        had = self._before.get(lane, ())
        votes = Counter(had)
        holds = len(had) + 1
        for route in larger:
            votes[self._held(route, lane)] += holds * (2 if route in here else 1)
        chosen: Bits = 0

        def room(group: Bits) -> int:
            """How many of the group still fit into the shares of all of `larger`."""
            left = [level - (common | chosen).bit_count()]
            for route in larger:
                held = self._held(route, lane)
                if group & ~held:
                    left.append(self._shares[route][lane].slots - (held | common | chosen).bit_count())
            return min(left)

        unreserved = usable
        for route in larger:
            unreserved &= self._free(route) | self._held(route, lane)
        for weight, group in _ranked(usable, votes):
            if weight >= holds:
                chosen |= bits.first([group], room(group))
        for _, group in _ranked(unreserved & bits.union(had) & ~chosen, Counter(had)):
            chosen |= bits.first([group], room(group))
        # Of what it never had: best what no lane has or had, so that it can have it everywhere.
        nowhere = unreserved & ~self._ever
        for route in self._shares:
            nowhere &= self._free(route)
        for group in (nowhere, unreserved):
            group &= ~chosen
            chosen |= bits.take(group, room(group), common | chosen)
        # The last of a reserve: a lane that is enabled again finds the beginning of its slots.
        group = usable & ~chosen
        return chosen | bits.last(group, room(group))

    def _fill(self, route: str, lane: str, others: list[str]) -> None:
        """Take what is still missing on one route: from base, and only then from what lanes had."""
        if self._missing(route, lane) <= 0:
            return
        elsewhere = bits.union(self._held(one, lane) for one in others)
        for group in (self._base(route) & elsewhere, self._free(route)):
            held = self._held(route, lane)
            self._take(route, lane, bits.take(group & ~held, self._missing(route, lane), held))
        given_up, switched_off = self._given_up[route], self._reserved(route, served=True)
        for group in (
            self._base(route),
            given_up & elsewhere,
            given_up,
            switched_off & elsewhere,
            switched_off,
        ):
            held = self._held(route, lane)
            self._take(route, lane, bits.last(group & ~held, self._missing(route, lane)))

    def _missing(self, route: str, lane: str) -> int:
        return self._shares[route][lane].slots - self._held(route, lane).bit_count()

    def _take(self, route: str, lane: str, slots: Bits) -> None:
        """Give `slots` to the lane; a lane that they were reserved for loses them."""
        if not slots:
            return
        owned = self._owned[route]
        for other, held in owned.items():
            if held & slots:
                owned[other] = held & ~slots
        owned[lane] = owned.get(lane, 0) | slots
        self._given_up[route] &= ~slots
        self._unowned.pop(route, None)

    def _free(self, route: str) -> Bits:
        """What nobody has, and nobody had until now."""
        unowned = self._unowned.get(route)
        if unowned is None:
            unowned = self._unowned[route] = bits.ALL & ~bits.union(self._owned[route].values())
        return unowned & ~self._given_up[route]

    def _base(self, route: str) -> Bits:
        """What was base until now: free, or reserved for a lane that was not serving."""
        return self._free(route) | self._reserved(route, served=False)

    def _reserved(self, route: str, served: bool) -> Bits:
        """What is reserved for lanes that are disabled and were, or were not, serving until now."""
        wanted, serving = self._shares[route], self._serving.get(route, ())
        return bits.union(
            held
            for lane, held in self._owned[route].items()
            if not wanted[lane].enabled and (lane in serving) is served
        )


def _ranked(slots: Bits, votes: Mapping[Bits, int]) -> list[tuple[int, Bits]]:
    """`slots` in groups by the sum of the votes of the sets that they are in, the highest first."""
    groups: dict[int, Bits] = {0: slots}
    for voted, weight in votes.items():
        following: dict[int, Bits] = {}
        for sum_, group in groups.items():
            for total, part in ((sum_ + weight, group & voted), (sum_, group & ~voted)):
                if part:
                    following[total] = following.get(total, 0) | part
        groups = following
    return sorted(groups.items(), reverse=True)
