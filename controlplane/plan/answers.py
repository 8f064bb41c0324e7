"""What a chosen route makes of a request: what its service gets, or what the edge answers by itself."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.plan.gateways import RoutePlan
from controlplane.plan.route_actions import location, path_rewrite, prefix_rewrite, rewritten


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Path, with its query, and host that the service gets."""

    path: str
    host: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of the edge's own; `location` of a redirect."""

    status: int
    location: str | None


def forwarded_as(route: RoutePlan, host: str, path: str, query: str) -> Forwarded | None:
    """None where the service gets the path and host that the edge got."""
    rewrite = route.actions.rewrite
    if rewrite is None or route.service is None:
        return None
    change = path_rewrite(rewrite, route.path.prefix, bool(route.path.ignore_case))
    target = rewritten(path, change)
    return Forwarded(f"{target}?{query}" if query else target, rewrite.host or host)


def answered_with(route: RoutePlan, host: str, path: str, query: str, scheme: str) -> Answered | None:
    """None where a service answers. `scheme`: `http` or `https`, by which the request came."""
    redirect, respond = route.actions.redirect, route.actions.respond
    if respond is not None:
        return Answered(respond.status, None)
    if redirect is None:
        return None
    change = None
    if redirect.prefix is not None:
        change = prefix_rewrite(route.path.prefix or "/", redirect.prefix, bool(route.path.ignore_case))
    return Answered(redirect.status, location(redirect, host, path, query, change, scheme))
