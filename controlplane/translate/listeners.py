"""Listeners of edges and sidecars.

Every one: TLS upgrade offers ignored, WebSocket allowed, no route timeout, streams idle after an hour. What
may change at run time is in routes and extension configurations: a changed listener drains connections.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from envoy.extensions.filters.http.on_demand.v3 import on_demand_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import wrappers_pb2

from controlplane.ip import ip_address
from controlplane.model.documents import Listener
from controlplane.plan.gateways import GatewayPlan
from controlplane.translate import front, traffic
from controlplane.translate.answers import (
    counting,
    counting_fallbacks,
    noted,
    saying_why,
    unreached,
    unreadable,
)
from controlplane.translate.dns import forward_proxy_cache
from controlplane.translate.gates import (
    EDGE_REQUEST,
    ELSEWHERE_FILTER,
    FORWARD_PROXY_FILTER,
    INBOUND_REQUEST,
    ON_DEMAND,
    OUTBOUND_REQUEST,
    RECEIVE,
    REPLY,
)
from controlplane.translate.hardening import (
    CONNECTION_BUFFER,
    INBOUND_WINDOW,
    SIDECAR_BUFFER,
    STREAM_IDLE,
    dropped_underscores,
    harden,
    prefixed,
    receiver_router,
    removed,
    router,
    sets_underscores,
    underscore_filter,
)
from controlplane.translate.lua import discovered, fixed_filter
from controlplane.translate.messages import ADS, duration, extension, header, pack, socket_address
from controlplane.translate.names import (
    MARK_PREFIX,
    ORIGINAL_HEADER,
    PASS_THROUGH,
    REFUSED,
    edge_routes,
)
from controlplane.translate.observing import UNSEEN, Seen, see, watch
from controlplane.translate.retries import numbered
from controlplane.translate.route_actions import cors_filters

Hcm = hcm_pb2.HttpConnectionManager
TRUE = wrappers_pb2.BoolValue(value=True)
BUFFER = wrappers_pb2.UInt32Value(value=SIDECAR_BUFFER)


def _manager(prefix: str) -> Hcm:
    manager = Hcm(
        stat_prefix=prefix,
        codec_type=Hcm.AUTO,
        http_protocol_options=protocol_pb2.Http1ProtocolOptions(
            allow_absolute_url=TRUE,
            accept_http_10=True,
            default_host_for_http_10="localhost",
            ignore_http_11_upgrade=[string_pb2.StringMatcher(prefix="TLS/")],
        ),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=duration(STREAM_IDLE)),
        stream_idle_timeout=duration(STREAM_IDLE),
        request_id_extension=hcm_pb2.RequestIDExtension(
            typed_config=pack(
                uuid_pb2.UuidRequestIdConfig(pack_trace_reason=wrappers_pb2.BoolValue(value=False))
            )
        ),
        upgrade_configs=[Hcm.UpgradeConfig(upgrade_type="websocket")],
    )
    return manager


def _on_demand(name: str) -> hcm_pb2.HttpFilter:
    """Asks the control plane for the virtual host of a request that has none here."""
    return hcm_pb2.HttpFilter(name=name, typed_config=pack(on_demand_pb2.OnDemand()))


def _chain(manager: Hcm) -> listener_components_pb2.FilterChain:
    return listener_components_pb2.FilterChain(
        filters=[listener_components_pb2.Filter(name="http", typed_config=pack(manager))]
    )


def edge_listeners(
    plan: GatewayPlan, reports: str = "", private: bool = True
) -> Iterator[listener_pb2.Listener]:
    """The listeners of a gateway, one for each of its addresses and ports.

    `reports`: the cluster over which edges report requests, see `reports.reporting`. `private`: for edges
    that are sent the certificates that the control plane holds.

    A listener on `::` accepts IPv4 as well, unless the gateway has an IPv4 address on the same port.
    """
    bound = [(address, one) for one in plan.listeners for address in one.addresses]
    ports_of_version_4 = {one.port for address, one in bound if ":" not in address}
    for address, one in bound:
        every = ":" in address and ip_address(address).is_unspecified and one.port not in ports_of_version_4
        for quic in (False, True) if one.http3 is not None else (False,):
            listener = edge_listener(plan, address, one, quic, reports, private)
            listener.address.socket_address.ipv4_compat = every
            if listener.filter_chains:
                yield listener


def edge_listener(
    plan: GatewayPlan,
    address: str,
    wanted: Listener,
    quic: bool = False,
    reports: str = "",
    private: bool = True,
) -> listener_pb2.Listener:
    """The listener of a gateway for one address. It trusts nothing that a client sends: all clients count as
    external. `quic`: over UDP, for HTTP/3.
    """
    manager = _manager("edge")
    if quic:
        manager.codec_type = Hcm.HTTP3
        manager.http3_protocol_options.SetInParent()
    manager.strip_trailing_host_dot = True
    manager.use_remote_address.CopyFrom(TRUE)
    manager.xff_num_trusted_hops = plan.trusted_hops
    # No address is internal (a range that no client has), or clients on it could steer Envoy by headers.
    manager.internal_address_config.CopyFrom(
        Hcm.InternalAddressConfig(
            cidr_ranges=[
                address_pb2.CidrRange(
                    address_prefix="255.255.255.255", prefix_len=wrappers_pb2.UInt32Value(value=32)
                )
            ]
        )
    )
    harden(manager)
    front.dress(manager, plan)
    if wanted.http3 is not None:
        manager.http_filters.append(front.advertised(wanted))
    if wanted.redirect_to_https is not None:
        front.redirecting(manager, wanted.redirect_to_https)
        manager.http_filters.append(receiver_router())
    else:
        watch(manager, reports, "edge", plan.carriers.header.lower())
        _route(manager, plan)
    listener = listener_pb2.Listener(
        name=f"edge/{address}:{wanted.port}{'/quic' if quic else ''}",
        address=socket_address(address, wanted.port),
        per_connection_buffer_limit_bytes=wrappers_pb2.UInt32Value(value=CONNECTION_BUFFER),
        filter_chains=front.filter_chains(wanted, _chain(manager), quic, private),
    )
    if quic:
        listener.address.socket_address.protocol = address_pb2.SocketAddress.UDP
        listener.udp_listener_config.CopyFrom(front.quic_socket())
    else:
        listener.listener_filters.extend(front.listener_filters(wanted))
    return listener


def _route(manager: Hcm, plan: GatewayPlan) -> None:
    """Give an edge's manager the routes and filters of its gateway."""
    manager.rds.CopyFrom(hcm_pb2.Rds(config_source=ADS, route_config_name=edge_routes(plan.name)))
    manager.local_reply_config.CopyFrom(saying_why())
    manager.access_log.extend(traffic.counted_by_edge(plan.carriers.header))
    manager.access_log.append(counting_fallbacks(f"%REQ({plan.carriers.header})%", plan.carriers.header))
    manager.access_log.append(counting("baggage_cut", noted("cut")))
    manager.http_filters.append(discovered(EDGE_REQUEST))
    manager.http_filters.append(fixed_filter(RECEIVE))
    manager.http_filters.extend(cors_filters(plan))
    manager.http_filters.append(fixed_filter(REPLY))
    manager.http_filters.append(traffic.draws_filter())
    if sets_underscores(plan):
        manager.http_filters.append(underscore_filter(plan))
        manager.http_filters.append(router(numbered=numbered(plan)))
    else:
        removed_too = dropped_underscores(plan)
        manager.http_filters.append(router(numbered=numbered(plan), requests=removed_too))


def outbound_manager(route_configuration: str, proxy: bool, seen: Seen = UNSEEN) -> Hcm:
    """The HTTP connection manager for what an application calls. `proxy`: for proxy capture, else for
    redirect capture.
    """
    manager = _manager("outbound")
    manager.strip_trailing_host_dot = True
    manager.preserve_external_request_id = True
    manager.server_header_transformation = Hcm.PASS_THROUGH
    manager.rds.CopyFrom(hcm_pb2.Rds(config_source=ADS, route_config_name=route_configuration))
    manager.local_reply_config.CopyFrom(saying_why())
    manager.access_log.append(traffic.counted_outbound())
    manager.access_log.append(counting_fallbacks("%ROUTE_NAME%"))
    early = [removed(prefixed(MARK_PREFIX))]
    if not proxy:
        destination = header(ORIGINAL_HEADER, "%DOWNSTREAM_LOCAL_ADDRESS%")
        early.append(mutation_rules_pb2.HeaderMutation(append=destination))
    manager.early_header_mutation_extensions.append(
        extension("marks", header_mutation_pb2.HeaderMutation(mutations=early))
    )
    see(manager, seen, "outbound")
    manager.http_filters.append(discovered(OUTBOUND_REQUEST))
    if proxy:
        manager.local_reply_config.mappers.append(unreadable())
        manager.http_filters.append(_on_demand(ON_DEMAND))
        manager.http_filters.append(fixed_filter(ELSEWHERE_FILTER))
        manager.upgrade_configs.append(Hcm.UpgradeConfig(upgrade_type="CONNECT"))
        manager.http_filters.append(
            hcm_pb2.HttpFilter(
                name=FORWARD_PROXY_FILTER,
                typed_config=pack(
                    dynamic_forward_proxy_pb2.FilterConfig(dns_cache_config=forward_proxy_cache())
                ),
            )
        )
    else:
        manager.http_filters.append(fixed_filter("destination"))
        manager.http_filters.append(_on_demand("on-demand-destination"))
        manager.http_filters.append(fixed_filter("host"))
        manager.http_filters.append(_on_demand("on-demand-host"))
        manager.http_filters.append(fixed_filter(ELSEWHERE_FILTER))
    # Behind what changes the virtual host: it reads the route that the router will take.
    manager.http_filters.append(fixed_filter(REPLY))
    manager.http_filters.append(router())
    return manager


def egress_proxy_listener(
    address: str, port: int, route_configuration: str, seen: Seen = UNSEEN
) -> listener_pb2.Listener:
    """Proxy capture: applications call others through this listener, which they find by HTTP_PROXY."""
    return listener_pb2.Listener(
        name="outbound",
        traffic_direction=base_pb2.OUTBOUND,
        address=socket_address(address, port),
        per_connection_buffer_limit_bytes=BUFFER,
        filter_chains=[_egress_chain(route_configuration, seen)],
    )


@functools.lru_cache(maxsize=256)
def _egress_chain(route_configuration: str, seen: Seen) -> listener_components_pb2.FilterChain:
    """The same for every sidecar, and most of what its listeners cost. A listener copies it."""
    return _chain(outbound_manager(route_configuration, proxy=True, seen=seen))


def _listener_filters() -> list[listener_components_pb2.ListenerFilter]:
    named = listener_components_pb2.ListenerFilter
    return [
        named(name="original_dst", typed_config=pack(original_dst_pb2.OriginalDst())),
        named(name="tls_inspector", typed_config=pack(tls_inspector_pb2.TlsInspector())),
        named(name="http_inspector", typed_config=pack(http_inspector_pb2.HttpInspector())),
    ]


def _passing(prefix: str, cluster: str) -> listener_components_pb2.FilterChain:
    tcp = tcp_proxy_pb2.TcpProxy(stat_prefix=f"{prefix}-tcp", cluster=cluster, idle_timeout=duration(0))
    return listener_components_pb2.FilterChain(
        filters=[listener_components_pb2.Filter(name="tcp", typed_config=pack(tcp))]
    )


def _in_clear_text(http: listener_components_pb2.FilterChain) -> listener_components_pb2.FilterChain:
    # Without raw_buffer the protocols that TLS negotiates inside would match, too.
    http.filter_chain_match.transport_protocol = "raw_buffer"
    http.filter_chain_match.application_protocols.extend(["http/1.1", "http/1.0", "h2c"])
    return http


def _captured(
    name: str, port: int, every: bool, http: listener_components_pb2.FilterChain
) -> listener_pb2.Listener:
    """A listener that iptables redirects to: HTTP goes to `http`, everything else passes as it came.

    Who connects to its own port is cut off: taken on, it would be an open proxy, and in turn its own client.
    `every` binds addresses of version six, too.
    """
    itself = listener_components_pb2.FilterChain(name="itself")
    itself.filter_chain_match.destination_port.value = port
    listener = listener_pb2.Listener(
        name=name,
        traffic_direction=name.upper(),
        address=socket_address("::" if every else "0.0.0.0", port),
        per_connection_buffer_limit_bytes=BUFFER,
        listener_filters=_listener_filters(),
        listener_filters_timeout=duration(1),
        continue_on_listener_filters_timeout=True,
        filter_chains=[itself, _in_clear_text(http)],
        default_filter_chain=_passing(name, PASS_THROUGH),
    )
    listener.address.socket_address.ipv4_compat = every
    return listener


def redirect_outbound_listener(
    port: int, every: bool, route_configuration: str, seen: Seen = UNSEEN
) -> listener_pb2.Listener:
    """Redirect capture: iptables redirects the connections that an application makes to `port`."""
    manager = outbound_manager(route_configuration, proxy=False, seen=seen)
    return _captured("outbound", port, every, _chain(manager))


def inbound_manager(route_configuration: str, seen: Seen = UNSEEN) -> Hcm:
    """The HTTP connection manager for requests to the application of a sidecar."""
    manager = _manager("inbound")
    manager.http2_protocol_options.initial_stream_window_size.value = INBOUND_WINDOW
    manager.preserve_external_request_id = True
    manager.server_header_transformation = Hcm.PASS_THROUGH
    manager.rds.CopyFrom(hcm_pb2.Rds(config_source=ADS, route_config_name=route_configuration))
    manager.local_reply_config.CopyFrom(
        hcm_pb2.LocalReplyConfig(mappers=[unreached(REFUSED, ["UF"]), unreached("terminated", ["UC"])])
    )
    see(manager, seen, "inbound")
    manager.access_log.append(traffic.counted_inbound())
    manager.http_filters.append(discovered(INBOUND_REQUEST))
    manager.http_filters.append(receiver_router())
    return manager


def inbound_listener(address: str, port: int, routes: str, seen: Seen = UNSEEN) -> listener_pb2.Listener:
    """Proxy capture: listens at the address and port that the registry has for the instance."""
    return listener_pb2.Listener(
        name=f"inbound/{port}",
        traffic_direction=base_pb2.INBOUND,
        address=socket_address(address, port),
        per_connection_buffer_limit_bytes=BUFFER,
        filter_chains=[_chain(inbound_manager(routes, seen))],
    )


def redirect_inbound_listener(
    port: int,
    every: bool,
    routes: str,
    moved: Mapping[int, str],
    seen: Seen = UNSEEN,
) -> listener_pb2.Listener:
    """Redirect capture: iptables redirects the connections to an application to `port`.

    `moved`: the ports whose application listens at another one, each with the name of its cluster and of its
    routes.
    """
    listener = _captured("inbound", port, every, _chain(inbound_manager(routes, seen)))
    for registered, cluster in moved.items():
        for chain in (
            _in_clear_text(_chain(inbound_manager(cluster, seen))),
            _passing("inbound", cluster),
        ):
            chain.filter_chain_match.destination_port.value = registered
            listener.filter_chains.append(chain)
    return listener
