"""A listener that a real Envoy takes, for tests and benchmarks whose routes change."""

from __future__ import annotations

from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from controlplane.xds.resource import Resource


def edge_listener(routes: str) -> Resource:
    """The listener `edge` on a free port. routes: the route configuration that it asks for over ADS."""
    manager: Any = http_connection_manager_pb2.HttpConnectionManager(stat_prefix="edge")
    manager.rds.route_config_name = routes
    manager.rds.config_source.resource_api_version = 2
    manager.rds.config_source.ads.SetInParent()
    manager.http_filters.add(name="router").typed_config.Pack(router_pb2.Router())
    message: Any = listener_pb2.Listener(name="edge")
    message.address.socket_address.address = "127.0.0.1"
    message.address.socket_address.port_value = 0
    message.filter_chains.add().filters.add(name="http").typed_config.Pack(manager)
    return Resource.of("edge", message.SerializeToString(deterministic=True))
