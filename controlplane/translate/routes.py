"""Routes to the clusters of a service: the action with its retries, shared by edge and sidecars."""

from __future__ import annotations

from functools import lru_cache

from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import wrappers_pb2
from xds.core.v3 import extension_pb2 as xds_extension_pb2

from controlplane.plan.services import Target
from controlplane.translate.lua import reply_context
from controlplane.translate.matching import OnMatch
from controlplane.translate.messages import duration, everything, header, pack
from controlplane.translate.names import REFUSED, SERVED_HEADER, UNREACHED_HEADER, base_cluster, lane_cluster

Route = route_components_pb2.Route
RouteAction = route_components_pb2.RouteAction

AT_ONCE = duration(0.001)
"""A retry does not wait (Envoy draws whole milliseconds below this): what came of a body in the meantime
would have to be kept."""

assert extension_pb2  # the generated modules register their types when imported


@lru_cache
def retry_policy(silence: float | None = None) -> route_components_pb2.RetryPolicy:
    """Retries first in the lane, then in base (previous_priorities), for what cannot have been executed.

    `silence` are the seconds for which an instance that has the whole request may send nothing.
    Requests of idempotent methods add `reset` by a header (see edge.lua, sidecar.lua).
    """
    policy = route_components_pb2.RetryPolicy
    return policy(
        retry_on="connect-failure,refused-stream,reset-before-request,retriable-headers",
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
        retriable_headers=[
            route_components_pb2.HeaderMatcher(
                name=UNREACHED_HEADER, string_match=string_pb2.StringMatcher(exact=REFUSED)
            )
        ],
    )


def action(cluster: str, timeout: float = 0.0, idle_timeout: float | None = None) -> RouteAction:
    """Forward to `cluster`. Timeouts in seconds; 0 means none."""
    result = RouteAction(cluster=cluster, timeout=duration(timeout))
    if idle_timeout is not None:
        result.idle_timeout.CopyFrom(duration(idle_timeout))
    return result


def target_cluster(service: str, target: Target | None) -> str:
    return base_cluster(service) if target is None else lane_cluster(service, target)


def lane_route(name: str, service: str, lane: str, target: Target | None, forward: RouteAction) -> Route:
    """A route of `lane`; a target that is None is served by base and keeps its colour."""
    forward.cluster = target_cluster(service, target)
    route = Route(name=name, match=everything(), route=forward)
    own_idle = forward.HasField("idle_timeout")
    if own_idle:
        route.typed_per_filter_config["reply"].CopyFrom(pack(reply_context("", own_idle)))
    mark(route, lane, target, own_idle)
    return route


def mark(
    route: Route | route_components_pb2.WeightedCluster.ClusterWeight,
    lane: str,
    target: Target | None,
    own_idle: bool,
) -> None:
    """Tell the reply's filter of the lane: to count fallbacks, or to say why there is none."""
    if target is None:
        return
    if target.strict:
        route.typed_per_filter_config["reply"].CopyFrom(pack(reply_context(lane, own_idle)))
    else:
        served = header(SERVED_HEADER, f"{lane} %UPSTREAM_METADATA(lane:base)%")
        route.response_headers_to_add.append(served)


def direct(name: str, status: int, body: str) -> Route:
    """Answer without any upstream, as a problem (RFC 9457)."""
    route = Route(name=name, match=everything())
    route.direct_response.status = status
    route.direct_response.body.inline_string = body
    header_option = route.response_headers_to_add.add()
    header_option.header.key = "content-type"
    header_option.header.value = "application/problem+json"
    header_option.append_action = header_option.OVERWRITE_IF_EXISTS_OR_ADD
    return route


def act(route: Route) -> OnMatch:
    """`route` as the action of a matcher."""
    return OnMatch(
        action=xds_extension_pb2.TypedExtensionConfig(name=route.name or "route", typed_config=pack(route))
    )
