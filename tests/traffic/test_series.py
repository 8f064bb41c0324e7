"""Rows of a series, and quantiles."""

from __future__ import annotations

import random

import pytest

from controlplane.traffic.figures import Window
from controlplane.traffic.series import (
    BUCKETS,
    COARSE,
    COARSE_ROWS,
    FIELDS,
    RECENT,
    SLOT,
    Key,
    Series,
    quantile,
)

KEY = Key("edge", "edge", "a", "s", "app", "", "base")
NOW = 5_000_040


def test_an_hour_is_kept_and_no_more() -> None:
    one = Series(KEY)
    for slot in range(NOW - 3 * COARSE * COARSE_ROWS, NOW):
        one.add(slot, [(0, 1)])
    for slots in (1, 10, RECENT, RECENT + COARSE, COARSE * (COARSE_ROWS - 1)):
        counts = [0] * FIELDS
        first = NOW - slots if slots <= RECENT else (NOW - slots) // COARSE * COARSE
        assert one.read(first, NOW, counts)
        assert counts[0] == NOW - first


def test_what_is_too_old_is_not_counted_in_rows() -> None:
    one = Series(KEY)
    one.add(NOW, [(0, 1)])
    one.add(NOW - RECENT, [(0, 5)])
    counts = [0] * FIELDS
    one.read(NOW - 5, NOW + 1, counts)
    assert counts[0] == 1
    assert one.totals[0] == 6


@pytest.mark.parametrize(("seconds", "step"), [(300, 5), (300, 60), (3600, 60), (600, 7), (5, 5), (3600, 5)])
def test_windows_have_whole_steps_and_end_with_the_last_slot(seconds: float, step: float) -> None:
    found = Window.until(NOW * SLOT + 3.0, seconds, step)
    assert NOW - COARSE < found.last <= NOW
    assert (found.last - found.first) % found.step == 0
    assert found.seconds >= min(seconds, 3600)


def test_quantiles_are_within_their_bucket() -> None:
    chance = random.Random(1)
    values = sorted(chance.expovariate(1 / 40) for _ in range(10_000))
    counts = [0] * (len(BUCKETS) + 1)
    for value in values:
        counts[next((n for n, bound in enumerate(BUCKETS) if value <= bound), len(BUCKETS))] += 1
    for wanted in (0.5, 0.9, 0.99):
        exact, found = values[int(wanted * len(values))], quantile(counts, wanted)
        assert found is not None
        place = next(n for n, bound in enumerate(BUCKETS) if exact <= bound)
        assert (BUCKETS[place - 1] if place else 0) <= found <= BUCKETS[place]
    assert quantile([0] * len(counts), 0.5) is None
