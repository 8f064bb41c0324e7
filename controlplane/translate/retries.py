"""What a route tries again besides what reached no application.

Envoy has one number of tries for all reasons, and a lane's fallback needs four. So the edge's upstream filter
writes into each answer which try it answers (TRY_HEADER), and an answer is tried again only while that number
is below the route's.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from controlplane.model.fields import seconds
from controlplane.model.route_actions import Retries
from controlplane.plan.gateways import GatewayPlan
from controlplane.translate.hardening import STREAM_IDLE
from controlplane.translate.messages import duration
from controlplane.translate.names import TRY_HEADER
from controlplane.translate.routes import retry_policy

FALLBACK_RETRIES = 3
IN_LANE = 2
"""Tries that stay among the instances of a lane (`update_frequency` of previous_priorities)."""
_STATUSES = {"5xx": "5..", "gateway-error": "50[234]", "retriable-4xx": "409"}


def numbered(plan: GatewayPlan) -> bool:
    """Whether answers at this gateway have to say which try they answer."""
    return any(route.actions.retries is not None for route in plan.routes)


def route_retries(
    wanted: Retries, idempotent: bool, own_idle: bool, leaves_lane: bool
) -> route_components_pb2.RetryPolicy:
    """The retry policy of a route, for `idempotent` methods or the others.

    `leaves_lane`: from the third try on, base would be asked.
    """
    policy = route_components_pb2.RetryPolicy()
    policy.CopyFrom(retry_policy(idempotent, None if own_idle else STREAM_IDLE))
    policy.num_retries.value = max(FALLBACK_RETRIES, wanted.tries - 1)
    if wanted.per_try_timeout is not None:
        policy.per_try_timeout.CopyFrom(duration(seconds(wanted.per_try_timeout)))
    conditions = wanted.conditions or ()
    if "reset" in conditions and not idempotent:
        policy.retry_on += ",reset"
    statuses = [_STATUSES[one] for one in conditions if one in _STATUSES]
    statuses += [str(status) for status in wanted.statuses or ()]
    if statuses:
        tries = min(wanted.tries, IN_LANE) if leaves_lane else wanted.tries
        before = "|".join(str(number) for number in range(1, tries))
        pattern = f"({before}) ({'|'.join(statuses)})"
        matcher = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=pattern))
        policy.retriable_headers.append(
            route_components_pb2.HeaderMatcher(name=TRY_HEADER, string_match=matcher)
        )
    return policy
