"""From sums since a proxy's start to what is new: restarts, gaps, lost and hostile reports."""

from __future__ import annotations

import pytest

from controlplane.traffic import series
from controlplane.traffic.meter import MOST_NEW, Meaning, Meter
from controlplane.traffic.otlp import InvalidReport
from controlplane.traffic.series import BUCKETS, Key
from controlplane.traffic.table import OTHER, Table
from controlplane.translate.traffic import DURATION, LABEL, REQUESTS
from tests.traffic.reports import report

START = 1_000_000.0


class Proxies:
    """A meter whose clock the tests move; a label is the service."""

    def __init__(self, most: int = 100, shared: bool = False) -> None:
        self.now = START
        self.table = Table(most)
        self.meter = Meter(
            self.table,
            self._resolve,
            (REQUESTS, DURATION, LABEL),
            lambda: self.now,
            most_labels=50,
            shared=shared,
        )

    @staticmethod
    def _resolve(who: object, label: str, counter: bool) -> Meaning | None:
        if label.startswith("unknown"):
            return None
        lane = "gray" if "gray" in label else ""
        key = Key("edge", "edge", "a", label, "app", lane, "base")
        return Meaning(key, ((series.REQUESTS, 1),) if counter else ())

    def send(
        self, node: str, begun: float, after: float = 5.0, stream: object = None, **counters: int
    ) -> None:
        self.now += after
        for _ in self.meter.report(node, stream, report(self.now, begun, counters)):
            pass

    def total(self, service: str = "s") -> int:
        return sum(one.totals[series.REQUESTS] for one in self.table if one.key.service == service)

    def window(self, seconds: int) -> int:
        """Requests of the last seconds, with those of the slot that is not over."""
        last = int(self.now // series.SLOT) + 2
        counts = [0] * series.FIELDS
        whole = [0] * series.FIELDS
        for one in self.table:
            one.read(last - seconds // series.SLOT, last, counts)
            whole = [a + b for a, b in zip(whole, counts, strict=True)]
        return counts[series.REQUESTS]


@pytest.fixture
def proxies() -> Proxies:
    return Proxies()


def test_sums_become_what_is_new(proxies: Proxies) -> None:
    for sum_ in (3, 3, 10):
        proxies.send("edge", START, s=sum_)
    assert proxies.total() == 10
    assert proxies.window(60) == 10
    assert not proxies.meter.gaps


def test_a_lost_report_loses_nothing(proxies: Proxies) -> None:
    proxies.send("edge", START, s=3)
    proxies.send("edge", START, after=30, s=30)
    assert proxies.total() == 30
    # Spread over the time in which they were counted.
    assert 0 < proxies.window(10) < 27


def test_a_restart_neither_jumps_back_nor_counts_twice(proxies: Proxies) -> None:
    proxies.send("edge", START, s=100)
    proxies.send("edge", START + 6, s=4)
    proxies.send("edge", START + 6, s=250)
    assert proxies.total() == 350
    assert proxies.meter.restarts == 1
    assert [gap.why for gap in proxies.meter.gaps] == ["restarted"]


def test_what_a_proxy_counted_long_before_it_was_seen_is_not_new(proxies: Proxies) -> None:
    proxies.send("edge", START - 1000, s=5000)
    proxies.send("edge", START - 1000, s=5007, other=2)
    assert (proxies.total(), proxies.total("other")) == (7, 2)
    assert [gap.why for gap in proxies.meter.gaps] == ["new"]


def test_who_was_away_may_have_reported_elsewhere(proxies: Proxies) -> None:
    proxies.send("edge", START, s=5)
    proxies.send("edge", START, after=120, s=905)
    proxies.send("edge", START, s=906)
    assert proxies.total() == 6
    assert [gap.why for gap in proxies.meter.gaps] == ["away"]


class Stream:
    """What one stream of a proxy is known by."""


def test_who_stayed_on_its_stream_was_not_elsewhere(proxies: Proxies) -> None:
    stream = Stream()
    proxies.send("edge", START, stream=stream, s=5)
    proxies.send("edge", START, after=120, stream=stream, s=905)
    assert proxies.total() == 905
    assert not proxies.meter.gaps


@pytest.mark.parametrize(("shared", "counted"), [(False, 30), (True, 10)])
def test_who_comes_over_another_stream_may_have_been_elsewhere(shared: bool, counted: int) -> None:
    """With others that answer, what they may have counted is not counted again; the gap is shown."""
    proxies = Proxies(shared=shared)
    streams = [Stream(), Stream(), Stream()]
    proxies.send("edge", proxies.now, stream=streams[0], s=3)
    proxies.send("edge", START, stream=streams[1], s=8)  # at once: it cannot have reported in between
    proxies.send("edge", START, after=12, stream=streams[2], s=28)
    proxies.send("edge", START, stream=streams[2], s=30)
    assert proxies.total() == counted
    assert [gap.why for gap in proxies.meter.gaps] == (["away"] if shared else [])


@pytest.mark.parametrize("shared", [False, True])
def test_the_first_requests_of_an_idle_proxy_count(shared: bool) -> None:
    proxies = Proxies(shared=shared)
    stream = Stream()
    for _ in range(12):
        proxies.send("edge", START, stream=stream)
    assert len(proxies.table) == 0
    proxies.send("edge", START, stream=stream, s=4)
    assert proxies.total() == 4
    assert not proxies.meter.gaps


def test_silence_is_shown_until_the_next_report(proxies: Proxies) -> None:
    proxies.send("edge", START, s=5)
    proxies.now += 20
    proxies.meter.sweep()
    assert [(gap.why, gap.end) for gap in proxies.meter.gaps] == [("silent", None)]
    proxies.send("edge", START, s=9)
    assert not proxies.meter.gaps
    assert proxies.total() == 9


def test_a_sum_that_became_smaller_began_anew(proxies: Proxies) -> None:
    proxies.send("edge", START, s=50)
    proxies.send("edge", START, s=3)
    assert proxies.total() == 53


def test_messages_of_one_report_are_one_report(proxies: Proxies) -> None:
    proxies.send("edge", START - 1000, s=5)
    proxies.now += 5
    for counters in ({"s": 6}, {"t": 4}):
        for _ in proxies.meter.report("edge", None, report(proxies.now, START - 1000, counters)):
            pass
    assert (proxies.total(), proxies.total("t")) == (1, 4)


def test_durations(proxies: Proxies) -> None:
    counts = [0] * (len(BUCKETS) + 1)
    for more in (2, 5):
        counts[3] = more
        proxies.now += 5
        for _ in proxies.meter.report("e", None, report(proxies.now, START, {"s": more}, {"s": counts})):
            pass
    (one,) = proxies.table
    assert sum(one.totals[series.FIRST_BUCKET :]) == 5


def test_histograms_with_other_bounds_are_passed_over(proxies: Proxies) -> None:
    raw = report(START, START, {}, {"s": [1, 2, 3]}, bounds=(1.0, 2.0))
    for _ in proxies.meter.report("e", None, raw):
        pass
    assert len(proxies.table) == 0


def test_no_proxy_can_count_more_than_is_possible(proxies: Proxies) -> None:
    proxies.send("edge", START, s=1)
    proxies.send("edge", START, s=MOST_NEW * 2)
    proxies.send("edge", START, s=-5)
    assert proxies.total() == 1
    assert proxies.meter.unknown == 1


def test_labels_of_one_proxy_are_bounded(proxies: Proxies) -> None:
    proxies.send("edge", START, **{f"s{number}": 1 for number in range(200)})
    assert len(proxies.table) == 50
    assert proxies.meter.readings == 50
    assert proxies.meter.unknown == 150


def test_what_is_beyond_the_series_is_counted_as_other() -> None:
    proxies = Proxies(most=10)
    proxies.send("edge", START, **{f"s{number}": 2 for number in range(30)})
    assert len(proxies.table) == 11
    assert proxies.total(OTHER) == 40
    assert proxies.table.left_out == 20


def test_series_of_a_lane_end_with_it(proxies: Proxies) -> None:
    proxies.send("edge", START, gray=5, s=1)
    assert proxies.table.keep_lanes([])
    proxies.meter.resolve_anew()
    assert {one.key.lane for one in proxies.table} == {""}
    proxies.send("edge", START, gray=6, s=1)  # the lane is back under its name
    assert proxies.total("gray") == 1


def test_silent_series_and_proxies_are_forgotten(proxies: Proxies) -> None:
    proxies.send("edge", START, s=5)
    proxies.now += series.HISTORY + 60
    proxies.meter.sweep()
    assert len(proxies.table) == 0
    assert proxies.meter.readings == 0


@pytest.mark.parametrize("raw", [b"\x0a\x05ab", b"\xff" * 100, bytes(range(256))])
def test_what_is_no_report_is_refused(proxies: Proxies, raw: bytes) -> None:
    with pytest.raises(InvalidReport):
        list(proxies.meter.report("edge", None, raw))


def test_a_flood_of_points_is_cut(proxies: Proxies) -> None:
    raw = report(START, START, {f"unknown{number}": 1 for number in range(6_000)})
    list(proxies.meter.report("edge", None, raw))
    assert proxies.meter.unknown <= 4_000
