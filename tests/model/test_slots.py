"""Slots: growing moves users from base only, sums are exact, nothing overlaps."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model import slots
from controlplane.model.slots import TOTAL, Share, SlotRange, Table, seeded

NAMES = ("a", "b", "c", "d", "e")


def assign(table: Table, shares: dict[str, Share], serving: Collection[str]) -> Table:
    """The next table of a gateway's only route."""
    return slots.assign({"r": table}, {"r": shares}, {"r": serving}).get("r", ())


def owners(table: Table, enabled: set[str]) -> list[str | None]:
    """Who serves each slot; None is base."""
    found: list[str | None] = [None] * TOTAL
    for start, end, lane in table:
        for slot in range(start, end):
            assert found[slot] is None
            found[slot] = lane if lane in enabled else None
    return found


def enabled(shares: dict[str, Share]) -> set[str]:
    return {name for name, share in shares.items() if share.enabled}


@st.composite
def steps(draw: st.DrawFn) -> list[dict[str, Share]]:
    made = []
    for _ in range(draw(st.integers(1, 8))):
        left = TOTAL
        shares: dict[str, Share] = {}
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
            enabled = draw(st.booleans())
            slots = draw(st.integers(0, left if enabled else TOTAL))
            left -= slots if enabled else 0
            shares[name] = Share(slots, enabled)
        made.append(shares)
    return made


@given(steps())
@settings(max_examples=60, deadline=None)
def test_sums_are_exact_and_nothing_overlaps(changes: list[dict[str, Share]]) -> None:
    table: Table = ()
    serving: set[str] = set()
    for shares in changes:
        table = assign(table, shares, serving)
        serving = enabled(shares)
        assert list(table) == sorted(table)
        for one, other in itertools.pairwise(table):
            assert one.end < other.start or (one.end == other.start and one.lane != other.lane)
        assert all(0 <= start < end <= TOTAL for start, end, _ in table)
        for name, share in shares.items():
            size = sum(end - start for start, end, lane in table if lane == name)
            assert size == share.slots if share.enabled else size <= share.slots
        assert {entry.lane for entry in table} <= set(shares)
        assert assign(table, shares, serving) == table
        assert len(table) <= 100


@given(steps(), st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 4000)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_growing_moves_users_from_base_only(
    history: list[dict[str, Share]], growths: list[tuple[str, int]]
) -> None:
    table: Table = ()
    shares: dict[str, Share] = {}
    for following in history:
        table = assign(table, following, enabled(shares))
        shares = following
    for name, more in growths:
        now = shares.get(name, Share(0, True))
        used = sum(share.slots for lane, share in shares.items() if share.enabled and lane != name)
        grown = Share(min(now.slots + more, TOTAL - used), True)
        if grown.slots < now.slots:
            continue
        serving = enabled(shares)
        before = owners(table, serving)
        shares = shares | {name: grown}
        table = assign(table, shares, serving)
        after = owners(table, enabled(shares))
        assert all(
            old == new or (old is None and new == name) for old, new in zip(before, after, strict=True)
        )


@given(steps())
@settings(max_examples=40, deadline=None)
def test_a_table_is_restored_lane_by_lane_in_any_order(changes: list[dict[str, Share]]) -> None:
    table: Table = ()
    serving: set[str] = set()
    for shares in changes:
        table = assign(table, shares, serving)
        serving = enabled(shares)
    restored: Table = ()
    for name in reversed(NAMES):
        ranges = [(start, end) for start, end, lane in table if lane == name]
        restored = seeded(restored, name, ranges)
    assert restored == table
    assert assign(restored, changes[-1], serving) == table


def test_disabled_lanes_keep_their_slots_until_another_needs_them() -> None:
    table = assign((), {"a": Share(3000, True)}, ())
    table = assign(table, {"a": Share(3000, False), "b": Share(5000, True)}, "a")
    assert table == (SlotRange(0, 3000, "a"), SlotRange(3000, 8000, "b"))
    assert assign(table, {"a": Share(3000, True), "b": Share(5000, True)}, "b") == table
    needed = assign(table, {"a": Share(3000, False), "b": Share(8000, True)}, "b")
    assert needed == (SlotRange(0, 2000, "a"), SlotRange(2000, TOTAL, "b"))
    shared = assign(needed, {"a": Share(3000, True), "b": Share(7000, True)}, "b")
    assert sum(end - start for start, end, lane in shared if lane == "a") == 3000


def test_what_was_base_goes_before_what_a_lane_had() -> None:
    table = (SlotRange(0, 3000, "a"), SlotRange(3000, 6000, "b"), SlotRange(6000, TOTAL, "c"))
    # a is off; b gives up 1000 of its users; c grows: it takes what is reserved for a.
    grown = {"a": Share(3000, False), "b": Share(2000, True), "c": Share(6000, True)}
    assert assign(table, grown, "bc") == (
        SlotRange(0, 1000, "a"), SlotRange(1000, 3000, "c"), SlotRange(3000, 5000, "b"),
        SlotRange(6000, TOTAL, "c"),
    )  # fmt: skip
    # b is switched off in the same change: its users are the last that c takes.
    off = {"a": Share(3000, False), "b": Share(3000, False), "c": Share(8000, True)}
    assert assign(table, off, "bc") == (
        SlotRange(0, 3000, "c"), SlotRange(3000, 5000, "b"), SlotRange(5000, TOTAL, "c"),
    )  # fmt: skip
    # What a lane that was off gives up is base.
    fewer = {"a": Share(1000, False), "b": Share(2000, True), "c": Share(6000, True)}
    assert SlotRange(1000, 3000, "c") in assign(table, fewer, "bc")


def test_stale_slots_disturb_nobody() -> None:
    table = (SlotRange(0, 3000, "a"),)
    assert seeded(table, "a", [(5000, 6000)]) == table
    assert seeded(table, "b", [(2000, 4000)]) == (*table, SlotRange(3000, 4000, "b"))


ROUTES = ("page", "api", "login")
#: Shares of a lane by route; None: it does not take part there.
by_route = st.fixed_dictionaries(
    dict.fromkeys(ROUTES, st.none() | st.integers(0, 3_000) | st.sampled_from((0, 1, 1_000, 3_000)))
)
lane_shares = st.tuples(by_route, st.booleans())
gateway_changes = st.lists(
    st.dictionaries(st.sampled_from(NAMES[:3]), lane_shares, max_size=3), min_size=1, max_size=10
)


def wanted(lanes: dict[str, tuple[dict[str, int | None], bool]]) -> dict[str, dict[str, Share]]:
    return {
        route: {
            name: Share(slots_, on)
            for name, (shares, on) in lanes.items()
            if (slots_ := shares[route]) is not None
        }
        for route in ROUTES
    }


def served(shares: dict[str, dict[str, Share]]) -> dict[str, set[str]]:
    return {route: enabled(of) for route, of in shares.items()}


@given(gateway_changes)
@settings(max_examples=200, deadline=None)
def test_one_user_is_in_one_lane_on_all_routes(
    history: list[dict[str, tuple[dict[str, int | None], bool]]],
) -> None:
    """While the lanes' largest shares fit beside each other, nothing is astray after any history."""
    tables: dict[str, Table] = {}
    serving: dict[str, set[str]] = {}
    for lanes in history:
        shares = wanted(lanes)
        before = tables
        tables = slots.assign(tables, shares, serving)
        assert slots.apart(tables, shares) == {}
        for route in ROUTES:
            old = owners(before.get(route, ()), serving.get(route, set()))
            new = owners(tables.get(route, ()), enabled(shares[route]))
            for name, share in shares[route].items():
                assert not share.enabled or new.count(name) == share.slots
                if share.enabled and old.count(name) <= share.slots:
                    assert all(after == name for was, after in zip(old, new, strict=True) if was == name)
        serving = served(shares)


crowded = st.lists(
    st.dictionaries(
        st.sampled_from(NAMES[:3]),
        st.tuples(st.fixed_dictionaries(dict.fromkeys(ROUTES, st.integers(0, TOTAL))), st.booleans()),
        max_size=3,
    ),
    min_size=1,
    max_size=8,
)


@given(crowded)
@settings(max_examples=150, deadline=None)
def test_what_is_astray_is_said_and_can_be_aligned(
    history: list[dict[str, tuple[dict[str, int | None], bool]]],
) -> None:
    """Sums and growth from base come first: then slots may differ, by as much as `apart` says."""
    tables: dict[str, Table] = {}
    serving: dict[str, set[str]] = {}
    shares: dict[str, dict[str, Share]] = {}
    for lanes in history:
        following = wanted(lanes)
        if any(sum(one.slots for one in of.values() if one.enabled) > TOTAL for of in following.values()):
            continue
        shares = following
        tables = slots.assign(tables, shares, serving)
        serving = served(shares)
    said = slots.apart(tables, shares)
    for name in NAMES[:3]:
        taking_part = sorted((of[name].slots, route) for route, of in shares.items() if name in enabled(of))
        for number, (_, route) in enumerate(taking_part):
            mine = {slot for slot, lane in enumerate(owners(tables.get(route, ()), {name})) if lane}
            astray = set()
            for _, larger in taking_part[number + 1 :]:
                astray |= mine - {
                    slot for slot, lane in enumerate(owners(tables.get(larger, ()), {name})) if lane
                }
            assert said.get(name, {}).get(route, 0) == len(astray)
    better = slots.aligned(tables, shares)
    for route, of in shares.items():
        found = owners(better.get(route, ()), enabled(of))
        assert all(found.count(name) == share.slots for name, share in of.items() if share.enabled)
    total = [
        sum(number for of in slots.apart(one, shares).values() for number in of.values())
        for one in (tables, better)
    ]
    assert total[1] <= total[0]


def test_a_new_route_starts_from_the_slots_of_the_others() -> None:
    """Although a lane that is only disabled has other slots there first."""
    shares = {"page": {"a": Share(2000, True)}}
    tables = slots.assign({}, shares, {})
    shares = {"page": {"a": Share(2000, False), "b": Share(2000, True)}}
    tables = slots.assign(tables, shares, {"page": {"a"}})
    assert tables == {"page": (SlotRange(0, 2000, "a"), SlotRange(2000, 4000, "b"))}
    both = {"page": shares["page"], "api": {"a": Share(2000, False), "b": Share(2000, True)}}
    tables = slots.assign(tables, both, {"page": {"b"}})
    assert tables["api"] == (SlotRange(2000, 4000, "b"),)


def test_a_smaller_share_has_some_of_the_users_of_a_larger_one() -> None:
    shares = {"page": {"a": Share(3000, True)}, "api": {"a": Share(1000, True)}}
    tables = slots.assign({}, shares, {})
    assert tables == {"page": (SlotRange(0, 3000, "a"),), "api": (SlotRange(0, 1000, "a"),)}
    turned = {"page": {"a": Share(500, True)}, "api": {"a": Share(2000, True)}}
    tables = slots.assign(tables, turned, served(shares))
    assert tables == {"page": (SlotRange(0, 500, "a"),), "api": (SlotRange(0, 2000, "a"),)}


def test_a_route_with_another_name_moves_nobody() -> None:
    shares = {"page": {"a": Share(1000, True), "b": Share(2000, True)}}
    tables = slots.assign({"page": (SlotRange(4000, 5000, "a"), SlotRange(0, 2000, "b"))}, shares, {})
    renamed = slots.assign(tables, {"start": shares["page"]}, served(shares))
    assert renamed == {"start": tables["page"]}


def test_tables_from_before_are_aligned_with_few_moves() -> None:
    old = {
        "page": (SlotRange(2000, 4000, "b"),),
        "api": (SlotRange(0, 2000, "b"),),
        "login": (SlotRange(0, 2000, "b"),),
    }
    shares = {route: {"b": Share(2000, True)} for route in old}
    assert slots.apart(old, shares)["b"].keys() == {"api", "login", "page"} - {"page"} | {"login", "api"}
    assert slots.aligned(old, shares) == dict.fromkeys(old, (SlotRange(0, 2000, "b"),))
