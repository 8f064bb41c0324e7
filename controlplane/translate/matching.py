"""Generic matchers (xds.type.matcher.v3): trees on header values, lists of predicates, and conditions.

A nested matcher without a match and without `on_no_match` counts as not matched, so the outer one goes on:
that is how rules fall through. An inner `on_no_match` ends that, so only `chain` sets one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from envoy.config.core.v3 import address_pb2
from envoy.extensions.matching.input_matchers.consistent_hashing.v3 import consistent_hashing_pb2
from envoy.extensions.matching.input_matchers.ip.v3 import ip_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf import message, wrappers_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2, regex_pb2, string_pb2

from controlplane.model.conditions import Condition, Rule
from controlplane.plan.conditions import carried_in, networks_of, texts
from controlplane.translate.messages import pack

Matcher = matcher_pb2.Matcher
Predicate = matcher_pb2.Matcher.MatcherList.Predicate
OnMatch = matcher_pb2.Matcher.OnMatch
T = TypeVar("T")


def header_input(name: str) -> extension_pb2.TypedExtensionConfig:
    """The value of a request header as the input of a matcher. `name`: lower case, or a pseudo-header as
    `:path`.
    """
    return extension_pb2.TypedExtensionConfig(
        name="header", typed_config=pack(http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=name))
    )


def regex(pattern: str) -> string_pb2.StringMatcher:
    """Matches a string that `pattern`, in RE2's syntax, matches as a whole."""
    return string_pb2.StringMatcher(
        safe_regex=regex_pb2.RegexMatcher(google_re2=regex_pb2.RegexMatcher.GoogleRE2(), regex=pattern)
    )


def single(name: str, value: string_pb2.StringMatcher) -> Predicate:
    """The value of the request header `name` matches `value`. Without the header, it does not match."""
    return Predicate(single_predicate=Predicate.SinglePredicate(input=header_input(name), value_match=value))


def contains(name: str, part: str) -> Predicate:
    """The value of the request header `name` contains `part`."""
    return single(name, string_pb2.StringMatcher(contains=part))


def starts(name: str, prefix: str) -> Predicate:
    """The value of the request header `name` begins with `prefix`."""
    return single(name, string_pb2.StringMatcher(prefix=prefix))


def equals(name: str, value: str) -> Predicate:
    """The value of the request header `name` is `value`."""
    return single(name, string_pb2.StringMatcher(exact=value))


def present(name: str) -> Predicate:
    r"""The request header `name` exists, whatever bytes it holds (`\C` matches any byte, also outside of
    UTF-8).
    """
    return single(name, regex(r"\C*"))


def all_of(predicates: Sequence[Predicate]) -> Predicate:
    """Each of `predicates` holds. There must be at least one: Envoy rejects an empty list."""
    if len(predicates) == 1:
        return predicates[0]
    return Predicate(and_matcher=Predicate.PredicateList(predicate=predicates))


def any_of(predicates: Sequence[Predicate]) -> Predicate:
    """At least one of `predicates` holds. There must be at least one: Envoy rejects an empty list."""
    if len(predicates) == 1:
        return predicates[0]
    return Predicate(or_matcher=Predicate.PredicateList(predicate=predicates))


def negated(predicate: Predicate) -> Predicate:
    """`predicate` does not hold."""
    return Predicate(not_matcher=predicate)


def condition(value: Condition) -> Predicate:
    """One condition of a lane's rule: a predicate on the header that holds its value at the edge."""
    name = carried_in(value)
    if value.source == "client_address":
        inside = _in_networks(name, value)
        return inside if value.operator == "in" else all_of([present(name), negated(inside)])
    match value.operator:
        case "exists":
            return present(name)
        case "absent":
            return negated(present(name))
        case "percentage":
            return _share(name, int(value.value))  # type: ignore[arg-type]
        case "regex":
            return single(name, regex(str(value.value)))
        case "prefix":
            return single(name, string_pb2.StringMatcher(prefix=texts(value)[0]))
        case "!=":
            return all_of([present(name), negated(equals(name, texts(value)[0]))])
        case "==" | "in":
            return any_of([equals(name, choice) for choice in texts(value)])


def _custom(name: str, matcher: str, config: message.Message) -> Predicate:
    """What the extension `matcher` finds in the header `name`; a missing header is not met."""
    return Predicate(
        single_predicate=Predicate.SinglePredicate(
            input=header_input(name),
            custom_match=extension_pb2.TypedExtensionConfig(name=matcher, typed_config=pack(config)),
        )
    )


def _in_networks(name: str, value: Condition) -> Predicate:
    """The address in the header `name` is in one of the networks; Envoy looks it up in a trie."""
    ranges = [
        address_pb2.CidrRange(
            address_prefix=str(one.network_address),
            prefix_len=wrappers_pb2.UInt32Value(value=one.prefixlen),
        )
        for one in networks_of(value)
    ]
    config = ip_pb2.Ip(cidr_ranges=ranges, stat_prefix="client_address")
    return _custom(name, "envoy.matching.matchers.ip", config)


def _share(name: str, percent: int) -> Predicate:
    # The matcher is met where hash % modulo >= threshold, and a missing input counts as not met.
    if percent >= 100:
        return present(name)
    if percent == 0:
        return all_of([present(name), negated(present(name))])
    hashing = consistent_hashing_pb2.ConsistentHashing(threshold=percent, modulo=100)
    beyond = _custom(name, "envoy.matching.matchers.consistent_hashing", hashing)
    return all_of([present(name), negated(beyond)])


def rule(value: Rule) -> Predicate:
    """The rule of a lane: all, or any, of its conditions."""
    parts = [condition(c) for c in value.conditions]
    return all_of(parts) if value.match == "all" else any_of(parts)


def exact_tree(name: str, entries: dict[str, OnMatch]) -> Matcher:
    """Chooses by the whole value of the request header `name`; any number of `entries` costs the same."""
    return Matcher(
        matcher_tree=Matcher.MatcherTree(
            input=header_input(name), exact_match_map=Matcher.MatcherTree.MatchMap(map=entries)
        )
    )


def prefix_tree(name: str, entries: dict[str, OnMatch]) -> Matcher:
    """Chooses by the longest key of `entries` with which the value of the request header `name` begins."""
    return Matcher(
        matcher_tree=Matcher.MatcherTree(
            input=header_input(name), prefix_match_map=Matcher.MatcherTree.MatchMap(map=entries)
        )
    )


def in_order(steps: Sequence[tuple[Predicate, OnMatch]]) -> Matcher:
    """The action of the first of `steps` whose predicate holds. The cost grows with their number."""
    return Matcher(
        matcher_list=Matcher.MatcherList(
            matchers=[Matcher.MatcherList.FieldMatcher(predicate=p, on_match=m) for p, m in steps]
        )
    )


def nested(matcher: Matcher) -> OnMatch:
    """`matcher` as the action of another one, which goes on if `matcher` finds nothing."""
    return OnMatch(matcher=matcher)


def chain(matchers: Sequence[Matcher], last: OnMatch) -> OnMatch:
    """Tries `matchers` in order until one finds something, else `last`. Sets `on_no_match` of the given
    matchers.
    """
    found = last
    for matcher in reversed(matchers):
        matcher.on_no_match.CopyFrom(found)
        found = nested(matcher)
    return found


def _pivots(value: Rule) -> dict[str, tuple[str, ...]]:
    """Headers that a match needs with one of these values: what a tree can be keyed by."""
    equal = [c for c in value.conditions if _compares(c)]
    if value.match == "any" and len(value.conditions) > 1:
        names = {carried_in(c) for c in value.conditions}
        if len(equal) != len(value.conditions) or len(names) != 1:
            return {}
        return {names.pop(): tuple(dict.fromkeys(v for c in equal for v in texts(c)))}
    found: dict[str, tuple[str, ...]] = {}
    for item in equal:
        found.setdefault(carried_in(item), texts(item))
    return found


def _compares(value: Condition) -> bool:
    """Whether it is met by certain texts and by nothing else."""
    return value.operator in ("==", "in") and value.source != "client_address"


def _rest(value: Rule, pivot: str) -> list[Predicate]:
    """What is left to test once the pivot's tree has matched."""
    if value.match == "any":
        return []
    rest: list[Predicate] = []
    taken = False
    for item in value.conditions:
        if not taken and carried_in(item) == pivot and _compares(item):
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
    if len(steps) == 1 and steps[0][1].HasField("matcher"):
        return steps[0][1].matcher  # a tree alone: that its header is there goes without saying
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
