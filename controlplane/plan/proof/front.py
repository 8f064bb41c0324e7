"""The entrances of a gateway: for each route the hosts and paths by which requests get to it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from controlplane.plan.arrival import REQUEST_ID
from controlplane.plan.conditions import CLIENT_HEADER, HOST_HEADER, PATH_HEADER, REFERER_HEADER
from controlplane.plan.gateways import ContentLane, GatewayPlan, RoutePlan
from controlplane.plan.proof.atoms import (
    ALIASES,
    Clause,
    Formula,
    Literal,
    Value,
    of_host_key,
    of_route,
)
from controlplane.plan.proof.search import Model
from controlplane.plan.proof.values import COOKIE, QUERY
from controlplane.plan.request import ANY_CLIENT, Request


def value_in(model: Model, name: str) -> Value:
    """What the request has in this part."""
    if name in ALIASES and name not in model:
        name = ALIASES[name]
    return model.get(name)


def holds(formula: Formula, model: Model) -> bool:
    """Whether the request meets the formula."""
    outcomes = (one.met(value_in(model, one.atom.name)) for one in formula.literals)
    return any(outcomes) if formula.any else all(outcomes)


def unmet(clauses: Iterable[Clause], model: Model) -> Clause | None:
    """The first clause that the request does not meet."""
    return next((c for c in clauses if not any(one.met(value_in(model, one.atom.name)) for one in c)), None)


@dataclass(frozen=True, slots=True, eq=False)
class Entrance:
    """One path of a route under one host. `earlier`: routes that are tried first, with what they take.

    preflight: questions of browsers may take it although its conditions are not met.
    """

    route: RoutePlan
    fixed: tuple[Literal, ...]
    earlier: tuple[tuple[RoutePlan, Formula, list[Clause]], ...]
    preflight: bool = False

    def lost(self, model: Model) -> tuple[RoutePlan, Clause] | None:
        """The earlier route that takes the request, and what is to be met for it not to."""
        for route, formula, refuted in self.earlier:
            if holds(formula, model) and (clause := unmet(refuted, model)):
                return route, clause
        return None


class _Kept:
    """What an iterator gives, for any number of readers."""

    def __init__(self, source: Iterator[Entrance]) -> None:
        self._source = source
        self._found: list[Entrance] = []

    def __iter__(self) -> Iterator[Entrance]:
        yield from self._found
        at = len(self._found)
        while True:
            if at == len(self._found):
                more = next(self._source, None)
                if more is None:
                    return
                self._found.append(more)
            yield self._found[at]
            at += 1


@dataclass(slots=True)
class Front:
    """The routes of a gateway without their lanes. `plan` has no lanes either."""

    plan: GatewayPlan
    _entrances: dict[str, _Kept] = field(default_factory=dict[str, "_Kept"])
    _orders: dict[str, list[RoutePlan]] = field(default_factory=dict[str, list[RoutePlan]])

    @classmethod
    def of(cls, plan: GatewayPlan, kept: Front | None) -> Front:
        """That of `plan`; `kept`, if its routes are the same."""
        routes = tuple(replace(route, content=(), ratio=None) for route in plan.routes)
        bare = replace(plan, routes=routes, trusted=None, lane_headers=())
        return kept if kept is not None and kept.plan == bare else cls(bare)

    def entrances(self, name: str) -> Iterator[Entrance]:
        """Those of the route `name`. They are made when they are asked for: the first is mostly enough."""
        if name not in self._entrances:
            self._entrances[name] = _Kept(self._made(name))
        return iter(self._entrances[name])

    def _made(self, name: str) -> Iterator[Entrance]:
        plan = self.plan
        parts = [route for route in plan.routes if route.name == name]
        own = sorted({host for route in parts for host in route.hosts})
        for key in [*own, "*", *(host for host in plan.hosts() if host != "*" and host not in own)]:
            order = self._order(key)
            for route in parts:
                index = next((at for at, one in enumerate(order) if one is route), None)
                if index is None:
                    continue
                earlier = tuple(
                    (other, formula := of_route(other), formula.refuted())
                    for other in order[:index]
                    if _meet(other, route)
                )
                fixed = (Literal(of_host_key(plan, key)), *of_route(route).literals)
                cors = route.actions.cors is not None and bool(route.methods or route.conditions)
                yield Entrance(route, fixed, earlier, cors)

    def _order(self, key: str) -> list[RoutePlan]:
        if key not in self._orders:
            self._orders[key] = [route for level in self.plan.chain(key) for route in level]
        return self._orders[key]

    def with_lanes(self, name: str, lanes: Sequence[ContentLane]) -> GatewayPlan:
        """The plan with these lanes on the route `name`, and no others."""
        routes = tuple(
            replace(route, content=tuple(lanes)) if route.name == name else route
            for route in self.plan.routes
        )
        return replace(self.plan, routes=routes)


def _meet(one: RoutePlan, other: RoutePlan) -> bool:
    """Whether some path may match both; False only where that is plain."""
    first, second = one.path, other.path
    if first.regex is not None or second.regex is not None or first.ignore_case or second.ignore_case:
        return True
    a, b = first.exact or first.prefix or "/", second.exact or second.prefix or "/"
    if first.exact is not None and second.exact is not None:
        return a == b
    if first.exact is not None:
        return a.startswith(b.rstrip("/"))
    if second.exact is not None:
        return b.startswith(a.rstrip("/"))
    return a.startswith(b.rstrip("/")) or b.startswith(a.rstrip("/"))


def request_of(model: Model) -> Request:
    """The request with the values of `model`."""

    def text(name: str, default: str = "") -> str:
        value = value_in(model, name)
        return default if value is None else value.decode(errors="surrogateescape")

    headers: list[tuple[str, str]] = []
    query: list[str] = []
    cookies: list[str] = []
    basic = {":method", ":authority", PATH_HEADER, HOST_HEADER, CLIENT_HEADER}
    for name, value in sorted(model.items()):
        if value is None or name in basic or (name, value) == ("x-forwarded-proto", b"http"):
            continue
        if name.startswith(QUERY):
            query.append(f"{_escaped(bytes.fromhex(name.removeprefix(QUERY)))}={_escaped(value)}")
        elif name.startswith(COOKIE):
            cookies.append(f"{bytes.fromhex(name.removeprefix(COOKIE)).decode()}={value.decode()}")
        else:
            headers.append(("referer" if name == REFERER_HEADER else name, value.decode()))
    if cookies:
        headers.append(("cookie", "; ".join(cookies)))
    path = text(PATH_HEADER, "/") + (f"?{'&'.join(query)}" if query else "")
    return Request(
        text(":method", "GET"), text(":authority"), path, tuple(headers), text(CLIENT_HEADER, ANY_CLIENT)
    )


def _escaped(value: bytes) -> str:
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    return "".join(chr(one) if one in plain else f"%{one:02X}" for one in value)


def by_chance(formula: Formula, plan: GatewayPlan) -> bool:
    """Whether a header is read that the edge makes by chance for each request."""
    return not plan.keep_request_id and any(one.atom.name == REQUEST_ID for one in formula.literals)


def command(gateway: str, request: Request, at: str = "") -> str:
    """The command that explains the request, for people to try it; `at` another time than now."""
    parts = ["laneway", "explain", "--gateway", gateway]
    if at:
        parts += ["--at", at]
    if request.method != "GET":
        parts += ["-X", request.method]
    if request.host:
        parts += ["--host", request.host]
    if request.path != "/":
        parts += ["--path", request.path]
    for name, value in request.headers:
        parts += ["-H", f"{name}: {value}"]
    if request.client_address != ANY_CLIENT:
        parts += ["--client-address", request.client_address]
    return shlex.join(parts)
