"""What /metrics says of traffic: few labels, and a bounded number of series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from controlplane.app.traffic import Counting
from controlplane.traffic import exemplars
from controlplane.traffic import series as fields
from controlplane.traffic.series import BUCKETS, FIELDS, FIRST_BUCKET, Key
from controlplane.traffic.table import OTHER

LABELS = ["gateway", "application", "service", "lane", "tag"]
RESULTS = {
    "client_error": fields.CLIENT_ERRORS,
    "server_error": fields.SERVER_ERRORS,
    "reset": fields.RESETS,
    "cancelled": fields.CANCELLED,
}
_FROM_ZERO = frozenset({"server_error", "reset"})
"""Results that are shown before there are any, so that Prometheus sees the first ones as an increase."""


class _Of(NamedTuple):
    """The labels of a series. received: it was counted by the sidecar of the receiver."""

    received: bool
    gateway: str
    application: str
    service: str
    lane: str
    tag: str


class _Shown(NamedTuple):
    """One series as the former answer had it. of: what it was summed in. totals: those that it counts in."""

    of: _Of
    totals: list[int]
    duration: float


class TrafficCollector(Collector):
    """most: sets of labels. Those that come first have series of their own for as long as they are counted;
    the rest is summed as the application and service `other`, and stays there.

    A counter must not fall: Prometheus takes what is left for new. So what was counted in a series that has
    ended stays in a sum, as long as there is another one in it.
    """

    def __init__(self, counting: Counting, most: int) -> None:
        self._counting = counting
        self._most = most
        self._own: set[_Of] = set()
        self._summed: set[_Of] = set()
        self._shown: dict[Key, _Shown] = {}
        self._ended: dict[_Of, tuple[list[int], float]] = {}

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering the collector does not collect."""
        return ()

    def collect(self) -> Iterable[Metric]:
        sums, durations, summed = self._sums()
        yield from _requests(
            "laneway_requests", "Requests to a service, counted by their callers", sums, False
        )
        yield from _requests(
            "laneway_received_requests", "Requests that sidecars handed to their application", sums, True
        )
        duration = HistogramMetricFamily(
            "laneway_request_duration_seconds",
            "Duration of requests, counted by their callers",
            labels=LABELS,
        )
        seen = self._counting.exemplars.shown()
        for of, counts in sums.items():
            if not of.received:
                buckets = _cumulative(counts, seen.get(of[1:], {}))
                duration.add_metric(of[1:], buckets, durations[of] / 1000)
        yield duration
        yield from self._lane_instances(sums)
        for name, text, field in (
            ("laneway_fallbacks", "Requests of a lane that base answered in its place", fields.FALLBACKS),
            ("laneway_refusals", "Requests for which there was no instance", fields.REFUSALS),
            ("laneway_retries", "Tries of requests after the first", fields.RETRIES),
        ):
            family = CounterMetricFamily(name, text, labels=LABELS)
            for of, counts in sums.items():
                # A 0 before the first: else Prometheus takes the first ones for the beginning, not for more.
                if not of.received and (of.lane or counts[field]):
                    family.add_metric(of[1:], counts[field])
            yield family
        yield from self._itself(summed)

    def _lane_instances(self, sums: Iterable[_Of]) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "laneway_lane_instances",
            "Registered instances with the tag of a lane, of services that were called in it; without any, "
            "base answers as it should",
            labels=["service", "lane"],
        )
        for service, lane in dict.fromkeys((one.service, one.lane) for one in sums if not one.received):
            if (count := self._counting.instances(service, lane)) is not None:
                family.add_metric([service, lane], count)
        yield family

    def _sums(self) -> tuple[dict[_Of, list[int]], dict[_Of, float], int]:
        """Counts and durations (milliseconds) by labels; and how many sets of labels are summed as others."""
        named: set[_Of] = set()
        shown: dict[Key, _Shown] = {}
        for one in self._counting.table:
            key = one.key
            of = _Of(key.hop == "inbound", key.gateway, key.application, key.service, key.lane, key.tag)
            named.add(of)
            shown[key] = _Shown(self._place(of), one.totals, one.duration)
        self._own &= named
        self._summed &= named
        for key, former in self._shown.items():
            if key not in shown or shown[key].totals is not former.totals:
                _add(self._ended, former)
        self._shown = shown
        sums: dict[_Of, tuple[list[int], float]] = {}
        for one in shown.values():
            _add(sums, one)
        self._ended = {of: ended for of, ended in self._ended.items() if of in sums}
        for of, (counts, duration) in self._ended.items():
            _add(sums, _Shown(of, counts, duration))
        found = {of: counts for of, (counts, _) in sums.items()}
        return found, {of: duration for of, (_, duration) in sums.items()}, len(self._summed)

    def _place(self, of: _Of) -> _Of:
        """The set of labels in which `of` is shown: itself, or `other`."""
        if of in self._own:
            return of
        if of not in self._summed and len(self._own) < self._most:
            self._own.add(of)
            return of
        self._summed.add(of)
        return _Of(of.received, of.gateway, OTHER, OTHER, "", "")

    def _itself(self, summed: int) -> Iterable[Metric]:
        table, meter, receiver = self._counting.table, self._counting.meter, self._counting.receiver
        for name, text, value in (
            ("laneway_traffic_series", "Series of traffic in memory", len(table)),
            ("laneway_traffic_series_limit", "The most series of traffic that are kept", table.most),
            ("laneway_traffic_series_left_out", "Kinds of requests that are summed as other", table.left_out),
            ("laneway_traffic_metrics_left_out", "Sets of labels that /metrics sums as other", summed),
            ("laneway_traffic_bytes", "About what the series of traffic take", table.bytes),
            ("laneway_traffic_readings", "Counters of proxies that are followed", meter.readings),
            ("laneway_traffic_waiting_bytes", "Reports that wait to be read", receiver.waiting),
            (
                "laneway_traffic_proxies",
                "Proxies that have reported in the last 12 seconds",
                meter.reporting(),
            ),
            (
                "laneway_traffic_gaps",
                "Times of the last hour in which counts may be missing",
                len(meter.gaps),
            ),
        ):
            yield GaugeMetricFamily(name, text, value)
        counters = receiver.counters
        for name, text, count in (
            ("laneway_traffic_messages", "Messages with reports that were taken", counters["messages"]),
            ("laneway_traffic_message_bytes", "Bytes of these messages", counters["bytes"]),
            ("laneway_traffic_points_unknown", "Points of reports that mean nothing here", meter.unknown),
            ("laneway_traffic_restarts", "Restarts of proxies that were seen", meter.restarts),
            ("laneway_traffic_series_ended", "Series that were given up", table.ended),
            ("laneway_traffic_reading_seconds", "Time spent on reading reports", receiver.seconds),
        ):
            yield CounterMetricFamily(name, text, count)
        refused = CounterMetricFamily(
            "laneway_traffic_messages_refused", "Messages that were not taken", labels=["reason"]
        )
        for reason in ("size", "unknown", "waiting", "malformed"):
            refused.add_metric([reason], counters[f"refused_{reason}"])
        yield refused


def _add(to: dict[_Of, tuple[list[int], float]], one: _Shown) -> None:
    counts, duration = to.get(one.of) or ([0] * FIELDS, 0.0)
    to[one.of] = [a + b for a, b in zip(counts, one.totals, strict=True)], duration + one.duration


def _requests(name: str, text: str, sums: dict[_Of, list[int]], received: bool) -> Iterable[Metric]:
    family = CounterMetricFamily(name, text, labels=[*LABELS, "result"])
    for of, counts in sums.items():
        if of.received is not received:
            continue
        failed = 0
        for result, field in RESULTS.items():
            failed += counts[field]
            if counts[field] or result in _FROM_ZERO:
                family.add_metric([*of[1:], result], counts[field])
        family.add_metric([*of[1:], "ok"], counts[fields.REQUESTS] - failed)
    yield family


def _cumulative(
    counts: list[int], seen: Mapping[int, exemplars.Exemplar]
) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Names and values of buckets, and the exemplars of those in which proxies have counted something."""
    found: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    total = 0
    for place, count in enumerate(counts[FIRST_BUCKET:]):
        total += count
        name = str(BUCKETS[place] / 1000) if place < len(BUCKETS) else "+Inf"
        one = seen.get(place) if count else None
        if one is None:
            found.append((name, float(total)))
        else:
            found.append((name, float(total), Exemplar(dict(one.labels), one.seconds, round(one.at, 3))))
    return found
