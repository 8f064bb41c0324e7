"""Resources for proxyless gRPC: clients whose gRPC library is itself the xDS client (`xds:///sc-B`).

gRPC knows a part of what Envoy knows: an API listener with routes, none that binds; routes in order with
header matches, no matcher trees; priorities of endpoints, of circuit breaking a number of requests alone, no
panic. What it reads and what it refuses: gRFC A27, A28 (routes), A42 (weights of localities),
https://grpc.github.io/grpc/core/md_doc_grpc_xds_features.html.

Falling back is a matter of priorities within one cluster. Aggregate clusters (A37), which Envoy has for it,
do not work here: C-core 1.85 forgets the member of an aggregate that is also routed to directly, as base is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import base_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import wrappers_pb2

from controlplane.plan.base import BaseSet
from controlplane.plan.services import ServicePlan, Target
from controlplane.plan.upstream import Upstream
from controlplane.registry.types import Instance, Protocol
from controlplane.translate.clusters import endpoint_health, endpoint_weight
from controlplane.translate.messages import ADS, pack, socket_address
from controlplane.translate.names import base_cluster, lane_cluster, version_cluster
from controlplane.translate.upstream import UNLIMITED

Carriers = Sequence[tuple[str, str]]
"""(header, member of baggage), in order of precedence; headers in lower case."""

Header = route_components_pb2.HeaderMatcher
LocalityEndpoints = endpoint_components_pb2.LocalityLbEndpoints


def listener(target: str, service: str) -> listener_pb2.Listener:
    """What gRPC asks for first, by the name in its target: where the routes of `service` are."""
    manager = hcm_pb2.HttpConnectionManager(
        rds=hcm_pb2.Rds(config_source=ADS, route_config_name=service),
        http_filters=[hcm_pb2.HttpFilter(name="router", typed_config=pack(router_pb2.Router()))],
    )
    return listener_pb2.Listener(
        name=target, api_listener=api_listener_pb2.ApiListener(api_listener=pack(manager))
    )


def _exact(name: str, value: str) -> Header:
    return Header(name=name, string_match=string_pb2.StringMatcher(exact=value))


def _regex(name: str, regex: str) -> Header:
    matcher = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=regex))
    return Header(name=name, string_match=matcher)


def member_regex(name: str, value: str | None) -> str:
    """RE2 for a whole `baggage` with the member `name` of that value, with None: of any but an empty one."""
    wanted = re.escape(value) if value is not None else r"[^;,\s]+"
    return rf"(?:.*,)?\s*{re.escape(name)}\s*=\s*{wanted}(?:[;,\s].*)?"


def _route(cluster: str, *headers: Header) -> route_components_pb2.Route:
    route = route_components_pb2.Route(match=route_components_pb2.RouteMatch(prefix="", headers=headers))
    route.route.cluster = cluster
    return route


def routes(plan: ServicePlan, carriers: Carriers, default: str | None) -> list[route_components_pb2.Route]:
    """Lane to cluster. As at a sidecar, a header that is there decides, else baggage, else the `default`
    lane; an unknown lane is base. Of members of baggage with different lanes, the first in this list wins.
    """
    base = base_cluster(plan.id)
    lanes = {lane: lane_cluster(plan.id, target) for lane, target in plan.lanes.items()}
    lanes |= {version: version_cluster(plan.id, version) for version in plan.versions}
    found: list[route_components_pb2.Route] = []
    if lanes and plan.protocol is not Protocol.TCP:
        for header, _ in carriers:
            found += [_route(cluster, _exact(header, lane)) for lane, cluster in lanes.items()]
            found.append(_route(base, _regex(header, ".+")))
        for _, member in carriers:
            found += [
                _route(cluster, _regex("baggage", member_regex(member, lane)))
                for lane, cluster in lanes.items()
            ]
            found.append(_route(base, _regex("baggage", member_regex(member, None))))
        if default in lanes:
            found.append(_route(lanes[default]))
            return found
        found.pop()
    return [*found, _route(base)]


def route_configuration(
    plan: ServicePlan, carriers: Carriers, default: str | None
) -> route_pb2.RouteConfiguration:
    """The routes of one service; the virtual host takes whatever authority the client has."""
    host = route_components_pb2.VirtualHost(
        name=plan.id, domains=["*"], routes=routes(plan, carriers, default)
    )
    return route_pb2.RouteConfiguration(name=plan.id, virtual_hosts=[host])


def routed_clusters(configuration: route_pb2.RouteConfiguration) -> frozenset[str]:
    """The clusters that its routes name."""
    return frozenset(route.route.cluster for host in configuration.virtual_hosts for route in host.routes)


def _cluster(name: str, upstream: Upstream) -> cluster_pb2.Cluster:
    requests = (upstream.circuit and upstream.circuit.requests) or UNLIMITED  # gRPC's own limit is 1,024
    thresholds = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_requests=wrappers_pb2.UInt32Value(value=requests)
    )
    return cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ADS),
        circuit_breakers=circuit_breaker_pb2.CircuitBreakers(thresholds=[thresholds]),
    )


def _targets(plan: ServicePlan) -> Mapping[Target, tuple[Instance, ...]]:
    return {} if plan.protocol is Protocol.TCP else plan.targets


def clusters(plan: ServicePlan) -> Iterator[cluster_pb2.Cluster]:
    """Base, and one for each target: the names are those of Envoy's clusters."""
    yield _cluster(base_cluster(plan.id), plan.upstream)
    for target in _targets(plan):
        yield _cluster(lane_cluster(plan.id, target), plan.upstream)
    for version in plan.versions:
        yield _cluster(version_cluster(plan.id, version), plan.upstream)


def _localities(zone: str, instances: Sequence[Instance], priority: int) -> list[LocalityEndpoints]:
    """One locality for each weight: gRPC's round robin heeds the weights of localities (gRFC A42) alone.

    A locality keeps its name when its priority changes: so gRPC knows it again and keeps its connections.
    """
    once = {(i.address, i.port): i for i in sorted(instances, key=endpoint_weight)}  # gRPC refuses doubles
    ordered = sorted(once.values(), key=lambda i: (endpoint_weight(i), i.address, i.port))
    alike = {weight: tuple(same) for weight, same in groupby(ordered, key=endpoint_weight)}
    excess = sum(weight * len(same) for weight, same in alike.items()) // UNLIMITED + 1
    return [
        LocalityEndpoints(
            locality=base_pb2.Locality(zone=zone, sub_zone=f"weight-{weight}"),
            lb_endpoints=[
                endpoint_components_pb2.LbEndpoint(
                    endpoint=endpoint_components_pb2.Endpoint(address=socket_address(i.address, i.port))
                )
                for i in same
            ],
            # gRPC refuses a sum that 32 bits do not hold.
            load_balancing_weight=wrappers_pb2.UInt32Value(value=max(weight * len(same) // excess, 1)),
            priority=priority,
        )
        for weight, same in alike.items()
    ]


def assignments(plan: ServicePlan) -> Iterator[endpoint_pb2.ClusterLoadAssignment]:
    """The endpoints of every cluster of a service: the tagged ones, then, as the next priority, base.

    Unhealthy ones are left out, as gRPC would do. It has no panic: where none of base is healthy, all are
    tried. Priorities have no gaps, or gRPC refuses them.
    """
    base = _levels(plan.base)
    yield _assignment(base_cluster(plan.id), base)
    for target, instances in _targets(plan).items():
        tagged = [(target.tag, _healthy(instances))]
        yield _assignment(lane_cluster(plan.id, target), tagged if target.strict else [*tagged, *base])
    for version, found in plan.versions.items():
        yield _assignment(version_cluster(plan.id, version), _levels(found))


def _levels(base: BaseSet) -> list[tuple[str, tuple[Instance, ...]]]:
    """(zone, base instances) by priority."""
    first, spare = _healthy(base.instances), _healthy(base.spare)
    if not first and not spare:
        first = (*base.instances, *base.spare)
    zone = "~promoted" if any(one.tag is not None for one in first) else ""
    return [(zone, first), ("", spare)]


def _assignment(
    name: str, levels: Sequence[tuple[str, Sequence[Instance]]]
) -> endpoint_pb2.ClusterLoadAssignment:
    found = [one for one in levels if one[1]]
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            locality
            for priority, (zone, instances) in enumerate(found)
            for locality in _localities(zone, instances, priority)
        ],
    )


def _healthy(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    return tuple(i for i in instances if endpoint_health(i) == health_check_pb2.HEALTHY)
