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

from controlplane.plan.conditions import CLIENT_HEADER, PATH_HEADER, REFERER_HEADER, lifted_header
from controlplane.plan.gateways import TOTAL_SLOTS, GatewayPlan, RoutePlan
from controlplane.plan.services import ServicePlan, Target
from controlplane.translate import matching, paths
from controlplane.translate.gates import (
    DRAWS,
    EDGE_REQUEST,
    RECEIVE,
    REPLY,
    edge_reads,
    lifted,
    turn_off,
)
from controlplane.translate.hardening import BODY_IDLE, REPLAYED_BODY, STREAM_IDLE
from controlplane.translate.lua import cookie_note, lifted_headers
from controlplane.translate.matching import Matcher, OnMatch
from controlplane.translate.messages import everything, header, struct
from controlplane.translate.names import (
    LANE_HEADER,
    OPEN_PHASE,
    PHASE_HEADER,
    RECEIVING_PHASE,
    REST_HEADER,
    TRY_HEADER,
    UNREACHED_HEADER,
    edge_routes,
    version_cluster,
)
from controlplane.translate.retries import numbered, route_retries
from controlplane.translate.route_actions import answer, dress, guard, header_options
from controlplane.translate.routes import (
    Route,
    RouteAction,
    act,
    action,
    direct,
    forward,
    lane_route,
    mark,
    refused,
    retry_policy,
    target_cluster,
)
from controlplane.translate.traffic import drawing
from controlplane.translate.upstream import add_hash


def _problem(title: str, status: int, detail: str) -> str:
    return json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})


def _no_route() -> OnMatch:
    body = _problem("No route", 404, "No route of this gateway matches the request's host and path.")
    return act(direct("no-route", 404, body))


def _by_phase(plan: GatewayPlan, whole: OnMatch) -> Matcher:
    """`whole` decides where a request goes. Before and after that, routes lead nowhere.

    They say which filters run, or how long the request may be silent, see gates.py and receive.lua. Zero
    stops the time that runs already: from then on the retry policy bounds the silence.
    """

    def phase(name: str, *without: str, idle: float | None = None) -> OnMatch:
        route = Route(name=name, match=everything(), route=action("~phase", idle_timeout=idle))
        turn_off(route, *without)
        return act(route)

    reads = edge_reads(plan)
    read = phase("read")
    if reads is None:
        unread = matching.negated(lifted())
        opened = read
    else:
        unread = matching.all_of([matching.negated(lifted()), reads])
        body = matching.in_order([(reads, read)])
        body.on_no_match.CopyFrom(phase("body", EDGE_REQUEST))
        opened = matching.nested(body)
    phases = {OPEN_PHASE: opened, RECEIVING_PHASE: phase("receiving", idle=BODY_IDLE)}
    taken = matching.negated(matching.present(PHASE_HEADER))
    steps = matching.in_order([(taken, phase("answering", idle=0)), (unread, read)])
    first = matching.exact_tree(PHASE_HEADER, phases)
    return matching.chain([first, steps], whole).matcher


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
        self.idle = route.silence(service.upstream)

    def forward(self) -> RouteAction:
        upstream = self.service.upstream
        found = action("", self.route.request_timeout(upstream), self.idle)
        add_hash(found, upstream)
        return found

    def _route(self, name: str, lane: str, target: Target | None) -> route_components_pb2.Route:
        route = lane_route(name, self.service.id, lane, target, self.forward())
        if self.idle is not None:
            route.route.retry_policy.CopyFrom(retry_policy(idempotent=True))
            route.metadata.filter_metadata[RECEIVE].CopyFrom(struct({"idle": True}))
        if self.plan.reads_referer and not _replaces(self.route, "referer"):
            # Envoy has removed it if it is odd, and the application must see what rules were met by.
            route.request_headers_to_add.append(header("referer", f"%REQ({REFERER_HEADER})%"))
        dress(route, self.route)
        turn_off(route, EDGE_REQUEST, RECEIVE)
        return route

    def _act(self, route: route_components_pb2.Route, leaves_lane: bool = False) -> OnMatch:
        """`leaves_lane`: base is asked from some try on."""
        wanted, own_idle = self.route.actions.retries, self.idle is not None
        if wanted is None:
            return forward(route, retry_policy(idempotent=False, silence=None if own_idle else STREAM_IDLE))
        route.route.retry_policy.CopyFrom(route_retries(wanted, True, own_idle, leaves_lane))
        return forward(route, route_retries(wanted, False, own_idle, leaves_lane))

    def lane(self, lane: str) -> OnMatch:
        target = self.service.lanes.get(lane)
        route = self._route(f"{self.route.name}/{lane}", lane, target)
        turn_off(route, DRAWS)
        if target is None or not target.strict:
            turn_off(route, REPLY)
        route.request_headers_to_add.extend(_colours(self.plan, lane))
        own = list(route.response_headers_to_add)
        del route.response_headers_to_add[:]
        self._dress_response(route, lane)
        route.response_headers_to_add.extend(own)  # what the route says comes last, as it does for shares
        return self._act(route, leaves_lane=target is not None and not target.strict)

    def _dress_response(
        self, route: Route | route_components_pb2.WeightedCluster.ClusterWeight, lane: str
    ) -> None:
        changes = dict(self.plan.lane_headers).get(lane)
        if changes is not None:
            route.response_headers_to_add.extend(header_options(changes))
            route.response_headers_to_remove.extend(changes.remove)

    def base(self) -> OnMatch:
        if self.route.ratio is None:
            return self.uncoloured()
        route = self._route(self.route.name, "", None)
        self._split(route)
        return self._act(route, leaves_lane=True)

    def uncoloured(self) -> OnMatch:
        """To base, whatever the shares of lanes."""
        route = self._route(self.route.name, "", None)
        if self.plan.base_colour:
            route.route.cluster = self._base_cluster()
            route.request_headers_to_add.extend(_colours(self.plan, self.plan.base_colour))
        turn_off(route, REPLY, DRAWS)
        return self._act(route)

    def _base_cluster(self) -> str:
        colour = self.plan.base_colour
        if colour in self.service.versions:
            return version_cluster(self.service.id, colour)
        return target_cluster(self.service.id, None)

    def _split(self, route: route_components_pb2.Route) -> None:
        ratio = self.route.ratio
        assert ratio is not None
        weighted = route_components_pb2.WeightedCluster()
        position = 0
        strict: list[bool] = []

        def add(lane: str | None, slots: int) -> None:
            if slots <= 0:
                return
            target = self.service.lanes.get(lane) if lane else None
            entry = weighted.clusters.add()
            entry.name = target_cluster(self.service.id, target) if lane else self._base_cluster()
            entry.weight.value = slots
            if lane:
                entry.request_headers_to_add.extend(_colours(self.plan, lane))
                self._dress_response(entry, lane)
                mark(entry, lane, target)
                strict.append(target is not None and target.strict)
            elif self.plan.base_colour:
                entry.request_headers_to_add.extend(_colours(self.plan, self.plan.base_colour))

        for slot in ratio.ranges:
            add(None, slot.start - position)
            add(slot.lane, slot.end - slot.start)
            position = slot.end
        add(None, TOTAL_SLOTS - position)
        if not any(strict):
            turn_off(route, REPLY)
        else:  # `reply` takes it out
            route.response_headers_to_remove.remove(UNREACHED_HEADER)
        sticky = ratio.sticky
        if sticky is not None:
            weighted.use_hash_policy.CopyFrom(wrappers_pb2.BoolValue(value=True))
            del route.route.hash_policy[:]  # a request has one hash, and the share is by this one
            policy = route.route.hash_policy.add()
            if sticky.header:
                policy.header.header_name = sticky.header
            elif sticky.cookie:
                name = lifted_header("cookie", sticky.cookie)
                policy.header.header_name = name
                policy.terminal = True
                route.route.hash_policy.add().header.header_name = "x-request-id"
                note = f"%DYNAMIC_METADATA(laneway:{cookie_note(sticky)})%"
                route.response_headers_to_add.append(header("set-cookie", note, "APPEND_IF_EXISTS_OR_ADD"))
            else:
                policy.connection_properties.source_ip = True
        route.route.weighted_clusters.CopyFrom(weighted)
        route.typed_per_filter_config[DRAWS].CopyFrom(drawing())

    def action(self) -> OnMatch:
        """What to do once the path has matched."""
        steps: list[Matcher] = []
        if self.plan.trusted:
            steps.append(
                matching.exact_tree(LANE_HEADER, {lane: self.lane(lane) for lane in self.plan.trusted})
            )
        if self.plan.trusted is not None and (self.route.content or self.route.ratio is not None):
            # A client's lane that is not known means base: rules and shares are for uncoloured requests.
            steps.append(matching.in_order([(matching.present(LANE_HEADER), self.uncoloured())]))
        rules = matching.first_match([(lane.rule, self.lane(lane.name)) for lane in self.route.content])
        if rules is not None:
            steps.append(rules)
        return matching.chain(steps, self.base())


def _route_action(plan: GatewayPlan, route: RoutePlan, services: Mapping[str, ServicePlan]) -> OnMatch:
    if (answered := answer(route)) is not None:
        turn_off(answered, EDGE_REQUEST, RECEIVE, REPLY, DRAWS)
        return act(answered)
    service = services.get(route.service) if route.service else None
    if service is None:
        detail = route.problem or f"No source knows the service {route.service}."
        return act(direct(f"{route.name}/no-service", 503, _problem("No such service", 503, detail)))
    if service.closed:
        closed = refused(f"{route.name}/closed", service)
        turn_off(closed, EDGE_REQUEST, RECEIVE, REPLY, DRAWS)
        return act(closed)
    return _RouteBuilder(plan, route, service).action()


def _level(
    plan: GatewayPlan, routes: tuple[RoutePlan, ...], services: Mapping[str, ServicePlan]
) -> list[Matcher]:
    """Matchers of one host's routes, in order; each falls through when no path of it matches."""
    return paths.matchers(
        [paths.Entry(route.path, guard(route), _route_action(plan, route, services)) for route in routes]
    )


def route_configuration(
    plan: GatewayPlan, services: Mapping[str, ServicePlan]
) -> route_pb2.RouteConfiguration:
    """The route configuration of a gateway. `services`: the plans of those services that its routes name, by
    canonical id.
    """
    configuration = route_pb2.RouteConfiguration(
        name=edge_routes(plan.name),
        ignore_port_in_host_matching=True,
        request_headers_to_remove=[
            PHASE_HEADER,
            PATH_HEADER,
            REST_HEADER,
            LANE_HEADER,
            CLIENT_HEADER,
            REFERER_HEADER,
            *lifted_headers(plan),
        ],
    )
    if numbered(plan):
        configuration.response_headers_to_remove.append(TRY_HEADER)
    for host in plan.hosts():
        virtual_host = configuration.virtual_hosts.add()
        virtual_host.name = host
        virtual_host.domains.append(host)
        virtual_host.retry_policy.CopyFrom(retry_policy(idempotent=True, silence=STREAM_IDLE))
        virtual_host.request_body_buffer_limit.value = REPLAYED_BODY
        virtual_host.matcher.CopyFrom(_by_phase(plan, _by_path(plan, host, services)))
    return configuration


def _replaces(route: RoutePlan, name: str) -> bool:
    """Whether the route sets or removes that header of requests."""
    changes = route.actions.request
    return name in {*(one.lower() for one, _ in changes.set), *(one.lower() for one in changes.remove)}


def _by_path(plan: GatewayPlan, host: str, services: Mapping[str, ServicePlan]) -> OnMatch:
    """The routes of `host`; those of less specific hosts in a list, since messages nest only so deep."""
    levels = [_level(plan, level, services) for level in plan.chain(host)]
    further = [matcher for level in levels[1:] for matcher in level]
    last = _no_route()
    if further:
        always = matching.present(":path")
        steps = [(always, matching.nested(matcher)) for matcher in further]
        last = matching.chain([matching.in_order(steps)], last)
    return matching.chain(levels[0] if levels else [], last)
