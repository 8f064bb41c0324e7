"""Who would serve a lane, per application of its group and service; and what an edge does with a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controlplane.model.definitions import Definitions
from controlplane.model.gateway_fields import AccessLog
from controlplane.plan.answers import Answered, Forwarded, answered_with, forwarded_as
from controlplane.plan.base import reachable
from controlplane.plan.callers import REASON, STATUS, closed_by, gateway_caller
from controlplane.plan.effects import HeaderChange, of_request, of_response, readable
from controlplane.plan.entrance import Entrance, entrance, scheme_of, to_https
from controlplane.plan.evaluate import Decision, decide, preflighted
from controlplane.plan.inheritance import Inheritance, inherited
from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.planner import Plan, Resolve, overrides
from controlplane.plan.request import Request, carried_values, normalised_path, refusal, removed_headers
from controlplane.plan.services import ServicePlan, applications_of, plan_service, target_of
from controlplane.plan.upstream import DEFAULT, Upstream
from controlplane.registry.types import Instance, Services


@dataclass(frozen=True, slots=True)
class ServiceMatch:
    """A service of an application in a lane's group.

    tagged: its instances with the lane's tag. base: the number of its base instances, base_unhealthy: of
    these, those that get no requests, because the registry says that they are unhealthy. fallback: no
    instance of `tagged` can be reached. strict: base must not serve the lane in that case.
    """

    application: str
    service: str
    tagged: tuple[Instance, ...]
    base: int
    fallback: bool
    strict: bool
    callers: frozenset[str] | None = None
    """Who may call it, as its applications say; None: everybody."""
    base_unhealthy: int = 0

    @property
    def unhealthy(self) -> tuple[Instance, ...]:
        """The instances of `tagged` that get no requests, because the registry says that they are
        unhealthy.
        """
        reachable = _reachable(self.tagged)
        return tuple(one for one in self.tagged if one not in reachable)


@dataclass(frozen=True, slots=True)
class Hop:
    """The instances that would serve a request in one service. `tag` is None for base that is not promoted.

    fallback: base serves in place of the lane. refused: no instance serves, because the lane has no fallback
    there.
    by_trace: calls from there that lost the lane take it from `tracestate` or from the memory of their trace.
    """

    application: str
    service: str
    tag: str | None
    instances: tuple[Instance, ...]
    fallback: bool
    refused: bool = False
    unhealthy: tuple[Instance, ...] = ()
    inherited: Inheritance | None = None
    upstream: Upstream = DEFAULT
    by_trace: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an edge of a gateway does with a request. `path` is the path that routes match.

    `forwarded`: what the application gets, None if the route changes neither path nor host. `answered`: what
    the edge answers by itself. `client_address`: the client's address as the gateway's `trusted_hops`
    determine it. `request_timeout`, `idle_timeout`: of the edge, in seconds; 0 means no limit, None the
    default of all routes. `entrance`: None if it is not known to which listener the request comes.
    `readable`: see `effects.readable`. `keeps_id`: the application gets the request id that arrived.
    """

    decision: Decision
    path: str
    client_address: str
    removed_headers: tuple[str, ...]
    hops: tuple[Hop, ...]
    forwarded: Forwarded | None = None
    answered: Answered | None = None
    request_timeout: float = 0.0
    idle_timeout: float | None = None
    entrance: Entrance | None = None
    request_headers: tuple[HeaderChange, ...] = ()
    response_headers: tuple[HeaderChange, ...] = ()
    readable: bool | None = None
    keeps_id: bool = False
    access_log: AccessLog | None = None


def explain(plan: Plan, gateway: str, request: Request) -> Explanation:
    """What proxies that serve `plan` do with `request`. Raises KeyError for an unknown gateway."""
    at = plan.gateways[gateway]
    enters = entrance(at, request.port, request.host)
    path = normalised_path(request.path)
    query = request.path.partition("#")[0].partition("?")[2]
    led = to_https(enters.listener, request.host, path, query) if enters is not None else None
    decision = decide(at, request)
    if enters is not None and enters.certificate is None:
        decision = Decision(None, None, NO_CERTIFICATE)
    elif led is not None and refusal(at, request) is None:
        decision = Decision(None, None, TO_HTTPS)
    hops: tuple[Hop, ...] = ()
    if decision.lane is not None:
        hops = _hops(plan, plan.lanes[decision.lane])
    elif decision.route is not None and (service := plan.services.get(decision.route.service or "")):
        hops = (_base_hop(service),)
    closed = _closed(plan, gateway, decision)
    if closed:
        hops = ()
        reason = f"{decision.reason}; answered {STATUS} ({REASON}): application {closed} does not name "
        decision = replace(decision, reason=f"{reason}{gateway_caller(gateway)} in callers")
    arrived = request.arrived(at)
    values = carried_values(at, request, arrived)
    forwarded, answered = None, Answered(308, led) if decision.reason == TO_HTTPS else None
    if decision.route is not None and decision.lane is None and preflighted(decision.route, values):
        answered = Answered(200, None)
    elif decision.route is not None:
        forwarded = forwarded_as(decision.route, request.host, path, query)
        scheme = scheme_of(at, request.port)
        answered = answered_with(decision.route, request.host, path, query, scheme)
        if closed:
            forwarded, answered = None, Answered(STATUS, None)
    request_timeout, idle_timeout = 0.0, None
    if decision.route is not None and (service := plan.services.get(decision.route.service or "")):
        request_timeout = decision.route.request_timeout(service.upstream)
        idle_timeout = decision.route.silence(service.upstream)
    return Explanation(
        decision=decision,
        path=path,
        client_address=arrived.client,
        removed_headers=tuple(removed_headers(at, request)),
        hops=hops,
        forwarded=forwarded,
        answered=answered,
        request_timeout=request_timeout,
        idle_timeout=idle_timeout,
        entrance=enters,
        request_headers=() if closed else tuple(of_request(decision)),
        response_headers=tuple(
            of_response(at, decision, values, enters and enters.listener, arrived.random_id)
        ),
        readable=readable(decision, values),
        keeps_id=not arrived.random_id,
        access_log=at.access_log,
    )


TO_HTTPS = "the port leads every request to https"
NO_CERTIFICATE = "the port has no certificate for the host: the edge takes no connection"


def _closed(plan: Plan, gateway: str, decision: Decision) -> str:
    """The application that the gateway may not call and that the request leads to; empty if there is none."""
    service = plan.services.get((decision.route and decision.route.service) or "")
    closed = plan.callers.closed_to(gateway_caller(gateway))
    return closed_by(service, closed) if service is not None else ""


def matches(plan: Plan, lane: LaneMeaning) -> list[tuple[str, list[ServiceMatch]]]:
    """The services of each application of a lane's group: applications in the group's order, services by
    canonical id.
    """
    services: dict[str, list[ServicePlan]] = {application: [] for application in lane.order}
    for _, service in sorted(plan.services.items()):
        for application in service.applications:
            if application in services:
                services[application].append(service)
    return [
        (application, [_match(plan, application, service, lane) for service in found])
        for application, found in services.items()
    ]


def matches_of_tag(
    definitions: Definitions, services: Services, resolve: Resolve, group: str, tag: str
) -> list[tuple[str, list[ServiceMatch]]]:
    """As `matches`, for a lane that is not defined yet. Raises KeyError for an unknown group."""
    order = definitions.groups[group].applications
    lane = LaneMeaning(name="", group=group, tag=tag, applications=frozenset(order), order=order)
    decided = overrides(definitions, resolve)
    plans = {
        name: plan_service(service, decided.get(name), (lane,), (lane,))
        for name, service in services.items()
        if lane.applications.intersection(applications_of(service, decided.get(name)))
    }
    return matches(Plan(plans), lane)


def _match(plan: Plan, application: str, service: ServicePlan, lane: LaneMeaning) -> ServiceMatch:
    target = target_of(service.applications, lane)
    tagged = service.targets.get(target, ()) if target is not None else ()
    strict = target is not None and target.strict
    fallback = not _reachable(tagged)
    base, callers = service.base.instances, plan.callers.of(service)
    dead = len(base) - len(_reachable(base))
    return ServiceMatch(application, service.id, tagged, len(base), fallback, strict, callers, dead)


def _hops(plan: Plan, lane: LaneMeaning) -> tuple[Hop, ...]:
    found: list[Hop] = []
    traced = frozenset[str]().union(*(x.applications for x in plan.lanes.values() if x.by_trace))
    for application, services in matches(plan, lane):
        for one in services:
            tagged = _reachable(one.tagged)
            upstream = plan.services[one.service].upstream
            if tagged or one.strict:
                tag = lane.tag if tagged else None
                taken = inherited(plan.lanes.values(), application, lane.tag, plan.base) if tagged else None
                refused = not tagged
                hop = Hop(
                    application, one.service, tag, tagged, False, refused, one.unhealthy, taken, upstream
                )
            else:
                base = _serving_base(plan.services[one.service])
                hop = Hop(
                    application, one.service, _tag(base), base, True, False, one.unhealthy, None, upstream
                )
            found.append(replace(hop, by_trace=application in traced))
    return tuple(found)


def _base_hop(service: ServicePlan) -> Hop:
    base = _serving_base(service)
    return Hop(service.applications[0], service.id, _tag(base), base, False, upstream=service.upstream)


def _tag(base: Iterable[Instance]) -> str | None:
    """The tag of base instances, where it is promoted."""
    return next((one.tag for one in base if one.tag is not None), None)


def _serving_base(service: ServicePlan) -> tuple[Instance, ...]:
    """The base instances that serve. Base fails open: if no instance is healthy, all of them are used."""
    base = service.base
    return _reachable(base.instances) or _reachable(base.spare) or (*base.instances, *base.spare)


def _reachable(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(i for i in instances if reachable(i))
