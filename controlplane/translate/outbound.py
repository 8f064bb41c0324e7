"""The routes of sidecars for what their applications call: a virtual host per service.

A tree on the lane's header picks the lane's cluster; everything else is base. A sidecar gets a route
configuration without virtual hosts and discovers those one by one (VHDS), so that a change costs the services
that it touches. A state-of-the-world client, which cannot, gets all of them in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from google.protobuf import wrappers_pb2

from controlplane.plan.services import ServicePlan, Target
from controlplane.translate import matching
from controlplane.translate.domains import host_names
from controlplane.translate.gates import (
    ELSEWHERE_FILTER,
    FORWARD_PROXY_FILTER,
    ON_DEMAND,
    OUTBOUND_REQUEST,
    REPLY,
    Carriers,
    agreed,
    lane_header,
    lifted,
    turn_off,
    turn_on,
    uncoloured,
)
from controlplane.translate.hardening import REPLAYED_BODY
from controlplane.translate.matching import Matcher, OnMatch
from controlplane.translate.messages import ADS, everything, field, header, pack
from controlplane.translate.names import (
    ELSEWHERE_HEADER,
    FORWARD_PROXY,
    HOST_HEADER,
    LANE_HEADER,
    ORIGINAL_HEADER,
    OUTBOUND,
    PASS_THROUGH,
    PHASE_HEADER,
    version_cluster,
)
from controlplane.translate.routes import (
    Route,
    RouteAction,
    act,
    action,
    by_method,
    forward,
    lane_route,
    refused,
    retry_policy,
)
from controlplane.translate.upstream import add_hash

VirtualHost = route_components_pb2.VirtualHost

ELSEWHERE = "~elsewhere"
"""Name of the route and the virtual host for hosts that mean no service. No lane or service can have it."""


def outbound_routes(proxy: bool) -> str:
    """The name of the route configuration, the namespace of its virtual hosts."""
    return f"{OUTBOUND}/{'proxy' if proxy else 'redirect'}"


def host_name(proxy: bool, subject: str) -> str:
    """The name of the virtual host of a service, given by its canonical id, or of ELSEWHERE.

    Envoy takes the part before the last slash as the name of the route configuration.
    """
    return f"{outbound_routes(proxy)}/{quote(subject, safe=':[]')}"


def shared_name(proxy: bool, address: str) -> str:
    """The name of the virtual host of an ip:port at which several services have instances.

    Envoy does not ask by this name: if an alias moved from one virtual host to another, its removal would not
    be seen.
    """
    return host_name(proxy, f"shared/{address}")


def named_subject(proxy: bool, name: str) -> str:
    """The `subject` that `host_name` made `name` of; or the host, if Envoy asks for `<route
    configuration>/<host>`.
    """
    return unquote(name.removeprefix(f"{outbound_routes(proxy)}/"))


def _tunnel() -> Route:
    """CONNECT through the forward proxy: inside a tunnel there is no lane."""
    route = Route(name="tunnel", match=route_components_pb2.RouteMatch(connect_matcher={}))
    route.route.cluster = FORWARD_PROXY
    route.route.timeout.seconds = 0
    upgrade = route.route.upgrade_configs.add()
    upgrade.upgrade_type = "CONNECT"
    upgrade.connect_config.SetInParent()
    route.typed_per_filter_config[FORWARD_PROXY_FILTER].CopyFrom(
        pack(dynamic_forward_proxy_pb2.PerRouteConfig())
    )
    return route


def _read() -> OnMatch:
    """Where Lua has to read the carriers first: it leads nowhere, and all filters are on."""
    route = Route(name="read", match=everything(), route=action("~phase"))
    turn_on(route, OUTBOUND_REQUEST, REPLY)
    return act(route)


def _host(name: str, domains: Sequence[str]) -> VirtualHost:
    return VirtualHost(
        name=name,
        domains=domains,
        retry_policy=retry_policy(idempotent=True),
        request_body_buffer_limit=wrappers_pb2.UInt64Value(value=REPLAYED_BODY),
    )


def _calling(plan: ServicePlan) -> RouteAction:
    found = action("", plan.upstream.request_timeout, plan.upstream.idle_timeout)
    add_hash(found, plan.upstream)
    return found


def service_matcher(plan: ServicePlan, carriers: Carriers) -> Matcher:
    """Chooses the cluster of a service by the header of the lane. Without a lane, or with one that the
    service does not know, that is base.

    A request whose carriers may contradict each other is led to Lua, which makes them agree; then it is
    matched again.
    """

    def lane(name: str, target: Target | None) -> OnMatch:
        return coloured(name, lane_route(name, plan.id, name, target, _calling(plan)))

    def version(name: str) -> OnMatch:
        route = lane_route("base", plan.id, "", None, _calling(plan))
        route.route.cluster = version_cluster(plan.id, name)
        return coloured(name, route)

    def coloured(name: str, route: Route) -> OnMatch:
        agree = agreed(carriers, name)
        if agree:
            member = f"{carriers[0][1]}={name}"
            route.request_headers_to_add.append(header("baggage", member, "ADD_IF_ABSENT"))
        return matching.nested(matching.in_order([(matching.any_of([*agree, lifted()]), forward(route))]))

    steps: list[Matcher] = []
    lanes = {name: lane(name, target) for name, target in plan.lanes.items()}
    lanes |= {name: version(name) for name in plan.versions}
    if lanes:
        steps.append(matching.exact_tree(lane_header(carriers), lanes))
    base = forward(lane_route("base", plan.id, "", None, _calling(plan)))
    steps.append(matching.in_order([(matching.any_of([uncoloured(carriers), lifted()]), base)]))
    return matching.chain(steps, _read()).matcher


def virtual_host(plan: ServicePlan, domains: Sequence[str], proxy: bool, carriers: Carriers) -> VirtualHost:
    """The virtual host of a service at `domains`, as Envoy compares them with Host.

    `proxy`: for proxy capture, else for redirect capture. `carriers`: those of all gateways.
    """
    host = _host(host_name(proxy, plan.id), domains)
    if plan.closed:
        answer = refused("closed", plan)
        if proxy:
            turn_off(host, ON_DEMAND, ELSEWHERE_FILTER, FORWARD_PROXY_FILTER)
            tunnel = refused("closed-tunnel", plan)
            tunnel.match.CopyFrom(route_components_pb2.RouteMatch(connect_matcher={}))
            host.routes.append(tunnel)
        host.routes.append(answer)
        return host
    _known(host, service_matcher(plan, carriers), proxy)
    return host


def _known(host: VirtualHost, matcher: Matcher, proxy: bool) -> None:
    """Have `matcher` decide for a host that means a service."""
    if proxy:
        outer = matching.exact_tree(":method", {"CONNECT": act(_tunnel())})
        matcher = matching.chain([outer], matching.nested(matcher)).matcher
        turn_off(host, ON_DEMAND, ELSEWHERE_FILTER, FORWARD_PROXY_FILTER)
    host.matcher.CopyFrom(matcher)


def shared_address(
    plans: Sequence[ServicePlan], address: str, proxy: bool, carriers: Carriers
) -> VirtualHost:
    """The virtual host of an ip:port at which several services have instances.

    Host decides which of them is called; if it names none of them, the first by canonical id. `plans` has at
    least two.
    """
    exact: dict[str, OnMatch] = {}
    with_port: dict[str, OnMatch] = {}
    for plan in plans:
        for name in host_names(plan):
            named = exact.setdefault(name, matching.nested(service_matcher(plan, carriers)))
            with_port.setdefault(f"{name}:", named)
    by = ":authority" if proxy else HOST_HEADER
    by_host = [matching.exact_tree(by, exact), matching.prefix_tree(by, with_port)]
    first = matching.nested(service_matcher(plans[0], carriers))
    host = _host(shared_name(proxy, address), [address])
    host.matcher.CopyFrom(matching.chain(by_host, first).matcher)
    return host


def elsewhere(proxy: bool, asked_first: bool) -> VirtualHost:
    """The virtual host `*`: requests to hosts that no service has pass through unchanged.

    `asked_first`: Envoy first asks the control plane for a virtual host of that name.
    """
    host = VirtualHost(name=host_name(proxy, ELSEWHERE), domains=["*"])
    turn_on(host, OUTBOUND_REQUEST)
    # Not ours to judge: a stream there may be silent for as long as it likes, such as a registry's.
    out = action(FORWARD_PROXY) if proxy else action(PASS_THROUGH, idle_timeout=0)
    passing = Route(name=ELSEWHERE, match=everything(), route=out)
    if asked_first:
        passing.match.headers.add(name=ELSEWHERE_HEADER, present_match=True)
    if proxy:
        host.routes.append(_tunnel())
        once = route_components_pb2.RetryPolicy(retry_on="reset")
        host.routes.extend(by_method(passing, once, None))
    else:
        host.routes.extend(by_method(passing, retry_policy(idempotent=True), retry_policy(idempotent=False)))
    return host


def route_configuration(proxy: bool, reads_all: bool = False) -> route_pb2.RouteConfiguration:
    """The outbound route configuration of a sidecar, whose virtual hosts are discovered (VHDS).

    `reads_all`: Lua reads every request, as a sidecar needs whose own tag is a lane. In redirect capture it
    always does: the first route that Envoy looks up there is that of Host, not that of the destination.
    """
    configuration = _head(proxy)
    configuration.vhds.config_source.CopyFrom(ADS)
    if proxy and not reads_all:
        turn_off(configuration, OUTBOUND_REQUEST, REPLY)
    return configuration


def whole_configuration(proxy: bool, hosts: Iterable[bytes]) -> bytes:
    """A serialised RouteConfiguration for clients without VHDS. `hosts` are its serialised virtual hosts."""
    parts = b"".join(field(2, host) for host in hosts)  # RouteConfiguration.virtual_hosts
    return _head(proxy).SerializeToString(deterministic=True) + parts


def _head(proxy: bool) -> route_pb2.RouteConfiguration:
    return route_pb2.RouteConfiguration(
        name=outbound_routes(proxy),
        request_headers_to_remove=[
            PHASE_HEADER,
            LANE_HEADER,
            ORIGINAL_HEADER,
            HOST_HEADER,
            ELSEWHERE_HEADER,
        ],
    )
