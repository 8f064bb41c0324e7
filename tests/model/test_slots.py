"""Slots: growing moves users from base only, sums are exact, nothing overlaps."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model.slots import TOTAL, Share, SlotRange, Table, assign, seeded

NAMES = ("a", "b", "c", "d", "e")


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
