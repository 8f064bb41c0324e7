"""What an Application says of calls to its instances: the choice of one, bounds, health checks, timeouts.

Everything here belongs to the clusters of base and of single tags. Aggregates choose by priority alone, and
ask the member that they chose for an instance, with the request's hash.
"""

from __future__ import annotations

import re

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import health_check_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.type.v3 import http_pb2
from google.protobuf import wrappers_pb2

from controlplane.model.fields import seconds
from controlplane.model.upstream_fields import HealthCheck
from controlplane.plan.services import ServicePlan
from controlplane.plan.upstream import Upstream
from controlplane.registry.types import Protocol
from controlplane.translate.messages import duration

Cluster = cluster_pb2.Cluster
RouteAction = route_components_pb2.RouteAction
UNLIMITED = 0xFFFFFFFF
RETRIES_AT_ONCE = 10_000
LARGEST_RING = 64 * 1024
"""Entries. Envoy's own bound, eight million, takes 128 MiB where weights differ much."""
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_POLICIES = {
    "round_robin": Cluster.ROUND_ROBIN,
    "least_request": Cluster.LEAST_REQUEST,
    "random": Cluster.RANDOM,
    "ring_hash": Cluster.RING_HASH,
    "maglev": Cluster.MAGLEV,
}


def _number(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)


def thresholds(upstream: Upstream) -> circuit_breaker_pb2.CircuitBreakers:
    """The bounds of one cluster. Envoy reads that of retries from the cluster that the route names."""
    wanted = upstream.circuit
    bounds = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=_number((wanted and wanted.connections) or UNLIMITED),
        max_pending_requests=_number((wanted and wanted.pending) or UNLIMITED),
        max_requests=_number((wanted and wanted.requests) or UNLIMITED),
        max_retries=_number((wanted and wanted.retries) or RETRIES_AT_ONCE),
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[bounds])


def balance(cluster: Cluster, upstream: Upstream) -> None:
    """Set how `cluster` chooses among its instances."""
    if upstream.balancing is None:
        return
    cluster.lb_policy = _POLICIES[upstream.balancing.policy]
    if cluster.lb_policy == Cluster.RING_HASH:
        cluster.ring_hash_lb_config.maximum_ring_size.value = LARGEST_RING


def add_hash(action: RouteAction, upstream: Upstream) -> None:
    """Let a route's action name what its calls have in common that go to one instance."""
    by = upstream.balancing.hash_by if upstream.balancing is not None else None
    if by is None:
        return
    policy = action.hash_policy.add()
    if by.header is not None:
        policy.header.header_name = by.header
    else:
        policy.cookie.name = by.cookie or ""


def check_health(cluster: Cluster, plan: ServicePlan) -> None:
    """Add the health check that the plan asks for, if Envoy takes it."""
    wanted = plan.upstream.health_check
    http2 = plan.protocol in (Protocol.HTTP2, Protocol.GRPC)
    if wanted is None or (wanted.grpc is not None and not http2):
        return  # Envoy rejects a cluster of HTTP/1.1 with a check by gRPC; a warning tells of it
    cluster.health_checks.append(_health_check(plan, wanted, http2))
    # Envoy would go on using instances that have left the cluster for as long as they answer.
    cluster.ignore_health_on_host_removal = True


def _health_check(plan: ServicePlan, wanted: HealthCheck, http2: bool) -> health_check_pb2.HealthCheck:
    interval = seconds(wanted.interval)
    check = health_check_pb2.HealthCheck(
        timeout=duration(min(interval, 2.0)),
        interval=duration(interval),
        # A cluster without traffic would be asked once a minute, and get none while it counts as unhealthy.
        no_traffic_interval=duration(interval),
        unhealthy_threshold=_number(2),
        healthy_threshold=_number(1),
    )
    # Envoy's default is the cluster's name, which is no host: servers answer 400.
    host = plan.name if HOST.fullmatch(plan.name) else "laneway"
    if wanted.tcp:
        check.tcp_health_check.SetInParent()
    elif wanted.grpc is not None:
        check.grpc_health_check.service_name = wanted.grpc.service
        check.grpc_health_check.authority = host
    else:
        check.http_health_check.host = host
        check.http_health_check.path = wanted.path or "/"
        check.http_health_check.codec_client_type = http_pb2.HTTP2 if http2 else http_pb2.HTTP1
    return check
