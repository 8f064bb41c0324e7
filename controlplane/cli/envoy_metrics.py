"""A port of an Envoy at which Prometheus reads its statistics, and nothing else can be done.

The admin interface, which has them too, can also stop the Envoy and change its log: it stays on loopback.
"""

from __future__ import annotations

from typing import Any

LISTENER = "laneway-metrics"
ADMIN_CLUSTER = "laneway-admin"
PATH = "/metrics"
MOST_CONNECTIONS = 16
"""Of the port: Prometheus needs one for each server of it."""

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"


def expose(config: dict[str, Any], metrics: tuple[str, int], admin: tuple[str, int]) -> None:
    """Add the port `metrics` to a bootstrap `config` whose admin interface is at `admin`.

    GET of PATH is the only request that is answered. Statistics that were never used are left out.
    """
    resources = config["static_resources"]
    resources["clusters"].append(_cluster(admin))
    resources.setdefault("listeners", []).append(_listener(metrics))
    limit = {LISTENER: {"connection_limit": MOST_CONNECTIONS}}
    static = config["layered_runtime"]["layers"][0]["static_layer"]
    static["envoy"] = {"resource_limits": {"listener": limit}}


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _cluster(admin: tuple[str, int]) -> dict[str, Any]:
    host, port = admin
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return {
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": ADMIN_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(local, port)}}]}],
        },
    }


def _listener(metrics: tuple[str, int]) -> dict[str, Any]:
    read = {
        "match": {
            "path": PATH,
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        },
        "route": {"cluster": ADMIN_CLUSTER, "prefix_rewrite": "/stats/prometheus?usedonly"},
    }
    manager = {
        "@type": f"type.googleapis.com/{_HCM}",
        "stat_prefix": "metrics",
        "route_config": {
            "name": LISTENER,
            "virtual_hosts": [{"name": LISTENER, "domains": ["*"], "routes": [read]}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"type.googleapis.com/{_ROUTER}"},
            }
        ],
        "common_http_protocol_options": {"idle_timeout": "120s"},
        "stream_idle_timeout": "30s",
        "request_timeout": "10s",
    }
    chain = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": LISTENER,
        "address": _socket(*metrics),
        # Clients that use up the connections of an edge do not hide that they do.
        "ignore_global_conn_limit": True,
        "filter_chains": [{"filters": [chain]}],
    }
