"""Headers that an edge sets, adds and removes because of what users defined: of the request that it sends on
and of the answer that the client gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from controlplane.model.fields import seconds
from controlplane.model.gateway_fields import Listener
from controlplane.model.route_actions import Cors
from controlplane.plan.arrival import REQUEST_ID
from controlplane.plan.entrance import alt_svc
from controlplane.plan.evaluate import Decision, preflighted
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.route_actions import HeaderChanges, allows, is_preflight

By = Literal["route", "lane", "cors", "share", "listener"]


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """`by`: whose definition says so. A header that is added gets a further line."""

    change: Literal["set", "add", "remove"]
    name: str
    value: str
    by: By


def of_request(decision: Decision) -> list[HeaderChange]:
    """What the service gets besides, or in place of, what the client sent; lanes' carriers left out."""
    if decision.route is None or decision.route.service is None:
        return []
    return list(_listed(decision.route.actions.request, "route"))


def of_response(
    plan: GatewayPlan,
    decision: Decision,
    values: Mapping[str, bytes],
    listener: Listener | None,
    random_id: bool,
) -> list[HeaderChange]:
    """What the client gets besides, or in place of, what the service sent, in the order of the changes.

    `values`: see `carried_values`. `random_id`: the request gets an id by chance.
    """
    found: list[HeaderChange] = []
    route = decision.route
    if route is not None:
        if route.actions.cors is not None:
            found += _of_cors(route.actions.cors, values[":method"].decode(), values)
        if preflighted(route, values):
            return [*found, *_of_listener(listener)]
        found += _listed(dict(plan.lane_headers).get(decision.lane or "", HeaderChanges()), "lane")
        found += _of_share(decision, values, random_id)
        found += _listed(route.actions.response, "route")
    return [*found, *_of_listener(listener)]


def readable(decision: Decision, values: Mapping[str, bytes]) -> bool | None:
    """Whether pages of the request's Origin may read the answer as far as the route says; None if it says
    nothing, or if the request has no Origin.
    """
    cors = decision.route and decision.route.actions.cors
    origin = values.get("origin")
    return None if cors is None or not origin else allows(cors, origin.decode(errors="surrogateescape"))


def _listed(changes: HeaderChanges, by: By) -> Iterator[HeaderChange]:
    yield from (HeaderChange("remove", name, "", by) for name in changes.remove)
    yield from (HeaderChange("set", name, value, by) for name, value in changes.set)
    yield from (HeaderChange("add", name, value, by) for name, value in changes.add)


def _of_cors(cors: Cors, method: str, values: Mapping[str, bytes]) -> list[HeaderChange]:
    origin = values.get("origin", b"").decode(errors="surrogateescape")
    asked = is_preflight(method, values)
    told: dict[str, str] = {}
    if origin and allows(cors, origin):
        told = {"allow-origin": origin, "allow-credentials": "true" if cors.allow_credentials else ""}
        if asked:
            told["allow-methods"] = ", ".join(cors.allow_methods or ())
            told["allow-headers"] = ", ".join(cors.allow_headers or ())
            told["max-age"] = "" if cors.max_age is None else str(int(seconds(cors.max_age)))
        told["expose-headers"] = ", ".join(cors.expose_headers or ())
    found = [
        HeaderChange("set", f"access-control-{name}", text, "cors") for name, text in told.items() if text
    ]
    if "*" not in cors.allow_origins and not (asked and found):
        found.append(HeaderChange("add", "vary", "origin", "cors"))
    return found


def _of_share(decision: Decision, values: Mapping[str, bytes], random_id: bool) -> Iterator[HeaderChange]:
    """The cookie of a user who has none and whose lane is drawn."""
    sticky = decision.route and decision.route.ratio and decision.route.ratio.sticky
    if not decision.candidates or sticky is None or sticky.cookie is None:
        return
    own = "<id>" if random_id else values.get(REQUEST_ID, b"").decode(errors="replace")
    yield HeaderChange("add", "set-cookie", f"{sticky.cookie}={own}; {sticky.set_cookie}", "share")


def _of_listener(listener: Listener | None) -> Iterator[HeaderChange]:
    if listener is not None and (value := alt_svc(listener)):
        yield HeaderChange("add", "alt-svc", value, "listener")
