"""The bootstrap of an Envoy that takes its configuration from Laneway, as plain values.

The control plane needs only the node and ADS (docs/reference/node-metadata.md). The rest are settings that
every Envoy of a mesh should have: labels for statistics, a regex limit that rules fit in, keep-alive.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from controlplane.cli.envoy_metrics import expose

XDS_CLUSTER = "laneway-xds"
_RECONNECT = {"retry_policy": {"retry_back_off": {"base_interval": "0.5s", "max_interval": "5s"}}}
"""By default an Envoy waits up to 30 s, also when the control plane has long been back.
api/envoy/config/core/v3/grpc_service.proto, EnvoyGrpc.retry_policy.
"""

FLUSH_INTERVAL = 5
"""Seconds between two reports of what an Envoy has counted."""
MOST_POINTS = 1_000
"""Counters and histograms in one message of a report."""
BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500, 1000, 2000, 5000, 10000)
"""Upper bounds of the durations of requests, in milliseconds: those of `controlplane.traffic.series`."""
OTHER_CONTROL_PLANES = 4
"""To how many further ones a report goes until one takes it."""
_ANOTHER_HOST = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}
NODE_HEADER = "x-laneway-node"
"""The gRPC metadata of a report that says whose it is: a node id."""

_TIMERS = "envoy.config.overload.v3.ScaleTimersOverloadActionConfig"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# First words of Envoy's cluster statistics. They mark where the cluster's name ends, which may contain dots.
_STATS = (
    "upstream_|membership_|lb_|outlier_detection|circuit_breakers|health_check|internal|external|canary|"
    "retry_or_shadow|update_|assignment_|bind_errors|max_host_weight|version|warming_state|init_fetch|http1|http2|"
    "http3|ssl|tls|zone|default|original_dst|load_report|client_|priority_|ext_|tcp_"
)
_END = rf"\.)(?:{_STATS})"

# Cluster names: `<service>|base`, `<service>|<applications>|<tag>` and, for the aggregate over both,
# `<service>|<applications>|<tag>>base`. A service is a canonical id, which has a slash: the cluster of the
# application behind a sidecar, `inbound|<port>`, is none of a service and gets no such label. Envoy cuts the
# first group from the statistic's name and takes the second as the label's value. Each expression cuts the
# whole cluster name: Envoy joins what they cut.
_ID = r"[^|/]+/[^|]+"
STATS_TAGS = (
    ("laneway.service", rf"^cluster\.(({_ID})\|.+?{_END}"),
    ("laneway.application", rf"^cluster\.({_ID}\|([^|]+)\|.+?{_END}"),
    ("laneway.tag", rf"^cluster\.({_ID}\|(?:[^|]+\|)?([^|>]+?)(?:\|strict)?(?:>(?:base|none))?{_END}"),
    ("laneway.fallback", rf"^cluster\.({_ID}\|[^|]+\|[^>]+>(base|none){_END}"),
)

# With these labels Envoy needs some 25 us for each of a cluster's 150 statistics before it is usable.
# So statistics of traffic are created on first use, and these, which nobody reads, never.
UNUSED_STATS = (
    ".assignment_",
    ".circuit_breakers.high.",
    ".ejections_consecutive_",
    ".ejections_detected_",
    ".ejections_enforced_consecutive_5xx",
    ".ejections_enforced_consecutive_gateway_",
    ".ejections_enforced_failure_",
    ".ejections_enforced_local_",
    ".ejections_enforced_success_",
    ".ejections_success_rate",
    ".lb_local_",
    ".lb_recalculate_",
    ".lb_subsets_",
    ".lb_zone_",
)


_MONITORS = "envoy.resource_monitors"
_ACTIONS = "envoy.overload_actions"


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds on what all clients together may cost an edge; docs/reference/edge-hardening.md.

    `connections` counts for the whole process and must stay below its limit of open files. `heap` is in
    MiB.
    """

    connections: int = 50_000
    heap: int = 2048


def bootstrap(
    node_id: str,
    cluster: str,
    metadata: dict[str, Any],
    xds: tuple[str, int],
    admin: tuple[str, int],
    limits: EdgeLimits | None = None,
    transport_socket: dict[str, Any] | None = None,
    metrics: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """A whole bootstrap in Envoy's proto3 JSON form.

    `cluster` is the gateway's name for an edge, the application for a sidecar. `xds` and `admin` are host and
    port; a host name in `xds` is resolved by DNS. `limits` apply to an edge. transport_socket: of the xDS
    server's cluster, None for plain text. metrics: where Prometheus may read /metrics, None for nowhere.
    """
    written = _bootstrap(node_id, cluster, metadata, xds, admin)
    if transport_socket is not None:
        written["static_resources"]["clusters"][0]["transport_socket"] = transport_socket
    if limits is not None:
        # The admin interface answers even when clients use every other connection.
        written["admin"]["ignore_global_conn_limit"] = True
        written["overload_manager"] = _overload_manager(limits)
    if metrics is not None:
        expose(written, metrics, admin)
    return written


def _overload_manager(limits: EdgeLimits) -> dict[str, Any]:
    def monitor(name: str, message: str, **fields: int) -> dict[str, Any]:
        kind = f"type.googleapis.com/envoy.extensions.resource_monitors.{message}"
        return {"name": f"{_MONITORS}.{name}", "typed_config": {"@type": kind, **fields}}

    def action(name: str, trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "name": f"{_ACTIONS}.{name}",
            "triggers": [{"name": f"{_MONITORS}.fixed_heap", **trigger}],
            **more,
        }

    timers = f"type.googleapis.com/{_TIMERS}"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            monitor(
                "fixed_heap", "fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=limits.heap * 1024 * 1024
            ),
            monitor(
                "global_downstream_max_connections",
                "downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=limits.connections,
            ),
        ],
        "actions": [
            # Idle connections are closed first: the idle timeout shrinks from an hour to two seconds.
            action(
                "reduce_timeouts",
                {"scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95}},
                typed_config={
                    "@type": timers,
                    "timer_scale_factors": [
                        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"}
                    ],
                },
            ),
            action("shrink_heap", {"threshold": {"value": 0.95}}),
            action("stop_accepting_requests", {"threshold": {"value": 0.98}}),
        ],
    }


def _bootstrap(
    node_id: str,
    cluster: str,
    metadata: dict[str, Any],
    xds: tuple[str, int],
    admin: tuple[str, int],
) -> dict[str, Any]:
    return {
        "node": {"id": node_id, "cluster": cluster, "metadata": metadata},
        "admin": {"address": _socket(*admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER, **_RECONNECT}}],
            },
            # No timeout: an Envoy that starts before the control plane must not become ready before it knows
            # its routes; with the default of 15 s it would be ready and empty.
            "cds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"},
            "lds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"},
        },
        "static_resources": {"clusters": [_xds_cluster(*xds)]},
        "stats_flush_interval": f"{FLUSH_INTERVAL}s",
        "stats_sinks": [_traffic(node_id)],
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"prefix": "laneway."}, "buckets": list(BUCKETS)}],
            "use_all_default_tags": True,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in STATS_TAGS],
            "stats_matcher": {"exclusion_list": {"patterns": [{"contains": part} for part in UNUSED_STATS]}},
        },
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "layered_runtime": {
            "layers": [
                # The control plane checks rules' regexes; Envoy's own limit of 100 refuses common ones.
                {"name": "laneway", "static_layer": {"re2": {"max_program_size": {"error_level": 10000}}}},
                {"name": "admin", "admin_layer": {}},
            ]
        },
    }


def _traffic(node_id: str) -> dict[str, Any]:
    """Reports what the proxy has counted of traffic, and how many instances it has ejected, and nothing else,
    to the control plane (OTLP).
    """
    sink = "type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig"
    full_name = "envoy.extensions.matching.common_inputs.stats.v3.StatFullNameMatchInput"

    def kept(name: str, match: dict[str, str]) -> dict[str, Any]:
        named = {"name": "name", "typed_config": {"@type": f"type.googleapis.com/{full_name}"}}
        one_metric = {"@type": f"{sink}.ConversionAction", "metric_name": name}
        return {
            "predicate": {"single_predicate": {"input": named, "value_match": match}},
            "on_match": {"action": {"name": "keep", "typed_config": one_metric}},
        }

    matchers = [kept(name, {"prefix": f"{name}."}) for name in ("laneway.requests", "laneway.duration")]
    matchers.append(kept("laneway.ejected", {"suffix": ".outlier_detection.ejections_active"}))
    return {
        "name": "envoy.stat_sinks.open_telemetry",
        "typed_config": {
            "@type": sink,
            "grpc_service": {
                "envoy_grpc": {"cluster_name": XDS_CLUSTER},
                "timeout": f"{FLUSH_INTERVAL}s",
                "retry_policy": {
                    # A name may have the addresses of several control planes, and each report goes to one by
                    # turns: the one without this proxy's stream answers UNAVAILABLE.
                    "retry_on": "unavailable",
                    "num_retries": OTHER_CONTROL_PLANES,
                    "retry_host_predicate": [_ANOTHER_HOST],
                    "host_selection_retry_max_attempts": 5,
                },
                "initial_metadata": [{"key": NODE_HEADER, "value": node_id}],
            },
            "max_data_points_per_request": MOST_POINTS,
            "custom_metric_conversions": {
                "matcher_list": {"matchers": matchers},
                "on_no_match": {"action": {"name": "drop", "typed_config": {"@type": f"{sink}.DropAction"}}},
            },
        },
    }


def edge_metadata() -> dict[str, Any]:
    """Node metadata of an edge."""
    return {"role": "edge", "reports": XDS_CLUSTER}


def sidecar_metadata(
    address: str,
    services: list[tuple[str, int, int | None]],
    capture: str = "proxy",
    tag: str = "",
    calls: list[str] | None = None,
    app_address: str = "",
    egress_address: str = "",
) -> dict[str, Any]:
    """Node metadata of a sidecar. `services`: (service, port in the registry, port of the application)."""
    result: dict[str, Any] = {"role": "sidecar", "address": address, "capture": capture}
    if tag:
        result["tag"] = tag
    result["services"] = [
        {"service": service, "port": port} | ({"app_port": app_port} if app_port else {})
        for service, port, app_port in services
    ]
    if calls:
        result["calls"] = calls
    if app_address:
        result["app_address"] = app_address
    if egress_address:
        result["egress_address"] = egress_address
    result["reports"] = XDS_CLUSTER
    return result


def _socket(address: str, port: int) -> dict[str, Any]:
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return {"socket_address": {"address": address, "port_value": port}}


def _xds_cluster(host: str, port: int) -> dict[str, Any]:
    try:
        ipaddress.ip_address(host)
        discovery = "STATIC"
    except ValueError:
        discovery = "STRICT_DNS"
    return {
        "name": XDS_CLUSTER,
        "type": discovery,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(host, port)}}]}],
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    # If the control plane vanishes without closing the connection, Envoy notices after 35 s
                    # and reconnects.
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
                },
            }
        },
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30}},
    }
