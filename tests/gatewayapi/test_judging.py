"""HTTPRoutes to routes and to conditions, without an API server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from controlplane.gatewayapi.attachment import common_hosts, selects
from controlplane.gatewayapi.judging import Judged, judge, route_name
from controlplane.gatewayapi.objects import CONTROLLER, Record, World
from controlplane.gatewayapi.status import route_status
from controlplane.model.fields import NAME
from tests.gatewayapi.objects import GATEWAY, record, route, world

A = {"name": "sc-a", "port": 80}


def judged(*routes: Record, **more: Any) -> Judged:
    return judge(world(*routes, **more), {})


def one_rule(**rule: Any) -> tuple[list[dict[str, Any]], dict[str, tuple[bool, str]], str]:
    """The routes of an HTTPRoute with one rule, its conditions, and all their messages."""
    found = judged(route("r", rules=[{"backendRefs": [A], **rule}]))
    said = found.parents["default", "r"][0].conditions
    made = [
        one.model_dump(mode="json", exclude_defaults=True, exclude={"name", "gateway"})
        for one in found.routes.values()
    ]
    return made, {one.type: (one.status, one.reason) for one in said}, " ".join(one.message for one in said)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {
                    "set": [{"name": "x-a", "value": "1"}, {"name": "X-A", "value": "2"}],
                    "add": [{"name": "x-b", "value": "3"}],
                    "remove": ["x-c"],
                },
            },
            {"headers": {"request": {"set": {"x-a": "1"}, "add": {"x-b": "3"}, "remove": ["x-c"]}}},
        ),
        (
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {"set": [{"name": "x-a", "value": "1"}]},
            },
            {"headers": {"response": {"set": {"x-a": "1"}}}},
        ),
        (
            {
                "type": "URLRewrite",
                "urlRewrite": {
                    "hostname": "b.org",
                    "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2/"},
                },
            },
            {"rewrite": {"prefix": "/v2", "host": "b.org"}},
        ),
        (
            {
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}},
            },
            {"rewrite": {"regex": "/.*", "substitution": "/x"}},
        ),
        (
            {
                "type": "CORS",
                "cors": {"allowOrigins": ["https://a.org"], "allowMethods": ["GET"], "maxAge": 9},
            },
            {"cors": {"allow_origins": ["https://a.org"], "allow_methods": ["GET"], "max_age": "9s"}},
        ),
    ],
)
def test_filters(filters: dict[str, Any], expected: dict[str, Any]) -> None:
    made, said, _ = one_rule(filters=[filters], matches=[{"path": {"type": "PathPrefix", "value": "/a/"}}])
    service = {"service": "kubernetes/default//sc-a"}
    assert made == [{"match": {"path": {"prefix": "/a"}}, **service, **expected}]
    assert said["Accepted"] == (True, "Accepted")


def test_a_redirect_calls_no_service() -> None:
    redirect = {
        "scheme": "https",
        "hostname": "b.org",
        "port": 444,
        "statusCode": 301,
        "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"},
    }
    filters = [{"type": "RequestRedirect", "requestRedirect": redirect}]
    made, said, _ = one_rule(filters=filters, backendRefs=[])
    wanted = {"scheme": "https", "host": "b.org", "port": 444, "path": "/x", "status": 301}
    assert made == [{"redirect": wanted}]
    assert said == {"Accepted": (True, "Accepted"), "ResolvedRefs": (True, "ResolvedRefs")}


def test_matches_that_differ_by_path_alone_are_one_route() -> None:
    header = {"headers": [{"name": "x", "value": "1"}, {"name": "X", "value": "2"}]}
    query = {"queryParams": [{"name": "q", "type": "RegularExpression", "value": "[0-9]+"}], "method": "GET"}
    made, _, _ = one_rule(
        matches=[
            {"path": {"type": "Exact", "value": "/a"}, **header},
            {"path": {"type": "RegularExpression", "value": "/b.*"}, **header},
            {"path": {"type": "PathPrefix", "value": "/c"}, **query},
        ]
    )
    paths = [{"exact": "/a"}, {"regex": "/b.*"}]
    assert made[0]["match"] == {"paths": paths, "headers": [{"name": "x", "value": "1"}]}
    assert made[1]["match"]["methods"] == ["GET"]
    assert made[1]["match"]["query"] == [{"name": "q", "operator": "regex", "value": "[0-9]+"}]


@pytest.mark.parametrize(
    ("timeouts", "expected"),
    [
        ({"request": "1h30m"}, "5400s"),
        ({"request": "10s", "backendRequest": "1500ms"}, "1500ms"),
        ({"request": "0s", "backendRequest": "2s"}, "2s"),
        ({"request": "0s"}, "0s"),
    ],
)
def test_timeouts(timeouts: dict[str, str], expected: str) -> None:
    assert one_rule(timeouts=timeouts)[0][0].get("timeout", "0s") == expected


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"backendRefs": [A, {**A, "name": "sc-b"}]}, "names several backends"),
        ({"backendRefs": [{**A, "filters": [{"type": "CORS"}]}]}, "filters of a backendRef"),
        ({"filters": [{"type": "RequestMirror"}]}, "the filter RequestMirror is not supported"),
        ({"retry": {"attempts": 3}}, "retry is not supported"),
        ({"matches": [{"headers": [{"name": "x-envoy-a", "value": "1"}]}]}, "controls the proxies"),
        ({"matches": [{"path": {"type": "RegularExpression", "value": "("}}]}, "is not a regular expression"),
    ],
)
def test_what_a_route_cannot_say(rule: dict[str, Any], said: str) -> None:
    made, conditions, messages = one_rule(**rule)
    assert not made
    assert conditions["Accepted"] == (False, "UnsupportedValue")
    assert "PartiallyInvalid" not in conditions
    assert said in messages


@pytest.mark.parametrize(
    ("backends", "reason"),
    [
        ([{"name": "sc-none", "port": 80}], "BackendNotFound"),
        ([{"name": "sc-a"}], "BackendNotFound"),
        ([{"name": "sc-a", "port": 80, "namespace": "other"}], "RefNotPermitted"),
        ([{"name": "bucket", "kind": "Bucket", "group": "example.com"}], "InvalidKind"),
        ([{**A, "weight": 0}], "ResolvedRefs"),
        ([], "ResolvedRefs"),
    ],
)
def test_without_a_backend_the_answer_is_500(backends: list[dict[str, Any]], reason: str) -> None:
    made, said, _ = one_rule(backendRefs=backends)
    assert made[0]["respond"]["status"] == 500
    assert said["ResolvedRefs"] == (reason == "ResolvedRefs", reason)


def test_the_older_http_route_has_a_match_that_both_have() -> None:
    old = route("z-old", created="2026-01-01T00:00:00Z", rules=[{"backendRefs": [A]}])
    new = route(
        "a-new",
        created="2026-01-02T00:00:00Z",
        rules=[{"matches": [{"path": {"value": "/"}}, {"path": {"value": "/b"}}], "backendRefs": [A]}],
    )
    found = {one.name: one for one in judged(old, new).routes.values()}
    assert [path.prefix for path in found["httproute.default.a-new.00"].match.every_path] == ["/b"]
    assert [path.prefix for path in found["httproute.default.z-old.00"].match.every_path] == ["/"]


def test_the_older_gateway_of_a_name_counts() -> None:
    other = record("gateways", "edge", "other", spec=GATEWAY, created="2026-01-02T00:00:00Z")
    found = judged(gateways=[other])
    assert found.gateways["default", "edge"].name == "edge"
    assert "older Gateway default/edge" in found.gateways["other", "edge"].conditions[0].message


@pytest.mark.parametrize(
    ("listener", "named", "expected"),
    [
        ("", [], None),
        ("", ["a.org"], ["a.org"]),
        ("a.org", [], ["a.org"]),
        ("*.a.org", ["b.a.org", "*.c.a.org", "a.org", "b.org"], ["b.a.org", "*.c.a.org"]),
        ("b.a.org", ["*.a.org", "*.org"], ["b.a.org", "b.a.org"]),
        ("a.org", ["b.org"], []),
    ],
)
def test_hosts_of_listener_and_route(listener: str, named: list[str], expected: list[str] | None) -> None:
    assert common_hosts(listener, named) == expected


def test_a_label_selector() -> None:
    def met(operator: str, *values: str) -> bool:
        expression = {"key": "team", "operator": operator, "values": list(values)}
        return selects({"matchExpressions": [expression]}, {"team": "x"})

    assert met("In", "x", "y")
    assert met("NotIn", "y")
    assert met("Exists")
    assert not met("In", "y")
    assert not met("NotIn", "x")
    assert not met("DoesNotExist")
    assert not selects({"matchLabels": {"team": "y"}}, {"team": "x"})


def test_names_fit() -> None:
    for namespace, name in (("a", "b"), ("n" * 40, "r" * 40), ("n" * 43 + ".x", "r" * 9)):
        made = route_name(namespace, name, 15, 3)
        assert len(made) <= 63
        assert re.fullmatch(NAME[1:-1], made)
    assert route_name("n" * 40, "r" * 40, 0, 0) != route_name("n" * 40, "r" * 41, 0, 0)


def test_the_status_keeps_times_and_what_others_say() -> None:
    theirs = {"controllerName": "example.com/other", "parentRef": {"name": "x"}, "conditions": []}
    first = route("r", rules=[{"backendRefs": [A]}])
    parents = judged(first).parents["default", "r"]
    status = route_status(first, parents, 0.0)
    assert status is not None
    later = route("r", rules=[{"backendRefs": [A]}], status={"parents": [theirs, *status["parents"]]})
    again = route_status(later, parents, 1000.0)
    assert again == {"parents": [theirs, *status["parents"]]}
    # Nothing is written into HTTPRoutes of others, and what was written is taken back.
    assert route_status(route("r", status={"parents": [theirs]}), (), 0.0) is None
    assert route_status(later, (), 0.0) == {"parents": [theirs]}


def test_a_route_that_cannot_be_stored_is_said_to_be_dropped() -> None:
    rules = [{"backendRefs": [A]}, {"matches": [{"path": {"value": "/b"}}], "backendRefs": [A]}]
    given: World = world(route("r", rules=rules))
    key = next(iter(judge(given, {}).routes))
    said = {one.type: one for one in judge(given, {key: "no room"}).parents["default", "r"][0].conditions}
    assert said["Accepted"].status
    assert said["PartiallyInvalid"].message == "Dropped Rule 0: no room"
    assert CONTROLLER == "laneway.dev/gateway"
