"""Atoms: statements about one part of a request, in a form in which several can be looked at together."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from controlplane.model.conditions import Condition, Rule
from controlplane.model.networks import Network
from controlplane.plan.conditions import (
    CLIENT_HEADER,
    HOST_HEADER,
    PATH_HEADER,
    carried_in,
    met,
    networks_of,
    texts,
)
from controlplane.plan.evaluate import path_matches
from controlplane.plan.gateways import GatewayPlan, RoutePlan

ALIASES = {":authority": HOST_HEADER, "x-forwarded-for": CLIENT_HEADER}
"""Parts that say the same as another one, unless a request is made for them."""
BASIC = (":method", PATH_HEADER, HOST_HEADER, CLIENT_HEADER, "x-forwarded-proto")
ALWAYS = frozenset({*BASIC, *ALIASES})
"""Parts that each request has when rules are evaluated."""
Value = bytes | None
"""What a request has in one place; None where it has nothing there."""


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """A statement about the part `name` of a request, as `carried_in` names parts.

    holds: whether a value meets it. finite: all values that do, where they can be listed; exceptions: all
    that do not. pattern: a regular expression of those that do. below: the percentage below which their
    bucket is. networks: where an address must be, or must not be. hint: what most of its values begin with.
    """

    name: str
    holds: Callable[[Value], bool]
    finite: tuple[bytes, ...] | None = None
    exceptions: tuple[bytes, ...] | None = None
    pattern: str | None = None
    below: float | None = None
    networks: tuple[Network, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Literal:
    """An atom that is to hold, or not to hold."""

    atom: Atom
    wanted: bool = True

    def met(self, value: Value) -> bool:
        """Whether the value is as wanted."""
        return self.atom.holds(value) == self.wanted

    def negated(self) -> Literal:
        """The opposite."""
        return Literal(self.atom, not self.wanted)


Clause = tuple[Literal, ...]
"""Literals of which at least one is to be met."""


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """All of `literals`, or with `any` one of them."""

    literals: tuple[Literal, ...]
    any: bool = False

    def clauses(self) -> list[Clause]:
        """What is to be met for the formula to hold."""
        return [self.literals] if self.any else [(one,) for one in self.literals]

    def refuted(self) -> list[Clause]:
        """What is to be met for the formula not to hold."""
        others = tuple(one.negated() for one in self.literals)
        return [(one,) for one in others] if self.any else [others]


def quoted(text: str) -> str:
    """A pattern that matches `text` alone."""
    return "".join(
        f"\\{char}" if char.isascii() and not (char.isalnum() or char == "_") else char for char in text
    )


def of_condition(condition: Condition) -> Atom:
    """The atom of a condition of a rule or a route."""

    def holds(value: Value) -> bool:
        return met(condition, value)

    name = carried_in(condition)
    if condition.source == "client_address":
        return Atom(name, holds, networks=networks_of(condition))
    if condition.operator in ("==", "in"):
        choices = tuple(one.encode() for one in texts(condition))
        return Atom(name, frozenset(choices).__contains__, finite=choices)
    if condition.operator == "prefix":
        start = texts(condition)[0]
        return Atom(name, holds, pattern=f"{quoted(start)}(?s:.*)", hint=start)
    if condition.operator == "regex":
        return Atom(name, holds, pattern=str(condition.value))
    if condition.operator == "percentage":
        return Atom(name, holds, below=float(condition.value))  # type: ignore[arg-type]
    if condition.operator == "absent":
        return Atom(name, holds, finite=())
    return Atom(name, holds, exceptions=tuple(one.encode() for one in texts(condition)))


def of_rule(rule: Rule) -> Formula:
    """The formula of a lane's rule. It is kept, because the rule cannot change."""
    return _of_rule(cast("Hashable", rule))


@lru_cache(maxsize=20_000)
def _of_rule(rule: Hashable) -> Formula:
    assert isinstance(rule, Rule)
    return Formula(tuple(Literal(of_condition(c)) for c in rule.conditions), rule.match == "any")


def of_route(route: RoutePlan) -> Formula:
    """The formula of a route's path, methods and conditions; its hosts are `of_host_key`."""
    found = [of_path(route), *(of_condition(c) for c in route.conditions)]
    if route.methods:
        methods = tuple(one.encode() for one in route.methods)
        found.append(Atom(":method", frozenset(methods).__contains__, finite=methods))
    return Formula(tuple(Literal(one) for one in found))


def of_path(route: RoutePlan) -> Atom:
    """The atom of a route's path."""

    def holds(value: Value) -> bool:
        return value is not None and path_matches(route, value.decode())

    match = route.path
    case = "(?i)" if match.ignore_case else ""
    if match.regex is not None:
        return Atom(PATH_HEADER, holds, pattern=match.regex)
    if match.exact is not None:
        finite = None if case else (match.exact.encode(),)
        return Atom(PATH_HEADER, holds, finite, pattern=case + quoted(match.exact), hint=match.exact)
    prefix = match.prefix or "/"
    bare = prefix.rstrip("/")
    rest = "/(?s:.*)" if prefix.endswith("/") else "(?:/(?s:.*))?"
    return Atom(PATH_HEADER, holds, pattern=f"{case}{quoted(bare)}{rest}", hint=prefix)


def of_host_key(plan: GatewayPlan, key: str) -> Atom:
    """The atom of the hosts for which the edge uses the virtual host `key` (see GatewayPlan.host_key)."""

    def holds(value: Value) -> bool:
        return value is not None and plan.host_key(value.decode()) == key

    if key == "*":
        return Atom(HOST_HEADER, holds)
    if key.startswith("*."):
        return Atom(HOST_HEADER, holds, pattern=f"(?s:.+){quoted(key[1:])}")
    return Atom(HOST_HEADER, holds, (key.encode(),))
