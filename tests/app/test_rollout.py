"""Which steps of a rollout go to every proxy at once, past the trial of changes."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.plan.rollout import Deployed, stops_lanes

LANE: Any = object()
OTHER: Any = object()


@pytest.mark.parametrize(
    ("before", "after", "stops"),
    [
        (Deployed(), Deployed({"a": LANE}), False),
        (Deployed({"a": LANE}), Deployed({"a": LANE}, frozenset({"a"})), False),
        (Deployed({"a": LANE}, frozenset({"a"})), Deployed({"a": LANE}, frozenset({"a"})), False),
        (Deployed({"a": LANE}, frozenset({"a"})), Deployed({"a": OTHER}, frozenset({"a"})), False),
        (Deployed({"a": LANE}, frozenset({"a"})), Deployed({"a": LANE}), True),
        (Deployed({"a": LANE}), Deployed(), True),
        (Deployed({"a": LANE}), Deployed({"b": LANE}), True),
    ],
    ids=["known", "coloured", "same", "changed", "coloured no more", "forgotten", "replaced"],
)
def test_what_stops_a_lane(before: Deployed, after: Deployed, stops: bool) -> None:
    assert stops_lanes(before, after) is stops
