"""Which lane a slot of a base route belongs to, by table."""

from __future__ import annotations

import pytest

from controlplane.model.slots import SlotRange
from controlplane.plan.evaluate import shares, slot_owner
from controlplane.plan.gateways import RatioPlan

ONE = (SlotRange(0, 3_000, "gray"),)
TWO = (SlotRange(0, 1_000, "gray"), SlotRange(1_000, 3_000, "red"), SlotRange(3_000, 4_000, "gray"))
GAP = (SlotRange(500, 600, "gray"), SlotRange(9_999, 10_000, "red"))
ALL = (SlotRange(0, 10_000, "gray"),)


@pytest.mark.parametrize(
    ("ranges", "slot", "owner"),
    [
        (ONE, 0, "gray"),
        (ONE, 2_999, "gray"),
        (ONE, 3_000, None),
        (ONE, 9_999, None),
        (TWO, 999, "gray"),
        (TWO, 1_000, "red"),
        (TWO, 2_999, "red"),
        (TWO, 3_000, "gray"),
        (TWO, 4_000, None),
        (GAP, 499, None),
        (GAP, 500, "gray"),
        (GAP, 600, None),
        (GAP, 9_998, None),
        (GAP, 9_999, "red"),
        (ALL, 0, "gray"),
        (ALL, 9_999, "gray"),
        ((), 0, None),
    ],
)
def test_owner(ranges: tuple[SlotRange, ...], slot: int, owner: str | None) -> None:
    assert slot_owner(RatioPlan(ranges, None), slot) == owner


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        (ONE, (("gray", 30.0), (None, 70.0))),
        (TWO, (("gray", 20.0), ("red", 20.0), (None, 60.0))),
        (GAP, (("gray", 1.0), ("red", 0.01), (None, 98.99))),
        (ALL, (("gray", 100.0), (None, 0.0))),
        ((), ((None, 100.0),)),
    ],
)
def test_shares(ranges: tuple[SlotRange, ...], expected: tuple[tuple[str | None, float], ...]) -> None:
    found = shares(RatioPlan(ranges, None))
    assert [lane for lane, _ in found] == [lane for lane, _ in expected]
    assert [share for _, share in found] == pytest.approx([share for _, share in expected])
