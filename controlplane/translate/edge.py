"""The route configuration of a gateway: hosts, paths, then the lanes of each base route.

A virtual host per host name tries its own routes and then those of less specific hosts. Lanes are tried in
order of priority, then the ratio's slots, then base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import wrappers_pb2

from controlplane.model.fields import seconds
from controlplane.plan.conditions import CLIENT_HEADER, PATH_HEADER, lifted_header
from controlplane.plan.gateways import TOTAL_SLOTS, GatewayPlan, RoutePlan
from controlplane.plan.services import ServicePlan, Target
from controlplane.translate import matching, paths
from controlplane.translate.hardening import BODY_IDLE, REPLAYED_BODY, STREAM_IDLE
from controlplane.translate.lua import lifted_headers
from controlplane.translate.matching import Matcher, OnMatch, Predicate
from controlplane.translate.messages import everything, header
from controlplane.translate.names import (
    FIRST_PHASE,
    LANE_HEADER,
    PHASE_HEADER,
    REST_HEADER,
    TRY_HEADER,
    edge_routes,
)
from controlplane.translate.retries import numbered, route_retries
from controlplane.translate.route_actions import answer, dress, guard, header_options
from controlplane.translate.routes import (
    Route,
    RouteAction,
    act,
    action,
    direct,
    lane_route,
    mark,
    retry_policy,
    target_cluster,
)


def _problem(title: str, status: int, detail: str) -> str:
    return json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})


def _no_route() -> OnMatch:
    body = _problem("No route", 404, "No route of this gateway matches the request's host and path.")
    return act(direct("no-route", 404, body))


def _by_phase(whole: Matcher) -> Matcher:
    """`whole` decides where a request goes; before and after that, routes say how long it may be silent.

    They lead nowhere: only their idle times are used, see receive.lua. `first` is what Envoy looks up by
    itself before any filter. Zero stops the time that runs already: from then on the retry policy bounds the
    silence.
    """

    def phase(name: str, idle: float | None) -> OnMatch:
        return act(Route(name=name, match=everything(), route=action("~phase", idle_timeout=idle)))

    phases = {FIRST_PHASE: phase(FIRST_PHASE, None), "receiving": phase("receiving", BODY_IDLE)}
    matcher = matching.exact_tree(PHASE_HEADER, phases)
    whole.on_no_match.CopyFrom(phase("answering", 0))
    matcher.on_no_match.CopyFrom(matching.nested(whole))
    return matcher


def _colours(plan: GatewayPlan, lane: str) -> list[base_pb2.HeaderValueOption]:
    return [
        header(plan.carriers.header, lane),
        header("baggage", f"{plan.carriers.baggage}={lane}%REQ({REST_HEADER})%"),
    ]


class _RouteBuilder:
    """Builds the actions of one base route."""

    def __init__(self, plan: GatewayPlan, route: RoutePlan, service: ServicePlan) -> None:
        self.plan = plan
        self.route = route
        self.service = service

    def forward(self) -> RouteAction:
        idle = self.route.idle_timeout
        return action("", seconds(self.route.timeout), None if idle is None else seconds(idle))

    def _route(self, name: str, lane: str, target: Target | None) -> route_components_pb2.Route:
        route = lane_route(name, self.service.id, lane, target, self.forward())
        if self.route.idle_timeout is not None:
            route.route.retry_policy.CopyFrom(retry_policy())
        if self.route.actions.retries is not None:
            leaves_lane = target is not None and not target.strict
            route.route.retry_policy.CopyFrom(self._retries(leaves_lane))
        dress(route, self.route)
        return route

    def _retries(self, leaves_lane: bool) -> route_components_pb2.RetryPolicy:
        assert self.route.actions.retries is not None
        return route_retries(self.route.actions.retries, self.route.idle_timeout is not None, leaves_lane)

    def lane(self, lane: str) -> OnMatch:
        target = self.service.lanes.get(lane)
        route = self._route(f"{self.route.name}/{lane}", lane, target)
        route.request_headers_to_add.extend(_colours(self.plan, lane))
        own = list(route.response_headers_to_add)
        del route.response_headers_to_add[:]
        self._dress_response(route, lane)
        route.response_headers_to_add.extend(own)  # what the route says comes last, as it does for shares
        return act(route)

    def _dress_response(
        self, route: Route | route_components_pb2.WeightedCluster.ClusterWeight, lane: str
    ) -> None:
        changes = dict(self.plan.lane_headers).get(lane)
        if changes is not None:
            route.response_headers_to_add.extend(header_options(changes))
            route.response_headers_to_remove.extend(changes.remove)

    def base(self) -> OnMatch:
        route = self._route(self.route.name, "", None)
        if self.route.ratio is not None:
            self._split(route)
        return act(route)

    def _split(self, route: route_components_pb2.Route) -> None:
        ratio = self.route.ratio
        assert ratio is not None
        if self.route.actions.retries is not None:
            route.route.retry_policy.CopyFrom(self._retries(leaves_lane=True))
        weighted = route_components_pb2.WeightedCluster()
        position = 0

        def add(lane: str | None, slots: int) -> None:
            if slots <= 0:
                return
            target = self.service.lanes.get(lane) if lane else None
            entry = weighted.clusters.add()
            entry.name = target_cluster(self.service.id, target)
            entry.weight.value = slots
            if lane:
                entry.request_headers_to_add.extend(_colours(self.plan, lane))
                self._dress_response(entry, lane)
                mark(entry, lane, target, self.route.idle_timeout is not None)

        for slot in ratio.ranges:
            add(None, slot.start - position)
            add(slot.lane, slot.end - slot.start)
            position = slot.end
        add(None, TOTAL_SLOTS - position)
        sticky = ratio.sticky
        if sticky is not None:
            weighted.use_hash_policy.CopyFrom(wrappers_pb2.BoolValue(value=True))
            policy = route.route.hash_policy.add()
            if sticky.header:
                policy.header.header_name = sticky.header
            elif sticky.cookie:
                name = lifted_header("cookie", sticky.cookie)
                policy.header.header_name = name
                policy.terminal = True
                route.route.hash_policy.add().header.header_name = "x-request-id"
                route.response_headers_to_add.append(
                    header("set-cookie", f"%DYNAMIC_METADATA(laneway:{name})%", "APPEND_IF_EXISTS_OR_ADD")
                )
            else:
                policy.connection_properties.source_ip = True
        route.route.weighted_clusters.CopyFrom(weighted)

    def steps(self) -> list[tuple[Predicate, OnMatch]]:
        """What to try in order once the path has matched; the last one always matches."""
        always = matching.present(PATH_HEADER)
        steps: list[tuple[Predicate, OnMatch]] = []
        if self.plan.trusted:
            tree = {lane: self.lane(lane) for lane in self.plan.trusted}
            steps.append(
                (matching.present(LANE_HEADER), matching.nested(matching.exact_tree(LANE_HEADER, tree)))
            )
        rules = matching.first_match([(lane.rule, self.lane(lane.name)) for lane in self.route.content])
        if rules is not None:
            if self.plan.trusted is None:
                steps.append((always, matching.nested(rules)))
            else:
                # A client's lane that is not known means base: rules and shares are for uncoloured requests.
                uncoloured = matching.negated(matching.present(LANE_HEADER))
                steps.append((uncoloured, matching.nested(rules)))
        if self.plan.trusted is not None and self.route.ratio is not None:
            plain = self._route(self.route.name, "", None)
            steps.append((matching.present(LANE_HEADER), act(plain)))
        steps.append((always, self.base()))
        return steps


def _route_action(plan: GatewayPlan, route: RoutePlan, services: Mapping[str, ServicePlan]) -> OnMatch:
    if (answered := answer(route)) is not None:
        return act(answered)
    service = services.get(route.service) if route.service else None
    if service is None:
        detail = route.problem or f"No source knows the service {route.service}."
        return act(direct(f"{route.name}/no-service", 503, _problem("No such service", 503, detail)))
    steps = _RouteBuilder(plan, route, service).steps()
    if len(steps) == 1:
        return steps[0][1]
    return matching.nested(matching.in_order(steps))


def _level(
    plan: GatewayPlan, routes: tuple[RoutePlan, ...], services: Mapping[str, ServicePlan]
) -> list[OnMatch]:
    """Matchers of one host's routes, in order; each falls through when no path of it matches."""
    return paths.matchers(
        [paths.Entry(route.path, guard(route), _route_action(plan, route, services)) for route in routes]
    )


def route_configuration(
    plan: GatewayPlan, services: Mapping[str, ServicePlan]
) -> route_pb2.RouteConfiguration:
    """The whole route configuration of a gateway; `services` are the plans of the services it names."""
    configuration = route_pb2.RouteConfiguration(
        name=edge_routes(plan.name),
        ignore_port_in_host_matching=True,
        request_headers_to_remove=[
            PATH_HEADER,
            REST_HEADER,
            LANE_HEADER,
            CLIENT_HEADER,
            *lifted_headers(plan),
        ],
    )
    if numbered(plan):
        configuration.response_headers_to_remove.append(TRY_HEADER)
    for host in plan.hosts():
        virtual_host = configuration.virtual_hosts.add()
        virtual_host.name = host
        virtual_host.domains.append(host)
        virtual_host.retry_policy.CopyFrom(retry_policy(STREAM_IDLE))
        virtual_host.request_body_buffer_limit.value = REPLAYED_BODY
        always = matching.present(PATH_HEADER)
        steps = [(always, m) for level in plan.chain(host) for m in _level(plan, level, services)]
        steps.append((always, _no_route()))
        virtual_host.matcher.CopyFrom(_by_phase(matching.in_order(steps)))
    return configuration
