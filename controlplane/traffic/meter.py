"""From what proxies have counted since they began to what is new in each report.

A report says sums since the proxy's start, so one that is lost loses nothing: the next one has it too. A
proxy that restarts says another time of its start. docs/decisions/0022-traffic-statistics.md has the cases.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from controlplane.traffic import otlp
from controlplane.traffic.ejections import Ejections
from controlplane.traffic.series import FIRST_BUCKET, HISTORY, SLOT, Key, Series
from controlplane.traffic.table import Table

FRESH = 30.0
"""Seconds since its start in which the first report of a proxy is all new; else it may have been counted by
another control plane, or by this one before it was restarted."""
NEXT = 1.5 * SLOT
"""Seconds within which a proxy reports once at most. Where control planes answer for each other, a proxy that
came over another stream after more may have reported to another one; and one that was older when it was first
seen, too."""
AWAY = 60.0
"""Seconds without a report after which a proxy that comes over another stream may have reported to another
control plane, where they do not answer for each other."""
SILENT = 2.5 * SLOT
"""Seconds without a report after which a proxy counts as silent."""
MOST_GAPS = 1_000
AT_ONCE = 50
"""Points between two chances to let others go on."""

Why = Literal["restarted", "silent", "away", "new", "moved"]
MOST_NEW = 1_000_000 * SLOT
"""New requests of one label in a report: no proxy can count a million a second."""


class Meaning(NamedTuple):
    """What a label means. `counts`: (field, times) for each request of a counter."""

    key: Key
    counts: tuple[tuple[int, int], ...]


Resolve = Callable[[Any, str, bool], Meaning | None]
"""(who the proxy is, a label, whether it is a counter's) -> what it means; None for what is not known."""


@dataclass(slots=True)
class Gap:
    """Requests of a proxy may be missing. Times are seconds since the epoch; `end` is None while it lasts.

    restarted: what it counted between its last report and its end. silent: no report comes. away: it came
    back after so long, or over another stream, that what it counted may have been reported elsewhere. new: it
    was first seen some time after its start. moved: what it counted between its last report to one control
    plane and its first to another.
    """

    node: str
    start: float
    end: float | None
    why: Why


class _Reading:
    """What a proxy said last of one label."""

    __slots__ = ("buckets", "counts", "duration", "series", "value")

    def __init__(self) -> None:
        self.value = 0
        self.buckets: bytes | None = None
        self.duration = 0.0
        self.series: Series | None = None
        self.counts: tuple[tuple[int, int], ...] = ()


class _Proxy:
    __slots__ = (
        "at",
        "begun",
        "came",
        "first",
        "gap",
        "heard",
        "idle",
        "node",
        "readings",
        "slot",
        "slots",
        "who",
    )

    def __init__(self, node: str) -> None:
        self.node = node
        self.who: weakref.ref[object] | None = None
        self.came = True
        """Over another stream than the former report."""
        self.idle = 0.0
        """When it said last that it has counted nothing yet."""
        self.begun = 0
        self.at = 0  # nanoseconds, of its own clock
        self.heard = 0.0
        self.first = False
        self.slot = 0
        self.slots: tuple[int, ...] = ()
        self.gap: Gap | None = None
        self.readings: dict[bytes, _Reading] = {}


class Meter:
    """Counts what proxies report in the series of `table`.

    counter, histogram, label, gauge: names in reports, the last of ejected instances. most_points: of one
    report. most_labels: of one proxy, and together a thousand times as many. clock: seconds since the epoch.
    shared: other control planes answer for what proxies counted while they were there, so nothing may be
    counted by both.
    """

    def __init__(
        self,
        table: Table,
        resolve: Resolve,
        names: tuple[str, str, str],
        clock: Callable[[], float],
        most_points: int = 4_000,
        most_labels: int = 20_000,
        most_readings: int = 1_000_000,
        shared: bool = False,
        gauge: str = "",
    ) -> None:
        self._gauge = gauge
        self.ejections = Ejections(clock, SILENT)
        self._fresh, self._away = (NEXT, NEXT) if shared else (FRESH, AWAY)
        self._table = table
        self._resolve = resolve
        self._counter, self._histogram, self._label = names
        self._clock = clock
        self._most_points = most_points
        self._most_labels = most_labels
        self._most_readings = most_readings
        self._proxies: dict[str, _Proxy] = {}
        self._labels: dict[bytes, bytes] = {}
        self.readings = 0
        """Labels of all proxies."""
        self.unknown = 0
        """Points with a label that means nothing here, or for which there was no room."""
        self.gaps: deque[Gap] = deque(maxlen=MOST_GAPS)
        self.restarts = 0

    @property
    def clock(self) -> Callable[[], float]:
        return self._clock

    def reporting(self) -> int:
        """Proxies whose last report is not older than SILENT."""
        now = self._clock()
        return sum(now - one.heard <= SILENT for one in self._proxies.values())

    def report(self, node: str, who: Any, raw: bytes) -> Iterator[None]:
        """Count a report, a few points a step. Raises otlp.InvalidReport.

        who: handed to `resolve`; another one for each stream, None if that is not known.
        """
        proxy, left = None, AT_ONCE
        for point in otlp.points(raw, self._counter, self._histogram, self._most_points, self._gauge):
            if isinstance(point, otlp.Level):
                self.ejections.note(node, point.cluster, point.value)
                continue
            if proxy is None:
                proxy = self._heard(node, who)
            if point.at != proxy.at or point.begun != proxy.begun:
                self._begin(proxy, point.begun, point.at)
            self._count(proxy, who, point)
            left -= 1
            if not left:
                left = AT_ONCE
                yield
        if proxy is None:  # it has counted nothing yet
            proxy = self._heard(node, who)
            proxy.idle = proxy.heard

    def _heard(self, node: str, who: Any) -> _Proxy:
        """The proxy, whose report has come over the stream of `who`."""
        proxy = self._proxies.get(node)
        if proxy is None:
            proxy = self._proxies[node] = _Proxy(node)
        proxy.heard = self._clock()
        if who is None or proxy.who is None or proxy.who() is not who:
            proxy.came = True
            proxy.who = None if who is None else weakref.ref(who)
        return proxy

    def _begin(self, proxy: _Proxy, begun: int, at: int) -> None:
        """A further report of the proxy begins, with sums since `begun`."""
        now = self._clock()
        passed = (at - proxy.at) / 1e9
        age = _seconds(at, begun)
        actual = int(now // SLOT)
        if begun != proxy.begun:
            known = proxy.begun != 0
            self._clear(proxy)
            # What began before this control plane heard that it had counted nothing is new, too.
            idle = not known and 0 < now - proxy.idle <= (self._away if proxy.came else HISTORY)
            proxy.first = not (0 <= age <= self._fresh or idle)
            if known:
                self.restarts += 1
                self._end_gap(proxy, now)
                self.gaps.append(Gap(proxy.node, now - min(passed, now), now, "restarted"))
            elif proxy.first:
                self.gaps.append(Gap(proxy.node, now, now, "new"))
            proxy.slots = (actual,)
        elif passed < 0 or (proxy.came and passed > self._away):
            proxy.first = True
            self._end_gap(proxy, now, "away")
            proxy.slots = (actual,)
        else:
            proxy.first = False
            self._end_gap(proxy, now)
            # Reports come every SLOT seconds, with some jitter: each has a slot of its own.
            slot = proxy.slot + max(1, round(passed / SLOT))
            if abs(slot - actual) > 1:
                slot = actual
            proxy.slots = tuple(range(proxy.slot + 1, slot + 1)) or (slot,)
        proxy.begun, proxy.at, proxy.slot = begun, at, proxy.slots[-1]
        proxy.came = False

    def _end_gap(self, proxy: _Proxy, now: float, why: Why | None = None) -> None:
        if proxy.gap is not None:
            proxy.gap.end = now
            proxy.gap.why = why or proxy.gap.why
            if why is None and proxy.gap.why == "silent":  # sums: nothing of it is missing
                self.gaps.remove(proxy.gap)
            proxy.gap = None
        elif why is not None:
            self.gaps.append(Gap(proxy.node, now, now, why))

    def _clear(self, proxy: _Proxy) -> None:
        self.readings -= len(proxy.readings)
        proxy.readings = {}

    def _count(self, proxy: _Proxy, who: Any, point: otlp.Point) -> None:
        reading = proxy.readings.get(point.label)
        if reading is None:
            if len(proxy.readings) >= self._most_labels or self.readings >= self._most_readings:
                self.unknown += 1
                return
            reading = _Reading()
            self.readings += 1
            label = bytes(point.label)
            if len(self._labels) > self._most_readings:
                self._labels.clear()
            proxy.readings[self._labels.setdefault(label, label)] = reading
            if proxy.first:  # what it had counted before it was seen here
                reading.value, reading.buckets, reading.duration = point.value, point.buckets, point.duration
                return
        elif proxy.first:
            reading.value, reading.buckets, reading.duration = point.value, point.buckets, point.duration
            return
        if point.buckets is None:
            if point.value != reading.value:
                self._add_requests(proxy, who, point, reading)
        elif point.buckets != reading.buckets:
            self._add_durations(proxy, who, point, reading)

    def _series(self, who: Any, point: otlp.Point, reading: _Reading) -> Series | None:
        if reading.series is None:
            text = otlp.text(point.label, self._label)
            meaning = None if text is None else self._resolve(who, text, point.buckets is None)
            if meaning is None:
                self.unknown += 1
                return None
            reading.series, reading.counts = self._table.of(meaning.key), meaning.counts
        return reading.series

    def _add_requests(self, proxy: _Proxy, who: Any, point: otlp.Point, reading: _Reading) -> None:
        # Less than before: the proxy has begun to count anew, as it does when a listener is replaced.
        more = point.value - reading.value if point.value >= reading.value else max(point.value, 0)
        reading.value = point.value
        series = self._series(who, point, reading)
        if series is None or not more:
            return
        if more > MOST_NEW * len(proxy.slots):
            self.unknown += 1
            return
        for slot, part in _spread(more, proxy.slots):
            series.add(slot, [(field, times * part) for field, times in reading.counts])

    def _add_durations(self, proxy: _Proxy, who: Any, point: otlp.Point, reading: _Reading) -> None:
        assert point.buckets is not None
        now = otlp.bucket_counts(point.buckets)
        before = otlp.bucket_counts(reading.buckets) if reading.buckets is not None else (0,) * len(now)
        duration = point.duration - reading.duration
        if any(one < other for one, other in zip(now, before, strict=True)):
            before, duration = (0,) * len(now), point.duration
        reading.buckets, reading.duration = point.buckets, point.duration
        series = self._series(who, point, reading)
        if series is None:
            return
        slot = proxy.slots[-1]
        counted = [
            (FIRST_BUCKET + place, one - other)
            for place, (one, other) in enumerate(zip(now, before, strict=True))
            if one > other
        ]
        if sum(more for _, more in counted) > MOST_NEW * len(proxy.slots) or not duration < 1e12:
            self.unknown += 1
            return
        series.duration += max(0.0, duration)
        series.add(slot, counted)

    def sweep(self) -> None:
        """To be called every few seconds: see which proxies are silent, and forget what is old."""
        now = self._clock()
        self.ejections.sweep()
        for proxy in tuple(self._proxies.values()):
            silent = now - proxy.heard
            if silent > HISTORY:
                self._clear(proxy)
                del self._proxies[proxy.node]
            elif silent > SILENT and proxy.gap is None and proxy.begun:
                proxy.gap = Gap(proxy.node, proxy.heard, None, "silent")
                self.gaps.append(proxy.gap)
        while self.gaps and self.gaps[0].start < now - HISTORY:
            self.gaps.popleft()
        if self._table.forget_before(int(now // SLOT)):
            self.resolve_anew()

    def resolve_anew(self) -> None:
        """Series were given up, or labels may mean something else now: ask again for each that counts on."""
        for proxy in self._proxies.values():
            for reading in proxy.readings.values():
                reading.series = None


def _seconds(at: int, begun: int) -> float:
    """The age of a proxy. Envoy 1.40 writes its start in microseconds where nanoseconds are due."""
    if begun * 100 < at:
        begun *= 1000
    return (at - begun) / 1e9


def _spread(more: int, slots: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """`more`, in equal parts over the slots; what is left over is the last one's."""
    if len(slots) == 1:
        yield slots[0], more
        return
    part = more // len(slots)
    for slot in slots[:-1]:
        if part:
            yield slot, part
    yield slots[-1], more - part * (len(slots) - 1)
