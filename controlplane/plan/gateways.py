"""The routing plan of one gateway: its base routes in order of precedence, each with the lanes to try."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from controlplane.model.conditions import Condition, Rule
from controlplane.model.definitions import Definitions, SlotRange
from controlplane.model.documents import (
    Carriers,
    Gateway,
    KeyMatch,
    Lane,
    Listener,
    PathMatch,
    Route,
    Sticky,
)
from controlplane.model.fields import seconds
from controlplane.model.gateway_fields import AccessLog, HeaderLimits, Tracing
from controlplane.model.patches import EnvoyPatch
from controlplane.plan.conditions import REFERER_HEADER, carried_in
from controlplane.plan.hosts import asked_host, canonical_host
from controlplane.plan.observing import Observing
from controlplane.plan.route_actions import HeaderChanges, RouteActions, actions_of, changes_of
from controlplane.plan.upstream import Upstream

TOTAL_SLOTS = 10_000


@dataclass(frozen=True, slots=True)
class ContentLane:
    """A lane that is chosen by its rule."""

    name: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class RatioPlan:
    """The lanes that are chosen by ratio: `ranges` are the slots of the enabled ones, sorted. All other
    slots are base.
    """

    ranges: tuple[SlotRange, ...]
    sticky: Sticky | None


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """A base route at one of its paths. `service` is a canonical id; or None, and `problem` says why.

    It matches requests with one of `methods` (empty: any method) that meet all of `conditions`.
    """

    name: str
    hosts: tuple[str, ...]
    path: PathMatch
    priority: int
    service: str | None
    problem: str
    timeout: str
    idle_timeout: str | None
    content: tuple[ContentLane, ...]
    ratio: RatioPlan | None
    methods: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    actions: RouteActions = field(default_factory=RouteActions)

    def request_timeout(self, upstream: Upstream) -> float:
        """Seconds until the whole response must have arrived; 0: no limit."""
        return seconds(self.timeout) or upstream.request_timeout

    def silence(self, upstream: Upstream) -> float | None:
        """Seconds for which a request may be idle; 0: no limit; None: the edge's default."""
        return upstream.idle_timeout if self.idle_timeout is None else seconds(self.idle_timeout)

    @property
    def answers(self) -> bool:
        """Whether the edge answers by itself. Then it calls no service and chooses no lane."""
        return self.actions.redirect is not None or self.actions.respond is not None


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """The routes of a gateway, its carriers and what it trusts.

    `trusted`: the lanes that a client may name itself; None unless the gateway trusts its clients. `foreign`:
    (header, baggage member) of other gateways; clients may not send these, because sidecars would read them.
    `by_trace`: some sidecars read the lane in `tracestate`, too.
    """

    name: str
    listeners: tuple[Listener, ...]
    carriers: Carriers
    trusted: tuple[str, ...] | None
    trusted_hops: int
    routes: tuple[RoutePlan, ...]
    foreign: tuple[tuple[str, str], ...] = ()
    by_trace: bool = False
    keep_underscores: bool = False
    keep_request_id: bool = False
    header_limits: HeaderLimits = field(default_factory=HeaderLimits)
    access_log: AccessLog | None = None
    tracing: Tracing | None = None
    lane_headers: tuple[tuple[str, HeaderChanges], ...] = ()
    """Changes of responses by lane, for lanes that have any."""
    patches: tuple[EnvoyPatch, ...] = ()
    base_colour: str = ""
    """The name of a meaning of base by which base requests go, and with which they are coloured; "" for none.
    """
    reads_referer: bool = field(init=False, compare=False, default=False)
    """Whether any condition reads the Referer. Then applications get it as the client sent it."""

    def __post_init__(self) -> None:
        # Once, and not for each route of each lane, for which it is asked.
        reads = any(carried_in(condition) == REFERER_HEADER for condition in self.conditions())
        object.__setattr__(self, "reads_referer", reads)

    @property
    def observing(self) -> Observing:
        """What its edges write down."""
        return Observing(self.carriers.header.lower(), self.access_log, self.tracing)

    def conditions(self) -> Iterator[Condition]:
        """Every condition that the edge looks at, of lanes and of routes."""
        for route in self.routes:
            yield from route.conditions
            for lane in route.content:
                yield from lane.rule.conditions

    def hosts(self) -> list[str]:
        """Every host of every route, lower case, sorted; "*" for routes without hosts comes last."""
        named = {host for route in self.routes for host in route.hosts}
        return [*sorted(named), "*"]

    def chain(self, host: str) -> list[tuple[RoutePlan, ...]]:
        """The routes to try for requests to the virtual host `host`; those of the most specific host
        first.
        """
        keys = [host] if host != "*" else []
        bare = host.removeprefix("*")
        suffixes = {h for r in self.routes for h in r.hosts if h.startswith("*.")}
        keys += sorted((s for s in suffixes if s != host and bare.endswith(s[1:])), key=len, reverse=True)
        levels = [tuple(r for r in self.routes if key in r.hosts) for key in keys]
        levels.append(tuple(r for r in self.routes if not r.hosts))
        return [level for level in levels if level]

    def host_key(self, authority: str) -> str:
        """The virtual host that Envoy picks for `authority` (config/route/v3/route_components.proto)."""
        host = asked_host(authority)
        named = {h for r in self.routes for h in r.hosts}
        if host in named:
            return host
        suffixes = [
            h for h in named if h.startswith("*.") and host.endswith(h[1:]) and len(host) > len(h) - 1
        ]
        return max(suffixes, key=len, default="*")


def carried_by(carriers: Carriers) -> tuple[str, str]:
    """(header, baggage member) of a gateway; header names have no case."""
    return carriers.header.lower(), carriers.baggage


def _applies(lane: Lane, route: str) -> bool:
    return lane.routes is None or route in lane.routes


def plan_gateway(
    gateway: Gateway,
    definitions: Definitions,
    coloured: Collection[str],
    resolve: Callable[[str], str],
    base_colour: str = "",
) -> GatewayPlan:
    """The plan of `gateway`. Edges choose only lanes that are in `coloured`.

    `resolve` turns the name of a service into its canonical id, and raises LookupError with a text for users.
    `base_colour`: see GatewayPlan.
    """
    groups = {g.name for g in definitions.groups.values() if g.gateway == gateway.name}
    lanes = [
        lane
        for lane in definitions.lanes.values()
        if lane.enabled and lane.name in coloured and lane.group in groups
    ]
    content = sorted((lane for lane in lanes if lane.rule is not None), key=lambda x: (x.priority, x.name))
    ratio = {lane.name: lane for lane in lanes if lane.ratio is not None}
    routes: list[RoutePlan] = []
    for (owner, name), route in sorted(definitions.routes.items()):
        if owner != gateway.name:
            continue
        service: str | None = None
        problem = ""
        try:
            service = resolve(route.called) if route.called is not None else None
        except LookupError as error:
            problem = str(error.args[0] if error.args else error)
        ranges = tuple(
            slot
            for slot in definitions.slots.get((owner, name), ())
            if slot.lane in ratio and _applies(ratio[slot.lane], name)
        )
        stickies = [ratio[slot.lane].ratio.sticky for slot in ranges]  # type: ignore[union-attr]
        first, *others = route.match.every_path
        whole = RoutePlan(
            name=name,
            hosts=tuple(dict.fromkeys(canonical_host(h) for h in route.match.hosts)),
            path=first,
            priority=route.priority,
            service=service,
            problem=problem,
            timeout=route.timeout,
            idle_timeout=route.idle_timeout,
            content=tuple(
                ContentLane(lane.name, lane.rule) for lane in content if lane.rule and _applies(lane, name)
            ),
            ratio=RatioPlan(ranges, next((s for s in stickies if s is not None), None)) if ranges else None,
            methods=route.match.methods or (),
            conditions=_conditions(route),
            actions=actions_of(route),
        )
        routes += [whole, *(replace(whole, path=path) for path in others)]
    return GatewayPlan(
        name=gateway.name,
        listeners=gateway.listeners,
        carriers=gateway.carriers,
        trusted=tuple(sorted(coloured)) if gateway.trust_client_lane else None,
        trusted_hops=gateway.trusted_hops,
        routes=tuple(sorted(routes, key=precedence)),
        by_trace=any(group.colour_by_trace for group in definitions.groups.values()),
        foreign=tuple(
            sorted(
                {carried_by(g.carriers) for g in definitions.gateways.values()}
                - {carried_by(gateway.carriers)}
            )
        ),
        keep_underscores=gateway.headers_with_underscores == "keep",
        keep_request_id=bool(gateway.keep_request_id),
        header_limits=gateway.header_limits or HeaderLimits(),
        access_log=gateway.access_log,
        tracing=gateway.tracing,
        patches=gateway.envoy_patches or (),
        base_colour=base_colour,
        lane_headers=tuple(
            sorted((x.name, changes_of(x.response_headers)) for x in lanes if x.response_headers is not None)
        ),
    )


def _conditions(route: Route) -> tuple[Condition, ...]:
    def of(source: Literal["header", "query"], keys: tuple[KeyMatch, ...] | None) -> list[Condition]:
        return [Condition(source=source, name=k.name, operator=k.operator, value=k.value) for k in keys or ()]

    return (*of("header", route.match.headers), *of("query", route.match.query))


def precedence(route: RoutePlan) -> tuple[int, int, int, int, int, str]:
    """The sort key of routes of one host: exact paths, prefixes from the longest, then regexes by priority.

    Among equals, a path in its own case comes before one in any case, then more conditions before fewer, then
    the name decides.
    """
    path = route.path
    kind, order = 2, route.priority
    if path.exact is not None:
        kind, order = 0, 0
    elif path.prefix is not None:
        kind, order = 1, -len(path.prefix)
    return (kind, order, bool(path.ignore_case), not route.methods, -len(route.conditions), route.name)
