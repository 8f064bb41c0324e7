"""Reports as Envoy sends them, made with OpenTelemetry's own messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from controlplane.traffic.series import BUCKETS
from controlplane.translate.traffic import DURATION, LABEL, REQUESTS


def report(
    at: float,
    begun: float,
    counters: Mapping[str, int],
    histograms: Mapping[str, Sequence[int]] | None = None,
    bounds: Sequence[float] = BUCKETS,
) -> bytes:
    """A report at a time (seconds) of a process that began at another, with sums by label."""
    message = metrics_service_pb2.ExportMetricsServiceRequest()
    # The generated messages have the older name of a scope; the number of the field is the same.
    metrics = message.resource_metrics.add().instrumentation_library_metrics.add().metrics
    kept = metrics.add(name=REQUESTS)
    for label, value in counters.items():
        point = kept.sum.data_points.add(as_int=value)
        _dress(point, label, at, begun)
    kept = metrics.add(name=DURATION)
    for label, counts in (histograms or {}).items():
        point = kept.histogram.data_points.add(count=sum(counts), sum=1.0)
        point.bucket_counts.extend(counts)
        point.explicit_bounds.extend(bounds)
        _dress(point, label, at, begun)
    return message.SerializeToString()


def _dress(point, label: str, at: float, begun: float) -> None:
    point.time_unix_nano = int(at * 1e9)
    point.start_time_unix_nano = int(begun * 1e6)  # as Envoy 1.40 writes it
    attribute = point.attributes.add(key=LABEL)
    attribute.value.string_value = label
