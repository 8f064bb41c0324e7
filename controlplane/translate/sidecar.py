"""What one sidecar gets for itself: its listeners and the clusters of its own application.

Everything else (clusters, endpoints and routes of what it may call) is shared; see `outbound` and `clusters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.clusters.dynamic_forward_proxy.v3 import cluster_pb2 as forward_proxy_pb2
from google.protobuf import wrappers_pb2

from controlplane.plan.observing import NOTHING, Observing
from controlplane.plan.upstream import KEEP_ALIVE
from controlplane.registry.types import Protocol
from controlplane.translate import matching
from controlplane.translate.clusters import CONNECT_TIMEOUT, HTTP_OPTIONS, http_options
from controlplane.translate.dns import forward_proxy_cache
from controlplane.translate.gates import INBOUND_REQUEST, Carriers, turn_off
from controlplane.translate.listeners import (
    Seen,
    egress_proxy_listener,
    inbound_listener,
    redirect_inbound_listener,
    redirect_outbound_listener,
)
from controlplane.translate.matching import Matcher, OnMatch
from controlplane.translate.messages import duration, everything, header, pack, socket_address
from controlplane.translate.names import FORWARD_PROXY, PASS_THROUGH, UNREACHED_HEADER, inbound_cluster
from controlplane.translate.outbound import outbound_routes
from controlplane.translate.routes import act, first_of
from controlplane.translate.upstream import UNLIMITED

HeaderMatcher = route_components_pb2.HeaderMatcher
EGRESS_PORT = 15001
OUTBOUND_PORT = 15006
INBOUND_PORT = 15008
INBOUND = "inbound"
"""The route configuration of redirect capture for what comes in."""


@dataclass(frozen=True, slots=True)
class OwnService:
    """A service of the sidecar's application: registered on `port`, served on `app_port`."""

    service: str
    port: int
    app_port: int
    protocol: Protocol = Protocol.UNKNOWN


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar's place, from its node metadata.

    `reports` is the cluster of its bootstrap that leads to the control plane; "" where it names none.
    """

    address: str
    app_address: str
    egress_address: str
    proxy: bool
    services: tuple[OwnService, ...]
    reports: str = ""

    def by_cluster(self) -> list[OwnService]:
        """Own services that need a cluster: in redirect capture only those that listen elsewhere."""
        return [
            s for s in self.services if self.proxy or (self.app_address, s.app_port) != (self.address, s.port)
        ]


def _unlimited(cluster: cluster_pb2.Cluster) -> cluster_pb2.Cluster:
    value = wrappers_pb2.UInt32Value(value=UNLIMITED)
    cluster.circuit_breakers.CopyFrom(
        circuit_breaker_pb2.CircuitBreakers(
            thresholds=[
                circuit_breaker_pb2.CircuitBreakers.Thresholds(
                    max_connections=value, max_pending_requests=value, max_requests=value
                )
            ]
        )
    )
    return cluster


def _http(cluster: cluster_pb2.Cluster, mirror: bool, keep_alive: float) -> cluster_pb2.Cluster:
    options = http_options(Protocol.UNKNOWN, mirror, keep_alive)
    if not mirror:  # Envoy demands it of its forward proxy, whose clusters have no TLS here
        options.upstream_http_protocol_options.auto_sni = True
        options.upstream_http_protocol_options.auto_san_validation = True
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(options))
    return cluster


def clusters(sidecar: Sidecar, keep_alive: float) -> Iterator[cluster_pb2.Cluster]:
    """One static cluster per own port (mirrors the protocol that came), and the way out of the mesh.

    `keep_alive` is that of the sidecar's application, in seconds. Nobody knows it of servers out of the mesh.
    """
    for own in sidecar.by_cluster():
        name = inbound_cluster(own.port)
        endpoint = endpoint_components_pb2.Endpoint(address=socket_address(sidecar.app_address, own.app_port))
        cluster = cluster_pb2.Cluster(
            name=name,
            type=cluster_pb2.Cluster.STATIC,
            connect_timeout=duration(CONNECT_TIMEOUT),
            load_assignment=endpoint_pb2.ClusterLoadAssignment(
                cluster_name=name,
                endpoints=[
                    endpoint_components_pb2.LocalityLbEndpoints(
                        lb_endpoints=[endpoint_components_pb2.LbEndpoint(endpoint=endpoint)]
                    )
                ],
            ),
        )
        yield _http(_unlimited(cluster), True, keep_alive)
    if sidecar.proxy:
        cluster = cluster_pb2.Cluster(
            name=FORWARD_PROXY,
            lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
            connect_timeout=duration(5),
            cluster_type=cluster_pb2.Cluster.CustomClusterType(
                name="envoy.clusters.dynamic_forward_proxy",
                typed_config=pack(forward_proxy_pb2.ClusterConfig(dns_cache_config=forward_proxy_cache())),
            ),
        )
        yield _http(_unlimited(cluster), False, KEEP_ALIVE)
    else:  # leads in, to the application, and out
        cluster = cluster_pb2.Cluster(
            name=PASS_THROUGH,
            type=cluster_pb2.Cluster.ORIGINAL_DST,
            lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
            connect_timeout=duration(5),
        )
        yield _http(_unlimited(cluster), True, min(keep_alive, KEEP_ALIVE))


def inbound_names(sidecar: Sidecar) -> list[tuple[str, str]]:
    """The names of the sidecar's inbound route configurations, each with its cluster."""
    own = [(inbound_cluster(s.port), inbound_cluster(s.port)) for s in sidecar.by_cluster()]
    return own if sidecar.proxy else [(INBOUND, PASS_THROUGH), *own]


def inbound_routes(
    name: str, cluster: str, carriers: Carriers, lanes: Iterable[str], reads_all: bool = False
) -> route_pb2.RouteConfiguration:
    """Everything to the application; without Lua if both carriers name one of `lanes` or neither is there.

    The names of the routes say the lane, `inbound/gray`, by which requests are counted. `reads_all`: Lua
    reads every request.
    """
    lanes = tuple(lanes)
    lane_in, member = carriers[0]
    skips = not reads_all and len(carriers) == 1

    def to(lane: str, *headers: HeaderMatcher, read: bool = True) -> route_components_pb2.Route:
        route = route_components_pb2.Route(name=f"inbound/{lane}" if lane else "inbound", match=everything())
        route.match.headers.extend(headers)
        route.route.cluster = cluster
        route.route.timeout.seconds = 0
        if not read:
            turn_off(route, INBOUND_REQUEST)
        return route

    def of(lane: str) -> OnMatch:
        if not skips:
            return act(to(lane))
        agreed = f"{member}={lane}"
        alone = to(lane, _absent("baggage"), read=False)
        alone.request_headers_to_add.append(header("baggage", agreed, "ADD_IF_ABSENT"))
        # Not by the route: it would compare one line of several.
        found = matching.in_order([(matching.equals("baggage", agreed), act(to(lane, read=False)))])
        found.on_no_match.CopyFrom(first_of([alone, to(lane)]))
        return matching.nested(found)

    steps: list[Matcher] = []
    if lanes:
        steps += [matching.exact_tree(name, {lane: of(lane) for lane in lanes}) for name, _ in carriers]
    if lanes and len(carriers) == 1:
        alone = {f"{member}={lane}": first_of([to(lane, _absent(lane_in)), to("")]) for lane in lanes}
        steps.append(matching.exact_tree("baggage", alone))
    uncoloured = [_absent(name) for name in ("baggage", *(name for name, _ in carriers))]
    others = [to("")] if reads_all else [to("", *uncoloured, read=False), to("")]
    host = route_components_pb2.VirtualHost(name=name, domains=["*"])
    if steps:
        host.matcher.CopyFrom(matching.chain(steps, first_of(others)).matcher)
    else:
        host.routes.extend(others)
    return route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=[host],
        # Callers believe it: only this sidecar says it, in answers of its own.
        response_headers_to_remove=[UNREACHED_HEADER],
    )


def _absent(name: str) -> HeaderMatcher:
    return HeaderMatcher(name=name, present_match=True, invert_match=True)


def listeners(
    sidecar: Sidecar, application: str = "", observing: Observing = NOTHING
) -> Iterator[listener_pb2.Listener]:
    """Inbound, one per port in proxy capture, and outbound."""
    seen = Seen(application if observing != NOTHING else "", sidecar.reports, observing)
    routes = outbound_routes(sidecar.proxy)
    own = {s.port: inbound_cluster(s.port) for s in sidecar.by_cluster()}
    if sidecar.proxy:
        for port, inbound in own.items():
            yield inbound_listener(sidecar.address, port, inbound, seen)
        yield egress_proxy_listener(sidecar.egress_address, EGRESS_PORT, routes, seen)
    else:
        every = ":" in sidecar.address  # where there is no version six, it cannot be bound
        yield redirect_inbound_listener(INBOUND_PORT, every, INBOUND, own, seen)
        yield redirect_outbound_listener(OUTBOUND_PORT, every, routes, seen)
