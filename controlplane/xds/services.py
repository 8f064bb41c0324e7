"""The gRPC methods of discovery: one table, one code path for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from .delta import DeltaSubscription
from .resources import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE, RUNTIME, SECRET, VIRTUAL_HOST
from .sotw import SotwSubscription

#: (service, method, variant, the only type or None for aggregated)
METHODS: tuple[tuple[str, str, type[Any], str | None], ...] = (
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "StreamAggregatedResources",
        SotwSubscription,
        None,
    ),
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "DeltaAggregatedResources",
        DeltaSubscription,
        None,
    ),
    ("envoy.service.cluster.v3.ClusterDiscoveryService", "StreamClusters", SotwSubscription, CLUSTER),
    ("envoy.service.cluster.v3.ClusterDiscoveryService", "DeltaClusters", DeltaSubscription, CLUSTER),
    ("envoy.service.endpoint.v3.EndpointDiscoveryService", "StreamEndpoints", SotwSubscription, ENDPOINT),
    ("envoy.service.endpoint.v3.EndpointDiscoveryService", "DeltaEndpoints", DeltaSubscription, ENDPOINT),
    ("envoy.service.listener.v3.ListenerDiscoveryService", "StreamListeners", SotwSubscription, LISTENER),
    ("envoy.service.listener.v3.ListenerDiscoveryService", "DeltaListeners", DeltaSubscription, LISTENER),
    ("envoy.service.route.v3.RouteDiscoveryService", "StreamRoutes", SotwSubscription, ROUTE),
    ("envoy.service.route.v3.RouteDiscoveryService", "DeltaRoutes", DeltaSubscription, ROUTE),
    (
        "envoy.service.route.v3.VirtualHostDiscoveryService",
        "DeltaVirtualHosts",
        DeltaSubscription,
        VIRTUAL_HOST,
    ),
    (
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "StreamExtensionConfigs",
        SotwSubscription,
        EXTENSION_CONFIG,
    ),
    (
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "DeltaExtensionConfigs",
        DeltaSubscription,
        EXTENSION_CONFIG,
    ),
    ("envoy.service.secret.v3.SecretDiscoveryService", "StreamSecrets", SotwSubscription, SECRET),
    ("envoy.service.secret.v3.SecretDiscoveryService", "DeltaSecrets", DeltaSubscription, SECRET),
    ("envoy.service.runtime.v3.RuntimeDiscoveryService", "StreamRuntime", SotwSubscription, RUNTIME),
    ("envoy.service.runtime.v3.RuntimeDiscoveryService", "DeltaRuntime", DeltaSubscription, RUNTIME),
)

Serve = Callable[[Any, type[Any], str | None], Awaitable[None]]


def handlers(serve: Serve) -> list[grpc.GenericRpcHandler]:
    """Handlers that call `serve(context, variant, type)` with requests and responses as raw bytes."""
    by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for service, method, variant, only in METHODS:
        by_service.setdefault(service, {})[method] = grpc.stream_stream_rpc_method_handler(
            _behaviour(serve, variant, only)
        )
    return [grpc.method_handlers_generic_handler(service, methods) for service, methods in by_service.items()]


def _behaviour(serve: Serve, variant: type[Any], only: str | None) -> Callable[[Any, Any], Awaitable[None]]:
    async def behaviour(_requests: Any, context: Any) -> None:
        await serve(context, variant, only)

    return behaviour
