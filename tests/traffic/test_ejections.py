"""What proxies say of ejected instances, for as long as it holds."""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from controlplane.traffic.ejections import MOST_CLUSTERS, Ejected, Ejections, summed
from controlplane.traffic.meter import Meter
from controlplane.traffic.table import Table
from controlplane.translate.traffic import DURATION, EJECTED, LABEL, REQUESTS


def report(**ejected: int) -> bytes:
    """As Envoy sends a gauge: with labels of which one is the cluster's name."""
    message = metrics_service_pb2.ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add().instrumentation_library_metrics.add().metrics
    gauge = metrics.add(name=EJECTED)
    for cluster, count in ejected.items():
        point = gauge.gauge.data_points.add(as_int=count)
        for key, value in (("envoy.cluster_name", cluster), ("laneway.tag", "gray")):
            attribute = point.attributes.add(key=key)
            attribute.value.string_value = value
    return message.SerializeToString()


def test_reports_are_read_and_hold_for_a_while() -> None:
    now = 1_000.0
    names = (REQUESTS, DURATION, LABEL)
    meter = Meter(Table(), lambda who, label, counter: None, names, lambda: now, gauge=EJECTED)
    for node, raw in (("a", report(c=1, d=0)), ("b", report(c=2))):
        assert not list(meter.report(node, None, raw))
    assert meter.ejections.lately() == {"c": Ejected(2, 2)}
    now += 5
    assert not list(
        meter.report("a", None, report(c=0))
    )  # it tries the instance again, and may eject it again
    assert meter.ejections.lately() == {"c": Ejected(2, 2)}
    now += 8
    assert meter.ejections.lately() == {}
    assert len(meter._table) == 0


def test_what_a_proxy_says_is_bounded() -> None:
    found = Ejections(lambda: 1.0, 10.0)
    for number in range(MOST_CLUSTERS + 10):
        found.note("a", f"c{number}", 1)
    found.note("a", "c0", 3)
    found.note("a", "c1", -5)
    found.note("a", "c2", 1 << 40)
    assert len(found.lately()) == MOST_CLUSTERS
    assert found.lately()["c0"] == Ejected(3, 1)
    assert {found.lately()[one].most for one in ("c1", "c2")} == {1}


def test_sums_over_control_planes() -> None:
    assert summed([("c", Ejected(1, 3)), ("c", Ejected(2, 1)), ("d", Ejected(1, 1))]) == {
        "c": Ejected(2, 4),
        "d": Ejected(1, 1),
    }
