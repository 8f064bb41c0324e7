"""Access logs and spans, of edges and sidecars in one shape.

Of a request's headers only those are written that say who it is and which lane it has: never a body, a
cookie, a token, or the query string, which may hold one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, grpc_service_pb2, protocol_pb2, substitution_format_string_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.access_loggers.open_telemetry.v3 import logs_service_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    parent_based_sampler_pb2,
    trace_id_ratio_based_sampler_pb2,
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from envoy.type.v3 import percent_pb2
from opentelemetry.proto.common.v1 import common_pb2

from controlplane.model.gateway_fields import AccessLog, Collector, Tracing
from controlplane.plan.observing import NOTHING, Observing
from controlplane.translate.messages import duration, extension, pack, socket_address, struct
from controlplane.translate.reports import reporting, watch_filter

Hcm = hcm_pb2.HttpConnectionManager
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PATH = "%PATH(NQ:PATH)%"
FALLBACK = (
    "%CEL(xds.cluster_name.endsWith('>base') && "
    "'base' in xds.upstream_host_metadata.filter_metadata['lane'])%"
)


def fields(carrier: str) -> Mapping[str, str]:
    """The fields of a line, with Envoy's commands for their values. `carrier`: the header of the lane."""
    return {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": PATH,
        "protocol": "%PROTOCOL%",
        "server_name": "%REQUESTED_SERVER_NAME%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "user_agent": "%REQ(USER-AGENT)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "trace_id": "%TRACE_ID%",
        "traceparent": "%REQ(TRACEPARENT)%",
        "lane": f"%REQ({carrier})%",
        "fallback": FALLBACK,
        "route": "%ROUTE_NAME%",
        "service": "%UPSTREAM_METADATA(lane:service)%",
        "tag": "%UPSTREAM_METADATA(lane:tag)%",
        "upstream": "%UPSTREAM_HOST%",
    }


def carried() -> Mapping[str, str]:
    """Fields of sidecars alone: the lane that a request brought, by carrier. All are empty where the sidecar
    found it otherwise, by the trace or by the tag of its instance.
    """
    return {
        f"lane_{one}": f"%DYNAMIC_METADATA(laneway:{one})%" for one in ("header", "baggage", "tracestate")
    }


def observe(manager: Hcm, wanted: Observing, owner: str, sidecar: bool) -> None:
    """Give `manager` the access log and the tracing that are `wanted`. `owner`: gateway or application."""
    if wanted.access_log is not None:
        written = {**fields(wanted.carrier), **(carried() if sidecar else {})}
        manager.access_log.extend(_logs(wanted.access_log, written, "sidecar" if sidecar else "edge", owner))
    if wanted.tracing is not None:
        manager.tracing.CopyFrom(_tracing(wanted.tracing, wanted.carrier, owner, sidecar))


def _logs(
    wanted: AccessLog, written: Mapping[str, str], side: str, owner: str
) -> Iterator[accesslog_pb2.AccessLog]:
    sampled = None
    if wanted.percent < 100:
        sampled = accesslog_pb2.AccessLogFilter(
            runtime_filter=accesslog_pb2.RuntimeFilter(
                runtime_key="laneway.access_log",
                percent_sampled=_share(wanted.percent),
            )
        )
    if wanted.path is not None:
        config = file_pb2.FileAccessLog(path=wanted.path)
        if wanted.format == "json":
            config.log_format.CopyFrom(
                substitution_format_string_pb2.SubstitutionFormatString(json_format=struct(dict(written)))
            )
        yield accesslog_pb2.AccessLog(name="file", filter=sampled, typed_config=pack(config))
    if wanted.otlp is not None:
        body = common_pb2.AnyValue(string_value=f"%REQ(:METHOD)% {PATH} %RESPONSE_CODE%")
        # Envoy 1.40 warns that common_config is deprecated; xds-protos does not know what replaces it.
        otlp = logs_service_pb2.OpenTelemetryAccessLogConfig(
            common_config=als_pb2.CommonGrpcAccessLogConfig(
                log_name=f"laneway-{side}",
                grpc_service=_service(wanted.otlp),
                transport_api_version="V3",
            ),
            resource_attributes=_values({"service.name": owner}),
            body=body,
            attributes=_values(written),
        )
        yield accesslog_pb2.AccessLog(name="otlp", filter=sampled, typed_config=pack(otlp))


def _share(percent: float) -> percent_pb2.FractionalPercent:
    return percent_pb2.FractionalPercent(numerator=round(percent * 100), denominator="TEN_THOUSAND")


def _values(texts: Mapping[str, str]) -> common_pb2.KeyValueList:
    return common_pb2.KeyValueList(
        values=[
            common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=text))
            for key, text in texts.items()
        ]
    )


def _tracing(
    wanted: Tracing, carrier: str, owner: str, sidecar: bool
) -> hcm_pb2.HttpConnectionManager.Tracing:
    """An edge decides by itself, whatever a client's `traceparent` says; sidecars do as it says."""
    config = opentelemetry_pb2.OpenTelemetryConfig(
        grpc_service=_service(wanted.collector), service_name=owner
    )
    if sidecar:
        ratio = trace_id_ratio_based_sampler_pb2.TraceIdRatioBasedSamplerConfig(
            sampling_percentage=_share(wanted.percent)
        )
        parent = parent_based_sampler_pb2.ParentBasedSamplerConfig(wrapped_sampler=extension("ratio", ratio))
        config.sampler.CopyFrom(extension("parent", parent))
    tags = {
        "laneway.lane": f"%REQ({carrier})%",
        "laneway.tag": "%UPSTREAM_METADATA(lane:tag)%",
        "laneway.service": "%UPSTREAM_METADATA(lane:service)%",
        # In place of Envoy's own, which has the query string.
        "http.url": f"%REQ(:SCHEME)%://%REQ(:AUTHORITY)%{PATH}",
    }
    return Hcm.Tracing(
        random_sampling=percent_pb2.Percent(value=100 if sidecar else wanted.percent),
        provider=http_tracer_pb2.Tracing.Http(name="envoy.tracers.opentelemetry", typed_config=pack(config)),
        custom_tags=[custom_tag_pb2.CustomTag(tag=tag, value=value) for tag, value in tags.items()],
    )


def _service(collector: Collector) -> grpc_service_pb2.GrpcService:
    return grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=collector_name(collector))
    )


def collector_name(collector: Collector) -> str:
    """The name of the cluster of a collector."""
    return f"laneway-collector:{collector.host}:{collector.port}"


def collectors(wanted: Observing) -> Iterator[cluster_pb2.Cluster]:
    """The clusters of the collectors that a proxy sends to."""
    for collector in wanted.collectors():
        name = collector_name(collector)
        endpoint = endpoint_components_pb2.Endpoint(address=socket_address(collector.host, collector.port))
        cluster = cluster_pb2.Cluster(
            name=name,
            # Envoy ends the label of a cluster's name at the first dot.
            alt_stat_name=name.replace(".", "_"),
            type=cluster_pb2.Cluster.STATIC
            if _is_address(collector.host)
            else cluster_pb2.Cluster.STRICT_DNS,
            connect_timeout=duration(1),
            load_assignment=endpoint_pb2.ClusterLoadAssignment(
                cluster_name=name,
                endpoints=[
                    endpoint_components_pb2.LocalityLbEndpoints(
                        lb_endpoints=[endpoint_components_pb2.LbEndpoint(endpoint=endpoint)]
                    )
                ],
            ),
        )
        options = http_protocol_options_pb2.HttpProtocolOptions
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(
            pack(
                options(
                    explicit_http_config=options.ExplicitHttpConfig(
                        http2_protocol_options=protocol_pb2.Http2ProtocolOptions()
                    )
                )
            )
        )
        yield cluster


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Seen:
    """What a sidecar of `application` writes down, and the cluster over which it reports requests, if any."""

    application: str = ""
    reports: str = ""
    observing: Observing = NOTHING


UNSEEN = Seen()


def see(manager: Hcm, seen: Seen, side: str) -> None:
    """Give the `manager` of one side of a sidecar what writes down and reports its requests."""
    watch(manager, seen.reports, side)
    observe(manager, seen.observing, seen.application, sidecar=True)


def watch(manager: Hcm, reports: str, side: str, lane_header: str = "") -> None:
    """Have `manager` report the requests that are watched to the cluster `reports`, if the proxy has one."""
    if reports:
        manager.http_filters.append(watch_filter())
        manager.access_log.append(reporting(reports, side, lane_header))


assert base_pb2  # the generated modules register their types when imported
