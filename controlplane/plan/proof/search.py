"""The search for a request that meets clauses: values are proposed, and what they violate decides what next.

An attempt has a value for each part of the request that a literal was chosen for; all others have their
default, which is mostly nothing at all. That keeps the search small where there are many rules: most of them
are not met by such a request anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from controlplane.plan.proof.atoms import BASIC, Clause, Literal, Value
from controlplane.plan.proof.patterns import Unclear
from controlplane.plan.proof.values import NoValue, solve

Model = Mapping[str, Value]
"""The values of an attempt, by part; a part that is left out has nothing there."""
Violated = Callable[[Model], "tuple[object, Clause] | None"]
"""The first clause that an attempt does not meet, and what it belongs to; None if it meets all."""

ATTEMPTS = 300
"""Attempts of one search."""


_solved = lru_cache(maxsize=8_192)(solve)
"""Most parts of most attempts have the literals of a route alone."""


@dataclass(slots=True)
class Outcome:
    """`model` is None where no request was found. Then `unclear` says why that is no proof; "" if it is one.

    used: what the clauses belong to that the proof needed.
    """

    model: Model | None = None
    unclear: str = ""
    used: set[object] = field(default_factory=set[object])


class _Search:
    def __init__(self, violated: Violated, accept: Callable[[Model], bool]) -> None:
        self._violated = violated
        self._accept = accept
        self._left = ATTEMPTS
        self.outcome = Outcome()

    def attempt(self, literals: Mapping[str, tuple[Literal, ...]], model: Model, name: str | None) -> bool:
        """Try these literals. `name`: the only part with other literals than `model` was made for."""
        self._left -= 1
        if self._left < 0:
            self.outcome.unclear = "the search was given up"
            return True
        try:
            changed = literals if name is None else (name,)
            model = {**model, **{one: _solved(one, literals[one]) for one in changed}}
        except NoValue:
            return False
        except Unclear as why:
            self.outcome.unclear = str(why)
            return False
        found = self._violated(model)
        if found is None:
            if self._accept(model):
                self.outcome.model, self.outcome.unclear = model, ""
                return True
            self.outcome.unclear = "the edge changes a part of the request that is compared"
            return False
        self.outcome.used.add(found[0])
        for index, literal in enumerate(found[1]):
            more = [*(one.negated() for one in found[1][:index]), literal]
            if self.attempt(*_with(literals, model, more)):
                return True
        return False


def _with(
    literals: Mapping[str, tuple[Literal, ...]], model: Model, more: Iterable[Literal]
) -> tuple[Mapping[str, tuple[Literal, ...]], Model, str | None]:
    """The literals and more; each part whose value does not do is named or, if there are several, all are."""
    result = dict(literals)
    parts: set[str] = set()
    for one in more:
        name = one.atom.name
        result[name] = (*result.get(name, ()), one)
        if not one.met(model.get(name)):
            parts.add(name)
    return result, model, next(iter(parts)) if len(parts) == 1 else None


def search(fixed: Iterable[Literal], violated: Violated, accept: Callable[[Model], bool]) -> Outcome:
    """A request that meets `fixed` and violates nothing. `accept` has the last word about it."""
    literals: dict[str, tuple[Literal, ...]] = dict.fromkeys(BASIC, ())
    for one in fixed:
        literals[one.atom.name] = (*literals.get(one.atom.name, ()), one)
    found = _Search(violated, accept)
    found.attempt(literals, {}, None)
    return found.outcome
