"""Reads a report of a proxy: an ExportMetricsServiceRequest of OpenTelemetry.

https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from controlplane.traffic.generated import otlp_pb2
from controlplane.traffic.series import BUCKETS

LONGEST_LABEL = 1024
"""Bytes of a label."""
CLUSTER = "envoy.cluster_name"
"""Envoy's own label of what it counts of a cluster."""

_messages: Mapping[str, Any] = vars(otlp_pb2)
_Report, _Attribute = _messages["Report"], _messages["Attribute"]
_COUNTS = struct.Struct(f"<{len(BUCKETS) + 1}Q")
_BOUNDS = struct.pack(f"<{len(BUCKETS)}d", *BUCKETS)


class InvalidReport(Exception):
    """The bytes are not a report."""


class Point(NamedTuple):
    """A number that a proxy counts up since it began.

    label: encoded, see `text`. begun: differs between two processes of one proxy. at: nanoseconds since the
    epoch, of the proxy's clock. value: of a counter. buckets, duration: of a histogram, encoded counts and
    the sum in milliseconds.
    """

    label: bytes
    begun: int
    at: int
    value: int
    buckets: bytes | None
    duration: float


class Level(NamedTuple):
    """The value of a gauge of one cluster."""

    cluster: str
    value: int


def points(raw: bytes, counter: str, histogram: str, most: int, gauge: str = "") -> Iterator[Point | Level]:
    """The points of the counter, of the histogram and of the gauge of these names, at most `most`.

    Others are passed over, also histograms with other bounds than BUCKETS. Raises InvalidReport.
    """
    try:
        report = _Report.FromString(raw)
    except DecodeError as error:
        raise InvalidReport(f"the request is not an ExportMetricsServiceRequest: {error}") from None
    left = most
    for resource in report.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                left -= 1
                if left < 0:
                    return
                if metric.name == counter:
                    found = _numbers(metric)
                elif metric.name == histogram:
                    found = _histograms(metric)
                elif gauge and metric.name == gauge:
                    found = _levels(metric)
                else:
                    continue
                for point in found:
                    left -= 1
                    if left < 0:
                        return
                    yield point


def _numbers(metric: Any) -> Iterator[Point]:
    for one in metric.sum.data_points:
        label = one.attributes
        if len(label) == 1:
            yield Point(label[0], one.start_time_unix_nano, one.time_unix_nano, one.as_int, None, 0.0)


def _levels(metric: Any) -> Iterator[Level]:
    for one in metric.gauge.data_points:
        for label in one.attributes:
            cluster = text(label, CLUSTER)
            if cluster is not None:
                yield Level(cluster, one.as_int)


def _histograms(metric: Any) -> Iterator[Point]:
    for one in metric.histogram.data_points:
        label, counts = one.attributes, one.bucket_counts
        if len(label) == 1 and one.explicit_bounds == _BOUNDS and len(counts) == _COUNTS.size:
            yield Point(label[0], one.start_time_unix_nano, one.time_unix_nano, 0, counts, one.sum)


def bucket_counts(raw: bytes) -> tuple[int, ...]:
    """The counts of a point's buckets."""
    return _COUNTS.unpack(raw)


def text(label: bytes, name: str) -> str | None:
    """What an encoded label says; None unless it is a text, of the name `name`."""
    if len(label) > LONGEST_LABEL:
        return None
    try:
        read = _Attribute.FromString(label)
    except DecodeError:
        return None
    return read.value.string_value.decode(errors="replace") if read.key == name else None
