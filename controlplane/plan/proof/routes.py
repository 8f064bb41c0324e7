"""Which routes of a gateway no request takes, because earlier ones take all that they match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.plan.evaluate import find_route
from controlplane.plan.gateways import RoutePlan
from controlplane.plan.proof.front import Front, request_of
from controlplane.plan.proof.search import Model, search
from controlplane.plan.request import carried_values, normalised_path

ROUTES = 3_000
"""Routes of a gateway that are looked at."""


@dataclass(frozen=True, slots=True)
class RouteFinding:
    """No request takes `route`; `by` take all that it matches. `equal`: the one of them with the same match.
    unclear: why that could not be decided, "" where it is proven.
    """

    route: str
    by: tuple[str, ...] = ()
    equal: str = ""
    unclear: str = ""


def unreached(front: Front) -> Iterator[RouteFinding]:
    """The findings about all routes."""
    for name in list(dict.fromkeys(route.name for route in front.plan.routes))[:ROUTES]:
        found = _of(front, name)
        if found is not None:
            yield found


def _of(front: Front, name: str) -> RouteFinding | None:
    by: dict[str, None] = {}
    unclear, equal = "", ""
    for entrance in front.entrances(name):

        def accept(model: Model) -> bool:
            request = request_of(model)
            values = carried_values(front.plan, request, request.arrived(front.plan))
            route = find_route(front.plan, request.host, normalised_path(request.path), values)
            return route is not None and route.name == name

        outcome = search(entrance.fixed, entrance.lost, accept)
        if outcome.model is not None:
            return None
        unclear = unclear or outcome.unclear or ("of preflights (CORS)" if entrance.preflight else "")
        by |= dict.fromkeys(one.name for one in outcome.used if isinstance(one, RoutePlan))
        equal = equal or next((one.name for one, *_ in entrance.earlier if _same(one, entrance.route)), "")
    by.pop(name, None)
    return RouteFinding(name, tuple(sorted(by)), "" if equal == name else equal, unclear)


def _same(one: RoutePlan, other: RoutePlan) -> bool:
    mine, theirs = (
        (x.path, sorted(x.hosts), sorted(x.methods), sorted(map(str, x.conditions))) for x in (one, other)
    )
    return mine == theirs
