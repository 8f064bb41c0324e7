"""The budget of series in /metrics, and that no counter falls while series end."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from controlplane.app.traffic import Counting, TrafficBounds
from controlplane.app.traffic_metrics import TrafficCollector
from controlplane.traffic.series import BUCKETS, FIRST_BUCKET, REQUESTS, SLOT, Key
from controlplane.traffic.table import OTHER

HOUR = 3600 // SLOT


class Metrics:
    """What /metrics says, with room for so many sets of labels."""

    def __init__(self, most: int) -> None:
        self.counting = Counting(lambda call, node: None, lambda name: name, TrafficBounds())
        self.table = self.counting.table
        self.registry = CollectorRegistry()
        self.registry.register(TrafficCollector(self.counting, most))

    def count(self, service: str, requests: int, slot: int, route: str = "a", lane: str = "") -> None:
        one = self.table.of(Key("edge", "edge", route, service, "app", lane, "base"))
        one.totals[REQUESTS] += requests
        one.last = slot

    def exemplars(self) -> list[Sample]:
        """The samples that have one, as OpenMetrics says it."""
        text = generate_latest(self.registry).decode()
        families = text_string_to_metric_families(text)
        return [sample for family in families for sample in family.samples if sample.exemplar]

    def requests(self) -> Counter[str]:
        """By service, of all results."""
        found: Counter[str] = Counter()
        for family in self.registry.collect():
            if family.name == "laneway_requests":
                for sample in family.samples:
                    found[sample.labels["service"]] += int(sample.value)
        return found

    def value(self, name: str) -> float:
        found = self.registry.get_sample_value(name)
        assert found is not None
        return found


def test_what_is_beyond_the_budget_is_summed_as_other() -> None:
    metrics = Metrics(2)
    for number in range(5):
        metrics.count(f"s{number}", 10, HOUR)
    assert metrics.requests() == {"s0": 10, "s1": 10, OTHER: 30}
    assert metrics.value("laneway_traffic_metrics_left_out") == 3


def test_other_does_not_fall_when_there_is_room_again() -> None:
    """Nor when a series in it ends."""
    metrics = Metrics(1)
    metrics.count("s0", 10, 1)
    metrics.count("s1", 20, 1)
    metrics.count("s2", 30, HOUR)
    metrics.count("s3", 40, HOUR)
    assert metrics.requests() == {"s0": 10, OTHER: 90}
    assert metrics.table.forget_before(HOUR + 2)
    assert metrics.requests() == {OTHER: 90}
    metrics.count("s2", 1, HOUR)
    metrics.count("new", 5, HOUR)
    assert metrics.requests() == {"new": 5, OTHER: 91}
    assert metrics.value("laneway_traffic_metrics_left_out") == 2


def test_a_route_that_nobody_takes_any_more_leaves_its_count() -> None:
    """Two routes lead to one service, whose labels do not name the route."""
    metrics = Metrics(10)
    metrics.count("s", 1_000, 1, route="rare")
    metrics.count("s", 50, HOUR, route="frequent")
    assert metrics.requests() == {"s": 1_050}
    assert metrics.table.forget_before(HOUR + 2)
    assert metrics.requests() == {"s": 1_050}
    metrics.count("s", 1, HOUR, route="rare")
    assert metrics.requests() == {"s": 1_051}
    assert metrics.table.forget_before(3 * HOUR)
    assert metrics.requests() == {}
    metrics.count("s", 2, 3 * HOUR)
    assert metrics.requests() == {"s": 2}, "nothing is left of series that all have ended"


def test_the_series_of_a_lane_end_with_it() -> None:
    metrics = Metrics(10)
    metrics.count("s", 5, 1, lane="gray")
    metrics.count("t", 7, 1)
    assert metrics.requests() == {"s": 5, "t": 7}
    assert metrics.table.keep_lanes([])
    assert metrics.requests() == {"t": 7}


def test_exemplars_are_of_series_and_buckets_that_are_shown() -> None:
    metrics = Metrics(1)
    metrics.count("s", 1, 1)
    metrics.count("t", 1, 1)
    for one in metrics.table:
        one.totals[FIRST_BUCKET + 3] = 1
    for service in ("s", "t", "unknown"):
        for seconds in (0.007, 20.0):
            metrics.counting.exemplars.note(("edge", "app", service, "", "base"), seconds, "1f", "")
    (sample,) = metrics.exemplars()
    assert (sample.labels["service"], sample.labels["le"]) == ("s", str(BUCKETS[3] / 1000))
    assert sample.exemplar is not None
    assert (sample.exemplar.labels, sample.exemplar.value) == ({"trace_id": "1f"}, 0.007)
    assert sample.exemplar.timestamp
