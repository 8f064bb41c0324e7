"""Rules compiled to trees choose the first rule that matches, as trying one after the other does.

The matcher that Envoy gets is evaluated here as Envoy evaluates it: a nested matcher that matches nothing
counts as not matched, so that the list around it goes on (the Matcher API's page in Envoy's documentation,
docs/root/intro/arch_overview/advanced/matching/matching_api.rst; seen on Envoy 1.40).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import xxhash
from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from xds.type.matcher.v3 import matcher_pb2

from controlplane.model.conditions import Condition, Rule
from controlplane.plan import conditions
from controlplane.translate import matching
from controlplane.translate.routes import act

Headers = Mapping[str, str]


def chosen(matcher: matcher_pb2.Matcher, headers: Headers) -> str | None:
    """The name of the route that `matcher` picks."""
    if matcher.HasField("matcher_list"):
        for one in matcher.matcher_list.matchers:
            if met(one.predicate, headers) and (found := outcome(one.on_match, headers)) is not None:
                return found
    else:
        value = read(matcher.matcher_tree.input, headers)
        entries = matcher.matcher_tree.exact_match_map.map
        if value is not None and value in entries:
            found = outcome(entries[value], headers)
            if found is not None:
                return found
    return outcome(matcher.on_no_match, headers) if matcher.HasField("on_no_match") else None


def outcome(on_match: matcher_pb2.Matcher.OnMatch, headers: Headers) -> str | None:
    if on_match.HasField("matcher"):
        return chosen(on_match.matcher, headers)
    route = route_components_pb2.Route()
    assert on_match.action.typed_config.Unpack(route)
    return route.name


def read(source: object, headers: Headers) -> str | None:
    given_input = http_inputs_pb2.HttpRequestHeaderMatchInput()
    assert source.typed_config.Unpack(given_input)  # type: ignore[attr-defined]
    return headers.get(given_input.header_name)


def met(predicate: matcher_pb2.Matcher.MatcherList.Predicate, headers: Headers) -> bool:
    kind = predicate.WhichOneof("match_type")
    if kind == "and_matcher":
        return all(met(part, headers) for part in predicate.and_matcher.predicate)
    if kind == "or_matcher":
        return any(met(part, headers) for part in predicate.or_matcher.predicate)
    if kind == "not_matcher":
        return not met(predicate.not_matcher, headers)
    single = predicate.single_predicate
    value = read(single.input, headers)
    if value is None:
        return False
    if single.HasField("custom_match"):
        ip = matching.ip_pb2.Ip()
        if single.custom_match.typed_config.Unpack(ip):
            networks = [ip_network((r.address_prefix, r.prefix_len.value)) for r in ip.cidr_ranges]
            return any(ip_address(value) in one for one in networks)
        hashing = matching.consistent_hashing_pb2.ConsistentHashing()
        assert single.custom_match.typed_config.Unpack(hashing)
        return xxhash.xxh64_intdigest(value.encode()) % hashing.modulo >= hashing.threshold
    how = single.value_match.WhichOneof("match_pattern")
    if how == "exact":
        return value == single.value_match.exact
    if how == "prefix":
        return value.startswith(single.value_match.prefix)
    if how == "safe_regex":
        return conditions.full_match(single.value_match.safe_regex.regex, value.encode())
    raise AssertionError(f"a predicate of the kind {how}")


names = st.sampled_from(("canary", "user", "beta"))
addresses = st.sampled_from(("10.1.2.3", "10.9.9.9", "::ffff:10.1.2.3", "fd00::1", "192.0.2.1", "::1"))
networks = st.sampled_from(("10.0.0.0/8", "10.1.2.3", "::ffff:10.1.0.0/112", "fd00::/8", "0.0.0.0/0"))
texts = st.sampled_from(("", "gray", "red", "blue"))
one_condition = st.one_of(
    st.builds(
        Condition, source=st.just("header"), name=names, operator=st.sampled_from(("==", "!=")), value=texts
    ),
    st.builds(
        Condition,
        source=st.just("header"),
        name=names,
        operator=st.just("in"),
        value=st.lists(texts, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        Condition,
        source=st.just("header"),
        name=names,
        operator=st.just("percentage"),
        value=st.sampled_from((0, 30, 60, 100)),
    ),
    st.builds(
        Condition,
        source=st.just("header"),
        name=names,
        operator=st.just("regex"),
        value=st.sampled_from(("g.*", "(red|blue)", ".*")),
    ),
    st.builds(
        Condition,
        source=st.just("header"),
        name=names,
        operator=st.just("prefix"),
        value=st.sampled_from(("g", "re", "blue")),
    ),
    st.builds(
        Condition, source=st.just("header"), name=names, operator=st.sampled_from(("exists", "absent"))
    ),
    st.builds(
        Condition,
        source=st.just("client_address"),
        operator=st.sampled_from(("in", "!=")),
        value=st.lists(networks, min_size=1, max_size=3).map(tuple),
    ),
)
rules = st.builds(
    Rule,
    match=st.sampled_from(("all", "any")),
    conditions=st.lists(one_condition, min_size=1, max_size=3).map(tuple),
)


@given(
    st.lists(rules, min_size=1, max_size=8),
    st.lists(st.tuples(st.dictionaries(names, texts, max_size=3), addresses), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=300)
def test_trees_choose_the_first_rule_that_matches(
    tried: list[Rule], requests: list[tuple[dict[str, str], str]]
) -> None:
    actions = [(rule, act(route_components_pb2.Route(name=str(at)))) for at, rule in enumerate(tried)]
    matcher = matching.first_match(actions)
    assert matcher is not None
    for given_headers, address in requests:
        headers = given_headers | {conditions.CLIENT_HEADER: address}
        values = {name: value.encode() for name, value in headers.items()}
        first = next((str(at) for at, rule in enumerate(tried) if conditions.matches(rule, values)), None)
        assert chosen(matcher, headers) == first


def test_no_rules_make_no_matcher() -> None:
    assert matching.first_match([]) is None


def test_lanes_that_compare_one_header_cost_one_look_up_whatever_their_number() -> None:
    tried = [
        Rule(conditions=(Condition(source="header", name="user", operator="==", value=f"u{at}"),))
        for at in range(1_000)
    ]
    matcher = matching.first_match(
        [(rule, act(route_components_pb2.Route(name=str(at)))) for at, rule in enumerate(tried)]
    )
    assert matcher is not None
    assert len(matcher.matcher_tree.exact_match_map.map) == 1_000
    assert chosen(matcher, {"user": "u999"}) == "999"
