"""The gRPC methods of discovery: one table, one code path for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from controlplane.rpc.transport import Call, Handler

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


def methods(serve: Callable[[Call, type[Any], str | None], Handler]) -> dict[str, Callable[[Call], Handler]]:
    """The methods by path; each calls `serve(call, variant, type)`, with requests and responses as bytes."""
    return {
        f"/{service}/{method}": partial(_call, serve, variant, only)
        for service, method, variant, only in METHODS
    }


def _call(
    serve: Callable[[Call, type[Any], str | None], Handler], variant: type[Any], only: str | None, call: Call
) -> Handler:
    return serve(call, variant, only)
