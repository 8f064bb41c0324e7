"""What control planes tell each other, and the answer that is made of it."""

from __future__ import annotations

import pytest

from controlplane.traffic.exchange import Everywhere, Interest, Rows, joined, tell
from controlplane.traffic.figures import Traffic, Window
from controlplane.traffic.meter import Gap
from controlplane.traffic.series import COARSE, REQUESTS, SLOT, Key
from tests.traffic.test_meter import START, Proxies

KEY = Key("edge", "edge", "a", "s", "app", "", "base")
NOW = int(START // SLOT) // COARSE * COARSE


def counted(*slots: int) -> Traffic:
    """One request in each of these slots before NOW."""
    proxies = Proxies()
    for slot in slots:
        proxies.table.of(KEY).add(NOW - slot, [(REQUESTS, 1)])
    return Traffic(proxies.table, proxies.meter)


@pytest.mark.parametrize("window", [Window(NOW - 60, NOW, 1), Window(NOW - 720, NOW, COARSE)])
def test_two_halves_are_the_whole(window: Window) -> None:
    slots = (1, 2, 3, 30, 59, 600)
    whole = counted(*slots)
    told = tell(counted(*slots[::2]), 2, window, Interest())
    both = Everywhere(counted(*slots[1::2]), 3, [told])
    expected = whole.part(whole.select(lambda key: True), window)
    found = both.part(both.select(lambda key: key == KEY), window)
    assert [one.requests for one in found.steps] == [one.requests for one in expected.steps]
    assert found.total.requests == expected.total.requests > 0
    assert both.connected == 5


def test_only_what_is_asked_for_is_told() -> None:
    window = Window(NOW - 60, NOW, 60)
    for interest, told in (
        (Interest(), 1),
        (Interest(frozenset({"app"})), 1),
        (Interest(services=frozenset({"s"})), 1),
        (Interest(gateways=frozenset({"edge"})), 1),
        (Interest(frozenset({"other"}), frozenset({"x"}), frozenset({"y"})), 0),
        (Interest(lanes=True), 0),
    ):
        assert len(tell(counted(3), 1, window, interest).series) == told
    assert not tell(counted(100), 1, window, Interest()).series


def test_lanes_of_others_count_in_the_last_minute() -> None:
    proxies = Proxies()
    own = Traffic(proxies.table, proxies.meter)
    assert not own.in_lanes()
    window = own.window(60, 60)
    counts = [0] * 23
    counts[REQUESTS] = 7
    own.others = (window, [Rows(KEY._replace(lane="gray"), window.last - 1, [(window.first, counts)])])
    assert own.in_lanes()["gray", "s"].requests == 7


def test_who_moved_was_not_silent() -> None:
    silent, other = Gap("edge", 100.0, None, "silent"), Gap("dead", 100.0, None, "silent")
    found = joined([[silent, other], [Gap("edge", 104.0, 104.0, "new")]])
    assert [(one.node, one.start, one.end, one.why) for one in found] == [
        ("dead", 100.0, None, "silent"),
        ("edge", 100.0, 104.0, "moved"),
    ]
