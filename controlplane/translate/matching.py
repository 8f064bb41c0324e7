"""Generic matchers (xds.type.matcher.v3): trees on header values, lists of predicates, and conditions.

A nested matcher without a match and without `on_no_match` counts as not matched, so the outer one goes on:
that is how rules fall through, and why no inner `on_no_match` is ever set here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from envoy.extensions.matching.input_matchers.consistent_hashing.v3 import consistent_hashing_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2, regex_pb2, string_pb2

from controlplane.model.documents import Condition, Rule
from controlplane.plan.conditions import carried_in
from controlplane.translate.messages import pack

Matcher = matcher_pb2.Matcher
Predicate = matcher_pb2.Matcher.MatcherList.Predicate
OnMatch = matcher_pb2.Matcher.OnMatch
T = TypeVar("T")


def header_input(name: str) -> extension_pb2.TypedExtensionConfig:
    return extension_pb2.TypedExtensionConfig(
        name="header", typed_config=pack(http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=name))
    )


def regex(pattern: str) -> string_pb2.StringMatcher:
    return string_pb2.StringMatcher(
        safe_regex=regex_pb2.RegexMatcher(google_re2=regex_pb2.RegexMatcher.GoogleRE2(), regex=pattern)
    )


def single(name: str, value: string_pb2.StringMatcher) -> Predicate:
    return Predicate(single_predicate=Predicate.SinglePredicate(input=header_input(name), value_match=value))


def equals(name: str, value: str) -> Predicate:
    return single(name, string_pb2.StringMatcher(exact=value))


def present(name: str) -> Predicate:
    """The header exists, whatever bytes it holds (`\\C` is any byte, also where it is not UTF-8)."""
    return single(name, regex(r"\C*"))


def all_of(predicates: Sequence[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return Predicate(and_matcher=Predicate.PredicateList(predicate=predicates))


def any_of(predicates: Sequence[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return Predicate(or_matcher=Predicate.PredicateList(predicate=predicates))


def negated(predicate: Predicate) -> Predicate:
    return Predicate(not_matcher=predicate)


def condition(value: Condition) -> Predicate:
    """One condition as a predicate on the header that carries its value at the edge."""
    name = carried_in(value)
    if value.operator == "==":
        return equals(name, str(value.value))
    if value.operator == "!=":
        return all_of([present(name), negated(equals(name, str(value.value)))])
    if value.operator == "in":
        assert isinstance(value.value, tuple)
        return any_of([equals(name, choice) for choice in value.value])
    if value.operator == "regex":
        return single(name, regex(str(value.value)))
    return _share(name, float(value.value))  # type: ignore[arg-type]


def _share(name: str, percent: float) -> Predicate:
    # The matcher is met where hash % modulo >= threshold, and a missing input counts as not met.
    threshold = math.ceil(percent)
    if threshold >= 100:
        return present(name)
    hashing = consistent_hashing_pb2.ConsistentHashing(threshold=threshold, modulo=100)
    if threshold == 0:
        return all_of([present(name), negated(present(name))])
    beyond = Predicate(
        single_predicate=Predicate.SinglePredicate(
            input=header_input(name),
            custom_match=extension_pb2.TypedExtensionConfig(
                name="envoy.matching.matchers.consistent_hashing", typed_config=pack(hashing)
            ),
        )
    )
    return all_of([present(name), negated(beyond)])


def rule(value: Rule) -> Predicate:
    parts = [condition(c) for c in value.conditions]
    return all_of(parts) if value.match == "all" else any_of(parts)


def exact_tree(name: str, entries: dict[str, OnMatch]) -> Matcher:
    return Matcher(
        matcher_tree=Matcher.MatcherTree(
            input=header_input(name), exact_match_map=Matcher.MatcherTree.MatchMap(map=entries)
        )
    )


def prefix_tree(name: str, entries: dict[str, OnMatch]) -> Matcher:
    return Matcher(
        matcher_tree=Matcher.MatcherTree(
            input=header_input(name), prefix_match_map=Matcher.MatcherTree.MatchMap(map=entries)
        )
    )


def in_order(steps: Sequence[tuple[Predicate, OnMatch]]) -> Matcher:
    return Matcher(
        matcher_list=Matcher.MatcherList(
            matchers=[Matcher.MatcherList.FieldMatcher(predicate=p, on_match=m) for p, m in steps]
        )
    )


def nested(matcher: Matcher) -> OnMatch:
    return OnMatch(matcher=matcher)


def _pivots(value: Rule) -> dict[str, tuple[str, ...]]:
    """Headers that a match needs with one of these values: what a tree can be keyed by."""
    equal = [c for c in value.conditions if c.operator in ("==", "in")]
    if value.match == "any" and len(value.conditions) > 1:
        names = {carried_in(c) for c in value.conditions}
        if len(equal) != len(value.conditions) or len(names) != 1:
            return {}
        return {names.pop(): tuple(dict.fromkeys(v for c in equal for v in _choices(c)))}
    found: dict[str, tuple[str, ...]] = {}
    for item in equal:
        found.setdefault(carried_in(item), _choices(item))
    return found


def _choices(value: Condition) -> tuple[str, ...]:
    return value.value if isinstance(value.value, tuple) else (str(value.value),)


def _rest(value: Rule, pivot: str) -> list[Predicate]:
    """What is left to test once the pivot's tree has matched."""
    if value.match == "any":
        return []
    rest: list[Predicate] = []
    taken = False
    for item in value.conditions:
        if not taken and carried_in(item) == pivot and item.operator in ("==", "in"):
            taken = True
            continue
        rest.append(condition(item))
    return rest


def first_match(rules: Sequence[tuple[Rule, OnMatch]]) -> Matcher | None:
    """A matcher for the first rule that matches; None for no rules.

    Runs of neighbouring rules that compare one header share a tree on it: its cost does not grow with the
    number of rules. The header that most rules can be keyed by is preferred, so that runs are long.
    """
    popular = Counter(name for value, _ in rules for name in _pivots(value))
    steps: list[tuple[Predicate, OnMatch]] = []
    run: list[tuple[Rule, OnMatch]] = []
    run_pivot = ""

    def close() -> None:
        if run:
            steps.append((present(run_pivot), nested(_tree(run_pivot, run))))
            run.clear()

    for value, action in rules:
        pivots = _pivots(value)
        pivot = max(pivots, key=lambda name: (popular[name], name), default="")
        if pivot != run_pivot:
            close()
        run_pivot = pivot
        if pivot:
            run.append((value, action))
        else:
            steps.append((rule(value), action))
    close()
    if not steps:
        return None
    return in_order(steps)


def _tree(pivot: str, rules: Sequence[tuple[Rule, OnMatch]]) -> Matcher:
    by_value: dict[str, list[tuple[list[Predicate], OnMatch]]] = {}
    for value, action in rules:
        rest = _rest(value, pivot)
        for choice in dict.fromkeys(_pivots(value)[pivot]):
            entries = by_value.setdefault(choice, [])
            if not (entries and not entries[-1][0]):
                entries.append((rest, action))
    tree: dict[str, OnMatch] = {}
    for choice, entries in by_value.items():
        if not entries[0][0]:
            tree[choice] = entries[0][1]
        else:
            tree[choice] = nested(in_order([(all_of(r) if r else present(pivot), a) for r, a in entries]))
    return exact_tree(pivot, tree)
