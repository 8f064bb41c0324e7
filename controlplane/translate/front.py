"""What a gateway's ports do besides routing: TLS, redirects to it, the PROXY protocol and the access log."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import (
    base_pb2,
    protocol_pb2,
)
from envoy.config.core.v3 import udp_socket_config_pb2 as udp_socket_pb2
from envoy.config.listener.v3 import listener_components_pb2, quic_config_pb2
from envoy.config.listener.v3 import udp_listener_config_pb2 as udp_listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.listener.proxy_protocol.v3 import proxy_protocol_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2 as quic_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from google.protobuf import wrappers_pb2

from controlplane.model.gateway_fields import Certified, Listener, Tls
from controlplane.plan.entrance import HTTPS, alt_svc
from controlplane.plan.gateways import GatewayPlan
from controlplane.secrets.pair import Pair
from controlplane.translate.hardening import CONNECTION_WINDOW, STREAM_WINDOW, STREAMS
from controlplane.translate.messages import ADS, everything, header, pack
from controlplane.translate.observing import observe

Hcm = hcm_pb2.HttpConnectionManager
FilterChain = listener_components_pb2.FilterChain


def dress(manager: Hcm, plan: GatewayPlan) -> None:
    """Sets the limits, the request ids and the access log of a connection manager as the gateway says."""
    manager.max_request_headers_kb.value = plan.header_limits.kib
    manager.common_http_protocol_options.max_headers_count.value = plan.header_limits.lines
    manager.preserve_external_request_id = plan.keep_request_id
    observe(manager, plan.observing, plan.name, sidecar=False)


def redirecting(manager: Hcm, port: int) -> None:
    """Makes a connection manager answer every request with a redirect to https at `port`, which keeps the
    method.
    """
    redirect = route_components_pb2.RedirectAction(
        https_redirect=True, response_code=route_components_pb2.RedirectAction.PERMANENT_REDIRECT
    )
    if port != HTTPS:
        redirect.port_redirect = port
    # Without the port that the client used, or it would stand in the new address.
    manager.strip_any_host_port = True
    route = route_components_pb2.Route(name="to-https", match=everything(), redirect=redirect)
    host = route_components_pb2.VirtualHost(name="to-https", domains=["*"], routes=[route])
    manager.route_config.CopyFrom(route_pb2.RouteConfiguration(name="to-https", virtual_hosts=[host]))


def listener_filters(listener: Listener) -> Iterator[listener_components_pb2.ListenerFilter]:
    """The filters that read a connection before a filter chain is chosen: the PROXY protocol and TLS."""
    named = listener_components_pb2.ListenerFilter
    if listener.proxy_protocol:
        yield named(name="proxy_protocol", typed_config=pack(proxy_protocol_pb2.ProxyProtocol()))
    if listener.tls is not None and listener.tls.sni is not None:
        yield named(name="tls_inspector", typed_config=pack(tls_inspector_pb2.TlsInspector()))


def filter_chains(
    listener: Listener, chain: FilterChain, quic: bool = False, private: bool = True
) -> Iterator[FilterChain]:
    """`chain` in clear text, or once for each certificate of the listener. `private`: also for those that
    the control plane holds.
    """
    tls = listener.tls
    if tls is None:
        yield chain
        return
    for number, one in enumerate(tls.sni or ()):
        if (name := _named(one, private)) is None:
            continue
        copy = FilterChain(name=f"sni-{number}", filters=chain.filters)
        copy.filter_chain_match.server_names.extend(one.hosts)
        copy.transport_socket.CopyFrom(_transport(name, quic))
        yield copy
    if (name := _named(tls, private)) is not None:
        copy = FilterChain(name="tls", filters=chain.filters)
        copy.transport_socket.CopyFrom(_transport(name, quic))
        yield copy


def secret_name(certificate: str, key: str) -> str:
    """The name of the secret for a certificate and its key, given by the paths of their files."""
    return f"tls:{certificate}:{key}"


HELD = "secret:"
"""How the names begin of the secrets that the control plane holds."""


def held_name(secret: str) -> str:
    """The name under which an edge asks for a secret that the control plane holds."""
    return f"{HELD}{secret}"


def _named(one: Certified, private: bool) -> str | None:
    """The name of the secret with a certificate; None where there is none, or none to tell of."""
    if one.secret is not None:
        return held_name(one.secret) if private else None
    return None if one.certificate is None or one.key is None else secret_name(one.certificate, one.key)


def _transport(name: str, quic: bool) -> base_pb2.TransportSocket:
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=tls_pb2.CommonTlsContext(
            alpn_protocols=["h3"] if quic else ["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[secret_pb2.SdsSecretConfig(name=name, sds_config=ADS)],
        )
    )
    if quic:
        # Early data can be sent again by whoever recorded it, and a POST would be done twice.
        early = wrappers_pb2.BoolValue(value=False)
        config = quic_pb2.QuicDownstreamTransport(downstream_tls_context=context, enable_early_data=early)
        return base_pb2.TransportSocket(name="quic", typed_config=pack(config))
    return base_pb2.TransportSocket(name="tls", typed_config=pack(context))


def advertised(listener: Listener) -> hcm_pb2.HttpFilter:
    """Tells clients of HTTP/3 in every answer (Alt-Svc, RFC 7838), unless the application names something."""
    told = mutation_rules_pb2.HeaderMutation(append=header("alt-svc", alt_svc(listener), "ADD_IF_ABSENT"))
    mutations = header_mutation_pb2.Mutations(response_mutations=[told])
    config = header_mutation_pb2.HeaderMutation(mutations=mutations)
    return hcm_pb2.HttpFilter(name="alt-svc", typed_config=pack(config))


def quic_socket() -> udp_listener_pb2.UdpListenerConfig:
    """Streams and windows as over HTTP/2."""
    return udp_listener_pb2.UdpListenerConfig(
        quic_options=quic_config_pb2.QuicProtocolOptions(
            quic_protocol_options=protocol_pb2.QuicProtocolOptions(
                max_concurrent_streams=wrappers_pb2.UInt32Value(value=STREAMS),
                initial_stream_window_size=wrappers_pb2.UInt32Value(value=STREAM_WINDOW),
                initial_connection_window_size=wrappers_pb2.UInt32Value(value=CONNECTION_WINDOW),
            )
        ),
        downstream_socket_config=udp_socket_pb2.UdpSocketConfig(
            prefer_gro=wrappers_pb2.BoolValue(value=True)
        ),
    )


def _pairs(tls: Tls) -> Iterator[tuple[str, str]]:
    for one in (tls, *(tls.sni or ())):
        if one.certificate is not None and one.key is not None:
            yield one.certificate, one.key


def secrets(plan: GatewayPlan) -> Iterator[secret_pb2.Secret]:
    """The certificates that are files at the edge, as secrets (SDS). They name files and never hold keys.

    Only certificates from SDS are read again while Envoy runs: when something is moved into
    `watched_directory`.
    """
    pairs = {pair for listener in plan.listeners if listener.tls for pair in _pairs(listener.tls)}
    for certificate, key in sorted(pairs):
        yield secret_pb2.Secret(
            name=secret_name(certificate, key),
            tls_certificate=common_pb2.TlsCertificate(
                certificate_chain=base_pb2.DataSource(filename=certificate),
                private_key=base_pb2.DataSource(filename=key),
                watched_directory=base_pb2.WatchedDirectory(path=posixpath.dirname(certificate) or "/"),
            ),
        )


def held_secret(name: str, pair: Pair) -> secret_pb2.Secret:
    """A certificate that the control plane holds, with its key. For nobody but the gateway that names it."""
    return secret_pb2.Secret(
        name=held_name(name),
        tls_certificate=common_pb2.TlsCertificate(
            certificate_chain=base_pb2.DataSource(inline_bytes=pair.chain),
            private_key=base_pb2.DataSource(inline_bytes=pair.key),
        ),
    )
