"""Routes to the clusters of a service: the action with its retries, shared by edge and sidecars."""

from __future__ import annotations

from functools import lru_cache

from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import wrappers_pb2
from xds.core.v3 import extension_pb2 as xds_extension_pb2

from controlplane.plan.callers import REASON, STATUS, problem
from controlplane.plan.services import ServicePlan, Target
from controlplane.translate.gates import REPLY
from controlplane.translate.lua import reply_context
from controlplane.translate.matching import OnMatch
from controlplane.translate.messages import duration, everything, header, pack
from controlplane.translate.names import (
    REFUSED,
    UNREACHED_HEADER,
    base_cluster,
    lane_cluster,
)

Route = route_components_pb2.Route
RouteAction = route_components_pb2.RouteAction

AT_ONCE = duration(0.001)
"""A retry does not wait (Envoy draws whole milliseconds below this): what came of a body in the meantime
would have to be kept."""

assert extension_pb2  # the generated modules register their types when imported


_RETRIED = "connect-failure,refused-stream,reset-before-request,retriable-headers"
_IDEMPOTENT = route_components_pb2.HeaderMatcher(
    name=":method",
    string_match=string_pb2.StringMatcher(
        safe_regex=regex_pb2.RegexMatcher(regex="GET|HEAD|OPTIONS|PUT|DELETE|TRACE")
    ),
)


@lru_cache
def retry_policy(idempotent: bool, silence: float | None = None) -> route_components_pb2.RetryPolicy:
    """Retries choose another instance of the lane first, then base (previous_priorities).

    `idempotent`: repeats also requests that may have been executed; else only those that cannot have been.
    `silence`: seconds for which an instance that has the whole request may send nothing; None: no limit.
    """
    policy = route_components_pb2.RetryPolicy
    mark = route_components_pb2.HeaderMatcher(name=UNREACHED_HEADER)
    if idempotent:
        mark.present_match = True
    else:
        mark.string_match.exact = REFUSED
    return policy(
        retry_on=_RETRIED + (",reset" if idempotent else ""),
        num_retries=wrappers_pb2.UInt32Value(value=3),
        per_try_idle_timeout=None if silence is None else duration(silence),
        retry_back_off=policy.RetryBackOff(base_interval=AT_ONCE, max_interval=AT_ONCE),
        host_selection_retry_max_attempts=3,
        retry_host_predicate=[
            policy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=pack(previous_hosts_pb2.PreviousHostsPredicate()),
            )
        ],
        retry_priority=policy.RetryPriority(
            name="envoy.retry_priorities.previous_priorities",
            typed_config=pack(previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2)),
        ),
        retriable_headers=[mark],
    )


def action(cluster: str, timeout: float = 0.0, idle_timeout: float | None = None) -> RouteAction:
    """Forward to `cluster`. Timeouts in seconds; 0 means none."""
    result = RouteAction(cluster=cluster, timeout=duration(timeout))
    if idle_timeout is not None:
        result.idle_timeout.CopyFrom(duration(idle_timeout))
    return result


def target_cluster(service: str, target: Target | None) -> str:
    """The cluster that serves a lane at a service: the aggregate of `target`, or base if it is None."""
    return base_cluster(service) if target is None else lane_cluster(service, target)


def lane_route(name: str, service: str, lane: str, target: Target | None, forward: RouteAction) -> Route:
    """A route named `name` for requests of `lane` to `service`. With `target` None, base serves it and the
    lane's colour is kept.
    """
    forward.cluster = target_cluster(service, target)
    route = Route(name=name, match=everything(), route=forward)
    mark(route, lane, target)
    if target is None or not target.strict:
        route.response_headers_to_remove.append(UNREACHED_HEADER)
    return route


def mark(
    route: Route | route_components_pb2.WeightedCluster.ClusterWeight, lane: str, target: Target | None
) -> None:
    """Adds to a route what the filter `reply` needs to know of its lane: it explains why a lane without
    fallback answers 503.
    """
    if target is not None and target.strict:
        route.typed_per_filter_config[REPLY].CopyFrom(pack(reply_context(lane)))


def direct(name: str, status: int, body: str) -> Route:
    """A route that is answered with `status` and a problem (RFC 9457) whose detail is `body`, without any
    upstream.
    """
    route = Route(name=name, match=everything())
    route.direct_response.status = status
    route.direct_response.body.inline_string = body
    header_option = route.response_headers_to_add.add()
    header_option.header.key = "content-type"
    header_option.header.value = "application/problem+json"
    header_option.append_action = header_option.OVERWRITE_IF_EXISTS_OR_ADD
    return route


def refused(name: str, plan: ServicePlan) -> Route:
    """The answer to whoever may not call a service."""
    route = direct(name, STATUS, problem(plan))
    route.response_headers_to_add.append(header("x-laneway-reason", REASON))
    return route


def act(route: Route) -> OnMatch:
    """`route` as the action of a matcher."""
    return OnMatch(
        action=xds_extension_pb2.TypedExtensionConfig(name=route.name or "route", typed_config=pack(route))
    )


def forward(route: Route, rest: route_components_pb2.RetryPolicy | None = None) -> OnMatch:
    """`route` as the action of a matcher, with the retries that the request's method allows.

    The virtual host has the policy of idempotent methods, unless the route has one. `rest` is the policy of
    the others.
    """
    return first_of(by_method(route, None, rest or retry_policy(idempotent=False)))


def first_of(routes: list[Route]) -> OnMatch:
    """The first of `routes` that matches as the action of a matcher. The last one has to match every request.

    What tells them apart costs less here than in a matcher.
    """
    return OnMatch(
        action=xds_extension_pb2.TypedExtensionConfig(
            name=routes[-1].name or "route", typed_config=pack(route_components_pb2.RouteList(routes=routes))
        )
    )


def by_method(
    route: Route,
    idempotent: route_components_pb2.RetryPolicy | None,
    rest: route_components_pb2.RetryPolicy | None,
) -> list[Route]:
    """`route` for idempotent methods, then for the rest, each with its retries if it has some of its own."""
    found: list[Route] = []
    for policy in (idempotent, rest):
        one = Route()
        one.CopyFrom(route)
        if policy is not None:
            one.route.retry_policy.CopyFrom(policy)
        found.append(one)
    found[0].match.headers.append(_IDEMPOTENT)
    return found
