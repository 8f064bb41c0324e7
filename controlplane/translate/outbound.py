# pyright: reportAttributeAccessIssue=false, reportInvalidTypeForm=false
"""The route configuration of sidecars for what their applications call: a virtual host per service.

A tree on the lane's header picks the lane's cluster; everything else is base. Virtual hosts are built and
serialised one by one and shared by every sidecar, so that a change costs the services that it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2, route_pb2

from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Protocol
from controlplane.translate import matching
from controlplane.translate.matching import Matcher, OnMatch
from controlplane.translate.messages import authority, everything
from controlplane.translate.names import (
    FORWARD_PROXY,
    LANE_HEADER,
    ORIGINAL_HEADER,
    OUTBOUND,
    PASS_THROUGH,
    base_cluster,
)
from controlplane.translate.routes import Route, act, action, lane_route, retry_policy

VirtualHost = route_components_pb2.VirtualHost


def _tunnel() -> Route:
    """CONNECT through the forward proxy: inside a tunnel there is no lane."""
    route = Route(name="tunnel", match=route_components_pb2.RouteMatch(connect_matcher={}))
    route.route.cluster = FORWARD_PROXY
    route.route.timeout.seconds = 0
    upgrade = route.route.upgrade_configs.add()
    upgrade.upgrade_type = "CONNECT"
    upgrade.connect_config.SetInParent()
    return route


def service_matcher(plan: ServicePlan) -> Matcher:
    """Lane header to lane cluster; no lane, or one that is not known here, is base."""
    lanes = {
        name: act(lane_route(name, plan.id, name, target, action(""))) for name, target in plan.lanes.items()
    }
    matcher = matching.exact_tree(LANE_HEADER, lanes) if lanes else Matcher()
    base = Route(name="base", match=everything(), route=action(base_cluster(plan.id)))
    matcher.on_no_match.CopyFrom(act(base))
    return matcher


def virtual_host(plan: ServicePlan, domains: Sequence[str], proxy: bool) -> VirtualHost:
    host = VirtualHost(name=plan.id, domains=domains, retry_policy=retry_policy())
    matcher = service_matcher(plan)
    if proxy:
        outer = matching.exact_tree(":method", {"CONNECT": act(_tunnel())})
        outer.on_no_match.CopyFrom(matching.nested(matcher))
        matcher = outer
    host.matcher.CopyFrom(matcher)
    return host


def shared_address(plans: Sequence[ServicePlan], address: str) -> VirtualHost:
    """One ip:port that belongs to several services: Host decides, else the first by canonical id."""
    exact: dict[str, OnMatch] = {}
    with_port: dict[str, OnMatch] = {}
    for plan in plans:
        for name in dict.fromkeys((plan.name, plan.name.lower())):
            named = exact.setdefault(name, matching.nested(service_matcher(plan)))
            with_port.setdefault(f"{name}:", named)
    by_port = matching.prefix_tree(":authority", with_port)
    by_port.on_no_match.CopyFrom(matching.nested(service_matcher(plans[0])))
    matcher = matching.exact_tree(":authority", exact)
    matcher.on_no_match.CopyFrom(matching.nested(by_port))
    host = VirtualHost(name=address, domains=[address], retry_policy=retry_policy())
    host.matcher.CopyFrom(matcher)
    return host


class Domains:
    """Which domains of a route configuration belong to which services; no domain comes twice.

    A live address beats a remembered one; several live claims are a conflict, listed in `conflicts`.
    """

    def __init__(self, plans: Iterable[ServicePlan]) -> None:
        live: dict[str, list[ServicePlan]] = {}
        former: dict[str, list[ServicePlan]] = {}
        names: dict[str, ServicePlan] = {}
        self.conflicts: dict[str, list[str]] = {}
        ordered = sorted((p for p in plans if p.protocol is not Protocol.TCP), key=lambda p: p.id)
        for plan in ordered:
            for name in (plan.name, plan.id):
                key = name.lower()
                if "*" in key:  # to Envoy it stands for any host
                    continue
                if key in names and names[key].id != plan.id:
                    self._conflict(plan, f"the name {name} already means {names[key].id}")
                    self._conflict(names[key], f"the name {name} is also that of {plan.id}")
                names.setdefault(key, plan)
            for address, port in dict.fromkeys(plan.addresses):
                live.setdefault(authority(address, port), []).append(plan)
            for address, port in plan.former:
                former.setdefault(authority(address, port), []).append(plan)
        self.shared: dict[str, list[ServicePlan]] = {}
        self.of: dict[str, list[str]] = {plan.id: [] for plan in ordered}
        self.plans = {plan.id: plan for plan in ordered}
        for key, plan in names.items():
            self.of[plan.id] += [key, f"{key}:*"] if key not in live else [f"{key}:*"]
        for address, claims in live.items():
            if len(claims) == 1:
                self.of[claims[0].id].append(address)
                continue
            self.shared[address] = claims
            for plan in claims:
                others = ", ".join(c.id for c in claims if c.id != plan.id)
                self._conflict(plan, f"{address} is also an instance of {others}")
        for address, claims in former.items():
            if address not in live and address not in names:
                self.of[claims[0].id].append(address)

    def _conflict(self, plan: ServicePlan, text: str) -> None:
        self.conflicts.setdefault(plan.id, []).append(text)


@dataclass(frozen=True, slots=True)
class EncodedHost:
    """A serialised virtual host with what it was built from."""

    plan: ServicePlan
    domains: tuple[str, ...]
    field: bytes


HostCache = dict[tuple[str, bool], EncodedHost]


def _encoded(plan: ServicePlan, domains: tuple[str, ...], proxy: bool, cache: HostCache) -> bytes:
    found = cache.get((plan.id, proxy))
    if found is None or found.plan is not plan or found.domains != domains:
        body = virtual_host(plan, domains, proxy).SerializeToString(deterministic=True)
        found = cache[(plan.id, proxy)] = EncodedHost(plan, domains, _field(body))
    return found.field


def _by_host(domains: Domains) -> Matcher:
    """Redirect capture, an original destination that is no instance: Host decides, else it passes."""
    exact: dict[str, OnMatch] = {}
    with_port: dict[str, OnMatch] = {}
    for service, plan in domains.plans.items():
        names = [d for d in domains.of[service] if f"{d}:*" in domains.of[service]]
        for name in dict.fromkeys([*names, *(plan.name for _ in names[:1])]):
            exact[name] = matching.nested(service_matcher(plan))
            with_port[f"{name}:"] = exact[name]
    # Not ours to judge: a stream there may be silent for as long as it likes, such as a registry's.
    passed = act(Route(name="elsewhere", match=everything(), route=action(PASS_THROUGH, idle_timeout=0)))
    if not exact:
        return Matcher(on_no_match=passed)
    outer = matching.exact_tree(":authority", exact)
    inner = matching.prefix_tree(":authority", with_port)
    inner.on_no_match.CopyFrom(passed)
    outer.on_no_match.CopyFrom(matching.nested(inner))
    return outer


def route_configuration(domains: Domains, proxy: bool, cache: HostCache) -> bytes:
    """A serialised RouteConfiguration; `cache` keeps virtual hosts between calls."""
    parts: list[bytes] = []
    for service, plan in domains.plans.items():
        names = domains.of[service] if proxy else [d for d in domains.of[service] if d[-1] != "*"]
        if names:
            parts.append(_encoded(plan, tuple(sorted(names)), proxy, cache))
    for address, claims in sorted(domains.shared.items()):
        parts.append(_field(shared_address(claims, address).SerializeToString(deterministic=True)))
    rest = VirtualHost(name="elsewhere", domains=["*"], retry_policy=retry_policy())
    head = route_pb2.RouteConfiguration(
        name=outbound_routes(proxy), request_headers_to_remove=[LANE_HEADER, ORIGINAL_HEADER]
    )
    if proxy:
        rest.routes.append(_tunnel())
        rest.routes.append(Route(name="elsewhere", match=everything(), route=action(FORWARD_PROXY)))
        rest.ClearField("retry_policy")
    else:
        rest.matcher.CopyFrom(_by_host(domains))
        head.vhost_header = ORIGINAL_HEADER
    head.virtual_hosts.append(rest)
    return head.SerializeToString(deterministic=True) + b"".join(parts)


def outbound_routes(proxy: bool) -> str:
    return f"{OUTBOUND}/{'proxy' if proxy else 'redirect'}"


def _field(body: bytes) -> bytes:
    """`body` as one more element of RouteConfiguration.virtual_hosts (field 2)."""
    size = len(body)
    prefix = bytearray(b"\x12")
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + body
