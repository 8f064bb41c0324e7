"""Clusters and endpoints of one service.

Per service: `S|base`; per target a member `S|app|tag` and an aggregate `S|app|tag>base` that lane routes use,
so that falling back happens in the proxy. What each setting prevents was measured: docs/decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.cluster.v3 import cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, health_check_pb2, protocol_pb2, socket_option_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.clusters.aggregate.v3 import cluster_pb2 as aggregate_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import wrappers_pb2

from controlplane.plan.base import BaseSet, reachable
from controlplane.plan.services import ServicePlan, Target
from controlplane.plan.upstream import Upstream
from controlplane.registry.types import Instance, Protocol
from controlplane.translate import upstream
from controlplane.translate.hardening import CONNECTION_BUFFER, SIDECAR_BUFFER, window_limits
from controlplane.translate.messages import ADS, duration, pack, socket_address, struct
from controlplane.translate.names import (
    REFUSED,
    UNREACHED_HEADER,
    base_cluster,
    lane_cluster,
    member_cluster,
    version_cluster,
    version_member,
)
from controlplane.translate.traffic import SERVED_KEY, served

CONNECT_TIMEOUT = 0.5
# At 1 % a member fails open only when (of up to a hundred) not one instance is healthy.
FAIL_OPEN_PERCENT = 1.0
OVERPROVISIONING = 1_000_000
EJECTION = 10.0
"""Seconds for which an instance gets no requests after it failed."""
UNSENT = socket_option_pb2.SocketOption(
    description="TCP_NOTSENT_LOWAT of Linux: what is not sent stays out of the kernel",
    level=6,
    name=25,
    int_value=64 * 1024,
)
# Envoy's default holds a change of health back for up to a second, while requests go to the dead instance.
MERGE_WINDOW = 0.1
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def http_options(
    protocol: Protocol, mirror: bool, keep_alive: float
) -> http_protocol_options_pb2.HttpProtocolOptions:
    """The protocol towards the instances of a service, and how long idle connections to them are kept.

    `mirror`: for sidecars, which speak their caller's protocol if the registry names none. Edges speak
    HTTP/1.1 then, and bound what instances may send to them. `keep_alive`: seconds, see
    `controlplane.plan.upstream`.
    """
    options = _protocol_options(protocol, mirror)
    if keep_alive > 0:
        options.common_http_protocol_options.idle_timeout.CopyFrom(duration(keep_alive))
    else:  # Envoy takes an idle time of zero for none
        options.common_http_protocol_options.max_requests_per_connection.value = 1
    return options


def _protocol_options(protocol: Protocol, mirror: bool) -> http_protocol_options_pb2.HttpProtocolOptions:
    options = http_protocol_options_pb2.HttpProtocolOptions
    if protocol in (Protocol.HTTP2, Protocol.GRPC):
        http2 = protocol_pb2.Http2ProtocolOptions() if mirror else window_limits()
        return options(explicit_http_config=options.ExplicitHttpConfig(http2_protocol_options=http2))
    if protocol is Protocol.UNKNOWN and mirror:
        return options(
            use_downstream_protocol_config=options.UseDownstreamHttpConfig(
                http_protocol_options=protocol_pb2.Http1ProtocolOptions(),
                http2_protocol_options=protocol_pb2.Http2ProtocolOptions(),
            )
        )
    return options(
        explicit_http_config=options.ExplicitHttpConfig(
            http_protocol_options=protocol_pb2.Http1ProtocolOptions()
        )
    )


def _counting_refusals(
    options: http_protocol_options_pb2.HttpProtocolOptions,
) -> http_protocol_options_pb2.HttpProtocolOptions:
    """Outlier detection counts nothing as an error but a sidecar's word that its application refuses."""
    refused = options.outlier_detection.error_matcher.http_response_headers_match.headers.add()
    refused.name = UNREACHED_HEADER
    refused.string_match.exact = REFUSED
    return options


def _outlier(max_ejection: int) -> outlier_detection_pb2.OutlierDetection:
    """Three failures to reach an instance eject it, or one refusal of its application.

    The second, because each refusal may cost an upload that is larger than what is kept of it.
    """
    value = wrappers_pb2.UInt32Value
    return outlier_detection_pb2.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=value(value=3),
        enforcing_consecutive_local_origin_failure=value(value=100),
        consecutive_5xx=value(value=1),
        enforcing_consecutive_5xx=value(value=100),
        enforcing_consecutive_gateway_failure=value(value=0),
        enforcing_success_rate=value(value=0),
        enforcing_local_origin_success_rate=value(value=0),
        interval=duration(1),
        base_ejection_time=duration(EJECTION),
        max_ejection_time=duration(EJECTION),
        max_ejection_percent=value(value=max_ejection),
        always_eject_one_host=wrappers_pb2.BoolValue(value=max_ejection == 100),
    )


def _panic(percent: float, merge_window: float | None = None) -> cluster_pb2.Cluster.CommonLbConfig:
    return cluster_pb2.Cluster.CommonLbConfig(
        healthy_panic_threshold=percent_pb2.Percent(value=percent),
        update_merge_window=None if merge_window is None else duration(merge_window),
    )


def eds_cluster(plan: ServicePlan, name: str, mirror: bool, target: Target | None) -> cluster_pb2.Cluster:
    """A cluster `name` whose endpoints are discovered (EDS) by that name.

    `target`: None for the base of the service, which fails open; else the tagged instances of a lane, which
    fail over at once (docs/decisions/0006). `mirror`: see `http_options`.
    """
    strict = target is not None and target.strict
    cluster = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ADS),
        connect_timeout=duration(CONNECT_TIMEOUT),
        common_lb_config=_panic(0.0 if strict else FAIL_OPEN_PERCENT, MERGE_WINDOW),
        circuit_breakers=upstream.thresholds(plan.upstream),
        # Without a fallback, nothing is gained by ejecting the last instance.
        outlier_detection=_outlier(50 if strict else 100),
        upstream_bind_config=address_pb2.BindConfig(socket_options=[UNSENT]),
        per_connection_buffer_limit_bytes=wrappers_pb2.UInt32Value(
            value=SIDECAR_BUFFER if mirror else CONNECTION_BUFFER
        ),
    )
    options = _counting_refusals(http_options(plan.protocol, mirror, plan.upstream.keep_alive))
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(options))
    upstream.balance(cluster, plan.upstream)
    upstream.check_health(cluster, plan)
    return cluster


def aggregate_cluster(
    name: str,
    members: Iterable[str],
    strict: bool,
    options: http_protocol_options_pb2.HttpProtocolOptions,
    of: Upstream,
) -> cluster_pb2.Cluster:
    """An aggregate cluster over the clusters `members`, in order of preference.

    `strict`: there is no base to fall back to. `options` and `of` are as those of the members: Envoy reads
    the retry budget, and what counts as an error of an instance, from the cluster that the route names.
    """
    cluster = cluster_pb2.Cluster(
        name=name,
        lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
        connect_timeout=duration(CONNECT_TIMEOUT),
        common_lb_config=_panic(0.0 if strict else FAIL_OPEN_PERCENT),
        circuit_breakers=upstream.thresholds(of),
        cluster_type=cluster_pb2.Cluster.CustomClusterType(
            name="envoy.clusters.aggregate",
            typed_config=pack(aggregate_pb2.ClusterConfig(clusters=list(members))),
        ),
    )
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(_counting_refusals(options)))
    return cluster


def clusters(plan: ServicePlan, mirror: bool) -> Iterator[cluster_pb2.Cluster]:
    """Every cluster of a service: its base, and a member and an aggregate for each target. `mirror`: see
    `http_options`.

    Further meanings of base have an aggregate, too: a member that is still warming answers 503 by itself.
    """
    base = base_cluster(plan.id)
    yield eds_cluster(plan, base, mirror, None)
    for target in plan.targets:
        member = member_cluster(plan.id, target)
        yield eds_cluster(plan, member, mirror, target)
        members = [member] if target.strict else [member, base]
        options = http_options(plan.protocol, mirror, plan.upstream.keep_alive)
        yield aggregate_cluster(lane_cluster(plan.id, target), members, target.strict, options, plan.upstream)
    for version in plan.versions:
        member = version_member(plan.id, version)
        yield eds_cluster(plan, member, mirror, None)
        options = http_options(plan.protocol, mirror, plan.upstream.keep_alive)
        yield aggregate_cluster(
            version_cluster(plan.id, version), [member, base], False, options, plan.upstream
        )


def endpoint_health(instance: Instance) -> health_check_pb2.HealthStatus:
    """The health of an instance as an edge or sidecar gets it. A held instance counts as healthy (rule 11 of
    lanes).
    """
    return health_check_pb2.HEALTHY if reachable(instance) else health_check_pb2.UNHEALTHY


def endpoint_weight(instance: Instance) -> int:
    """The load balancing weight of an instance: hundredths of the registry's weight, from 1 to 1,000,000."""
    return min(max(round(instance.weight * 100), 1), 1_000_000)


def _endpoint(plan: ServicePlan, instance: Instance, base: bool) -> endpoint_components_pb2.LbEndpoint:
    lane = {
        "tag": instance.tag or "base",
        "service": plan.id,
        "application": instance.application or plan.name,
        SERVED_KEY: served(instance.tag, instance.application or plan.name, base),
    }
    if base:
        lane["base"] = (
            plan.id
        )  # what tells an answer of base from one of the lane, whatever its tag is called
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=socket_address(instance.address, instance.port)),
        health_status=endpoint_health(instance),
        load_balancing_weight=wrappers_pb2.UInt32Value(value=endpoint_weight(instance)),
        metadata=base_pb2.Metadata(filter_metadata={"lane": struct(lane)}),
    )


def assignment(
    plan: ServicePlan, name: str, found: BaseSet | tuple[Instance, ...]
) -> endpoint_pb2.ClusterLoadAssignment:
    """The endpoints of the cluster `name` of a service: base instances, the spare ones with a lower priority,
    or the tagged instances of a target.

    They are sorted by zone, address and port, so the order in which a registry lists them changes nothing.
    The sum of weights of a zone stays below 2**32, which Envoy demands.
    """
    base = isinstance(found, BaseSet)
    levels = [one for one in ((found.instances, found.spare) if base else (found,)) if one]
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            endpoint_components_pb2.LocalityLbEndpoints(
                locality=base_pb2.Locality(zone=zone) if zone else None,
                lb_endpoints=[_endpoint(plan, instance, base) for instance in same],
                # gRPC clients spread requests by it; Envoy, which spreads them over all endpoints, does not.
                load_balancing_weight=wrappers_pb2.UInt32Value(
                    value=sum(map(endpoint_weight, same)) if len(by_zone) > 1 else 1
                ),
                priority=priority,
            )
            for priority, by_zone in enumerate(map(_by_zone, levels))
            for zone, same in by_zone.items()
        ],
        policy=endpoint_pb2.ClusterLoadAssignment.Policy(
            overprovisioning_factor=wrappers_pb2.UInt32Value(value=OVERPROVISIONING)
        ),
    )


def _by_zone(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    found: dict[str, list[Instance]] = {}
    for instance in sorted(instances, key=lambda i: (i.zone, i.address, i.port)):
        found.setdefault(instance.zone, []).append(instance)
    return found


def assignments(plan: ServicePlan) -> Iterator[endpoint_pb2.ClusterLoadAssignment]:
    """The endpoints of the base and of each member of a service. Aggregates have none of their own."""
    for name, found in endpoint_sets(plan).items():
        yield assignment(plan, name, found)


def endpoint_sets(plan: ServicePlan) -> dict[str, BaseSet | tuple[Instance, ...]]:
    """Who is in each cluster of a service that has endpoints of its own."""
    if plan.closed:
        return {}
    found: dict[str, BaseSet | tuple[Instance, ...]] = {base_cluster(plan.id): plan.base}
    if plan.protocol is not Protocol.TCP:
        found |= {member_cluster(plan.id, target): instances for target, instances in plan.targets.items()}
        found |= {version_member(plan.id, version): base for version, base in plan.versions.items()}
    return found
