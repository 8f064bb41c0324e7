"""Wrong values by field, hostile texts. Every field in turn: tests/admin/test_every_field.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model.loading import DEPTH_LIMIT, SIZE_LIMIT, load_json, load_yaml
from controlplane.model.parsing import parse_document, parse_documents
from controlplane.model.problems import DefinitionError

GATEWAY = {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080, "address": "0.0.0.0"}]}
ROUTE = {"kind": "Route", "gateway": "edge", "name": "a", "service": "sc-A"}
APPLICATION = {"kind": "Application", "name": "app", "services": ["sc-A"]}
GROUP = {"kind": "LaneGroup", "name": "g", "gateway": "edge", "applications": ["app"]}
CONDITION = {"source": "header", "name": "canary", "operator": "==", "value": "gray"}
METHOD: dict[str, Any] = {"source": "method", "name": None, "operator": "==", "value": "GET"}
ADDRESS: dict[str, Any] = {
    "source": "client_address",
    "name": None,
    "operator": "in",
    "value": ["10.0.0.0/8"],
}
LANE = {"kind": "Lane", "group": "g", "name": "gray", "tag": "Gray", "rule": {"conditions": [CONDITION]}}
PAIR = {"certificate": "/tls/a.crt", "key": "/tls/a.key"}


def listening(**fields: Any) -> dict[str, Any]:
    return {"listeners": [{"port": 8443, **fields}]}


WRONG_GATEWAYS: list[tuple[dict[str, Any], str]] = [
    (listening(tls={}), "listeners[0].tls"),
    (listening(tls={"certificate": "/a"}), "listeners[0].tls.key"),
    (listening(tls={"certificate": "a", "key": "/a"}), "listeners[0].tls.certificate"),
    (listening(tls={"certificate": "/a/a", "key": "/b/a"}), "listeners[0].tls.key"),
    (listening(tls={**PAIR, "secret": "a"}), "listeners[0].tls.secret"),
    (listening(tls={"secret": "a/b"}), "listeners[0].tls.secret"),
    (listening(tls={"sni": [{"hosts": ["a.b"]}]}), "listeners[0].tls.sni[0].certificate"),
    (listening(tls=PAIR, redirect_to_https=443), "listeners[0].redirect_to_https"),
    (listening(tls={"sni": [{"hosts": ["10.0.0.*"], **PAIR}]}), "listeners[0].tls.sni[0].hosts[0]"),
    (listening(tls={"sni": [{"hosts": ["a.b", "A.b"], **PAIR}]}), "listeners[0].tls.sni[0].hosts[1]"),
    (listening(proxy_protocol=False), "listeners[0].proxy_protocol"),
    ({"keep_request_id": True}, "keep_request_id"),
    ({"header_limits": {"kib": 0}}, "header_limits.kib"),
    ({"header_limits": {"lines": 1001}}, "header_limits.lines"),
    ({"access_log": {}}, "access_log.path"),
    ({"access_log": {"path": "log"}}, "access_log.path"),
    ({"access_log": {"path": "/log", "format": "xml"}}, "access_log.format"),
]
PREFIX = {"path": {"prefix": "/a"}}
CORS = {"allow_origins": ["https://a.test"]}
WRONG_ROUTES: list[tuple[dict[str, Any], str]] = [
    *(
        ({"headers": {"request": {"set": {name: "v"}}}}, f"headers.request.set.{name}")
        for name in (
            "host", "Host", ":path", ":authority", "x-lane", "X-Lane", "x_lane", "baggage", "tracestate",
            "traceparent", "x-request-id", "b3", "x-laneway-unreached", "x_laneway_served",
            "X-Envoy-Retry-On",
            "content-length", "Transfer-Encoding", "connection", "a b", "",
        )
    ),
    ({"headers": {"request": {"add": {"baggage": "lane=x"}}}}, "headers.request.add.baggage"),
    ({"headers": {"request": {"remove": ["x-a", "x-lane"]}}}, "headers.request.remove[1]"),
    ({"headers": {"response": {"remove": ["x-laneway-reason"]}}}, "headers.response.remove[0]"),
    ({"headers": {"response": {"set": {"server": "x"}}}}, "headers.response.set.server"),
    ({"headers": {"request": {"set": {"x-a": "1\r\nx-lane: gray"}}}}, "headers.request.set.x-a"),
    ({"headers": {"request": {"set": {"x-a": ""}}}}, "headers.request.set.x-a"),
    ({"headers": {"request": {"set": {"x-a": "1"}, "remove": ["X-A"]}}}, "headers.request"),
    ({"rewrite": {}}, "rewrite"),
    ({"rewrite": {"prefix": "/", "regex": "a", "substitution": "b"}}, "rewrite.regex"),
    ({"rewrite": {"regex": "a"}}, "rewrite.substitution"),
    ({"rewrite": {"regex": "(a){1,200}", "substitution": "b"}}, "rewrite.regex"),
    ({"rewrite": {"regex": "a*", "substitution": "b"}}, "rewrite.regex"),
    ({"rewrite": {"regex": "(a)", "substitution": "\\2"}}, "rewrite.substitution"),
    ({"rewrite": {"regex": "(a)", "substitution": "\\x"}}, "rewrite.substitution"),
    ({"rewrite": {"regex": "a", "substitution": "b?c"}}, "rewrite.substitution"),
    ({"rewrite": {"regex": "^/a", "substitution": "b"}}, "rewrite.substitution"),
    ({"rewrite": {"host": "http://a"}}, "rewrite.host"),
    ({"match": {"path": {"exact": "/a"}}, "rewrite": {"prefix": "/"}}, "rewrite.prefix"),
    ({"match": {"paths": [{"prefix": "/a"}, {"regex": "/b"}]}, "rewrite": {"prefix": "/"}}, "rewrite.prefix"),
    ({"match": {"path": {"prefix": "/a"}, "paths": [{"prefix": "/b"}]}}, "match.paths"),
    ({"match": {"path": {"regex": "/a", "ignore_case": True}}}, "match.path.ignore_case"),
    ({"match": {"methods": ["get"]}}, "match.methods[0]"),
    ({"match": {"methods": ["GET", "GET"]}}, "match.methods[1]"),
    ({"match": {"headers": [{"name": ":path", "value": "/"}]}}, "match.headers[0].name"),
    ({"match": {"headers": [{"name": "a", "operator": "regex", "value": "("}]}}, "match.headers[0].value"),
    ({"cors": {**CORS, "allow_origins": ["shop.test"]}}, "cors.allow_origins[0]"),
    ({"cors": {**CORS, "allow_origins": ["https://a.*.test"]}}, "cors.allow_origins[0]"),
    ({"cors": {"allow_origins": ["*"], "allow_credentials": True}}, "cors.allow_credentials"),
    ({"retries": {}}, "retries"),
    ({"retries": {"conditions": ["5XX"]}}, "retries.conditions[0]"),
    ({"retries": {"statuses": [200]}}, "retries.statuses[0]"),
    ({"retries": {"conditions": ["5xx"], "tries": 11}}, "retries.tries"),
    ({"timeout": "1s", "retries": {"per_try_timeout": "2s"}}, "retries.per_try_timeout"),
    ({"redirect": {"port": 1}}, "redirect"),
    ({"service": None}, "service"),
    ({"service": None, "redirect": {}}, "redirect"),
    ({"service": None, "match": PREFIX, "redirect": {"path": "/", "prefix": "/"}}, "redirect.prefix"),
    ({"service": None, "match": {"path": {"exact": "/"}}, "redirect": {"prefix": "/"}}, "redirect.prefix"),
    ({"service": None, "redirect": {"port": 1}, "retries": {"statuses": [500]}}, "retries"),
    (
        {"service": None, "redirect": {"port": 1}, "headers": {"request": {"remove": ["a"]}}},
        "headers.request",
    ),
    ({"service": None, "respond": {"status": 99}}, "respond.status"),
    ({"service": None, "respond": {"status": 204, "body": "x"}}, "respond.body"),
    ({"service": None, "respond": {"status": 200, "body": "ä" * 2049}}, "respond.body"),
]  # fmt: skip
RATIO = {"kind": "Lane", "group": "g", "name": "gray", "tag": "gray", "ratio": {"percent": 30.25}}
KINDS = [GATEWAY, ROUTE, APPLICATION, GROUP, LANE, RATIO]


def refused(document: Any) -> dict[str, Any]:
    """The problems of a document by field."""
    with pytest.raises(DefinitionError) as error:
        parse_document(document)
    assert error.value.status == 422
    assert all(problem.message and problem.remedy for problem in error.value.problems)
    return {problem.field: problem for problem in error.value.problems}


@pytest.mark.parametrize("document", KINDS)
def test_good_documents(document: dict[str, Any]) -> None:
    parsed = parse_document(document)
    again = parse_document(parsed.document.model_dump(mode="json"))
    assert again == parsed


@pytest.mark.parametrize("document", KINDS)
def test_unknown_fields_name_the_nearest(document: dict[str, Any]) -> None:
    problem = refused(document | {"naem": 1})["naem"]
    assert problem.remedy == "did you mean name?"


@pytest.mark.parametrize(
    ("base", "change", "field"),
    [
        (GATEWAY, {"listeners": []}, "listeners"),
        (GATEWAY, {"listeners": [{"port": 0}]}, "listeners[0].port"),
        (GATEWAY, {"listeners": [{"port": 65536}]}, "listeners[0].port"),
        (GATEWAY, {"listeners": [{"port": True}]}, "listeners[0].port"),
        (GATEWAY, {"listeners": [{"port": 1, "address": "host"}]}, "listeners[0].address"),
        (GATEWAY, {"listeners": [{"port": 1}, {"port": 1, "address": "127.0.0.1"}]}, "listeners[1]"),
        (GATEWAY, {"trusted_hops": 101}, "trusted_hops"),
        (GATEWAY, {"carriers": {"header": "x-envoy-lane"}}, "carriers.header"),
        (GATEWAY, {"carriers": {"header": "Host"}}, "carriers.header"),
        (GATEWAY, {"carriers": {"baggage": "a b"}}, "carriers.baggage"),
        (GATEWAY, {"carriers": {"baggage": "a+b"}}, "carriers.baggage"),
        (GATEWAY, {"carriers": {"baggage": "%6Cane"}}, "carriers.baggage"),
        (GATEWAY, {"carriers": {"heder": "x"}}, "carriers.heder"),
        (ROUTE, {"match": {"path": {}}}, "match.path"),
        (ROUTE, {"match": {"path": {"prefix": "/a", "exact": "/a"}}}, "match.path"),
        (ROUTE, {"match": {"path": {"prefix": "a"}}}, "match.path.prefix"),
        (ROUTE, {"match": {"path": {"exact": "/a?b"}}}, "match.path.exact"),
        (ROUTE, {"match": {"path": {"regex": "(?=a)"}}}, "match.path.regex"),
        (ROUTE, {"match": {"path": {"regex": "(abc){1,50}"}}}, "match.path.regex"),
        (ROUTE, {"match": {"path": {"regex": "a" * 1025}}}, "match.path.regex"),
        (ROUTE, {"match": {"hosts": ["a.b:80"]}}, "match.hosts[0]"),
        (ROUTE, {"match": {"hosts": ["ok.example", "*"]}}, "match.hosts[1]"),
        (ROUTE, {"match": {"hosts": ["a.*.b"]}}, "match.hosts[0]"),
        (ROUTE, {"timeout": "5"}, "timeout"),
        (ROUTE, {"timeout": "5s "}, "timeout"),
        (ROUTE, {"timeout": "9999h"}, "timeout"),
        (ROUTE, {"service": "a\nb"}, "service"),
        (ROUTE, {"priority": 1.5}, "priority"),
        *((GATEWAY, change, field) for change, field in WRONG_GATEWAYS),
        *((ROUTE, change, field) for change, field in WRONG_ROUTES),
        (APPLICATION, {"services": ["a", "a"]}, "services[1]"),
        (APPLICATION, {"health_check": {"path": "/", "interval": "0s"}}, "health_check.interval"),
        (GROUP, {"applications": []}, "applications"),
        (GROUP, {"inherit_tag": "yes"}, "inherit_tag"),
        (GROUP, {"colour_by_trace": "yes"}, "colour_by_trace"),
        (LANE, {"name": "Gray"}, "name"),
        (LANE, {"name": "gray\n"}, "name"),
        (LANE, {"tag": "a b"}, "tag"),
        (LANE, {"routes": []}, "routes"),
        (LANE, {"fallback": "other"}, "fallback"),
        (LANE, {"fallback": {"a": "other"}}, "fallback.a"),
        (LANE, {"rule": None}, "rule"),
        (LANE, {"ratio": {"percent": 1}}, "ratio"),
        (RATIO, {"ratio": {"percent": 1.001}}, "ratio.percent"),
        (RATIO, {"ratio": {"percent": 100.01}}, "ratio.percent"),
        (RATIO, {"ratio": {"percent": -1}}, "ratio.percent"),
        (RATIO, {"ratio": {"percent": 1, "routes": {"a": 0.005}}}, "ratio.routes.a"),
        (RATIO, {"ratio": {"percent": 1, "sticky": {}}}, "ratio.sticky"),
        (
            RATIO,
            {"ratio": {"percent": 1, "sticky": {"client_address": False}}},
            "ratio.sticky.client_address",
        ),
        (RATIO, {"ratio": {"percent": 1, "sticky": {"header": "x-envoy-a"}}}, "ratio.sticky.header"),
        (RATIO, {"routes": ["a"], "ratio": {"percent": 1, "routes": {"b": 1}}}, "ratio.routes.b"),
        (RATIO, {"status": {"slots": {"a": [[1, 1]]}}}, "status.slots.a"),
        (RATIO, {"status": {"slots": {"a": [[5, 6], [0, 1]]}}}, "status.slots.a"),
        (RATIO, {"status": {"slots": {"a": [[0, 10001]]}}}, "status.slots.a"),
        (RATIO, {"status": []}, "status"),
        (RATIO, {"kind": "Lan"}, "kind"),
        (RATIO, {"kind": ["Lane"]}, "kind"),
    ],
)
def test_a_wrong_value_names_its_field(base: dict[str, Any], change: dict[str, Any], field: str) -> None:
    assert list(refused(base | change)) == [field]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "body"}, "source"),
        ({"name": ""}, "name"),
        ({"name": ":path"}, "name"),
        ({"name": "X-Envoy-Original"}, "name"),
        ({"name": "x-laneway-q"}, "name"),
        ({"name": "a b"}, "name"),
        ({"source": "cookie", "name": "a=b"}, "name"),
        ({"source": "query", "name": "a\0"}, "name"),
        ({"operator": "="}, "operator"),
        ({"value": 5}, "value"),
        ({"value": True}, "value"),
        ({"value": None}, "value"),
        ({"value": "a\r\nb"}, "value"),
        ({"value": ["a"]}, "value"),
        ({"operator": "in"}, "value"),
        ({"operator": "in", "value": []}, "value"),
        ({"operator": "in", "value": [1]}, "value[0]"),
        ({"operator": "percentage"}, "value"),
        ({"operator": "percentage", "value": 101}, "value"),
        ({"operator": "percentage", "value": -0.5}, "value"),
        ({"operator": "percentage", "value": 29.5}, "value"),
        ({"operator": "prefix", "value": ""}, "value"),
        ({"operator": "prefix", "value": ["a"]}, "value"),
        ({"operator": "exists"}, "value"),
        ({"operator": "absent"}, "value"),
        ({"source": "method"}, "name"),
        (METHOD | {"value": "get"}, "value"),
        (METHOD | {"operator": "in", "value": ["GET", "a b"]}, "value[1]"),
        (METHOD | {"source": "path", "value": "a"}, "value"),
        (METHOD | {"source": "path", "value": "/a?b"}, "value"),
        (METHOD | {"source": "path", "operator": "prefix", "value": "a"}, "value"),
        (METHOD | {"source": "host", "value": "a.example:80"}, "value"),
        (METHOD | {"source": "host", "value": "[::1]:80"}, "value"),
        (METHOD | {"source": "host", "operator": "in", "value": ["a.example", "*.example"]}, "value[1]"),
        (ADDRESS | {"name": "x"}, "name"),
        (ADDRESS | {"operator": "==", "value": "10.0.0.1"}, "operator"),
        (ADDRESS | {"operator": "exists", "value": None}, "operator"),
        (ADDRESS | {"value": "10.0.0.0/8"}, "value"),
        (ADDRESS | {"value": []}, "value"),
        (ADDRESS | {"value": None}, "value"),
        (ADDRESS | {"value": ["10.0.0.0/8", "office"]}, "value[1]"),
        (ADDRESS | {"value": ["10.0.0.0/33"]}, "value[0]"),
        (ADDRESS | {"value": ["10.0.0.0/255.0.0.0"]}, "value[0]"),
        (ADDRESS | {"value": ["10.0.0.1/8"]}, "value[0]"),
        (ADDRESS | {"value": ["fe80::1%eth0"]}, "value[0]"),
        (ADDRESS | {"operator": "!=", "value": "10.0.0"}, "value"),
        ({"operator": "regex", "value": "("}, "value"),
        ({"operator": "regex", "value": "\\1"}, "value"),
        ({"operator": "regex", "value": "a{1001}"}, "value"),
    ],
)
def test_conditions(change: dict[str, Any], field: str) -> None:
    assert list(refused(LANE | {"rule": {"conditions": [CONDITION | change]}})) == [
        f"rule.conditions[0].{field}"
    ]


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"operator": "percentage", "value": 29.5}, "write 29 or 30"),
        (METHOD | {"value": "get"}, "write GET"),
        (METHOD | {"source": "path", "value": "a"}, "write /a"),
        (METHOD | {"source": "host", "value": "a.example:80"}, "write a.example"),
        (ADDRESS | {"value": ["10.0.0.1/8"]}, "write 10.0.0.0/8"),
        (ADDRESS | {"operator": "=="}, "client_address takes in and != with networks"),
    ],
)
def test_what_to_write_instead_is_told(change: dict[str, Any], remedy: str) -> None:
    (problem,) = refused(LANE | {"rule": {"conditions": [CONDITION | change]}}).values()
    assert problem.remedy == remedy


@pytest.mark.parametrize(
    "change",
    [
        METHOD,
        METHOD | {"source": "path", "operator": "percentage", "value": 30.0},
        METHOD | {"source": "host", "operator": "prefix", "value": "Shop."},
        METHOD | {"source": "host", "value": "[::1]"},
        METHOD | {"operator": "absent", "value": None},
        ADDRESS,
        ADDRESS | {"operator": "!=", "value": "10.0.0.0/8"},
        ADDRESS | {"operator": "!=", "value": ["10.0.0.0/8", "::1", "fd00::/8"]},
        {"operator": "exists", "value": None},
    ],
)
def test_sources_and_operators(change: dict[str, Any]) -> None:
    condition = {name: value for name, value in (CONDITION | change).items() if value is not None}
    parsed = parse_document(LANE | {"rule": {"conditions": [condition]}})
    assert parse_document(parsed.document.model_dump(mode="json")) == parsed
    assert parsed.document.model_dump(mode="json")["rule"]["conditions"] == [condition]


@pytest.mark.parametrize(
    "text",
    [
        "operator: !=",
        "operator: != # not",
        "a: {operator: !=, value: b}",
        "a: {operator: !=}",
        "a:\n- operator: !=\n  value: b",
    ],
)
def test_an_unquoted_inequality_is_to_be_quoted(text: str) -> None:
    with pytest.raises(DefinitionError) as error:
        load_yaml(text.encode())
    (problem,) = error.value.problems
    assert problem.remedy == 'quote it: "!="'


def test_an_empty_list_of_conditions_is_refused() -> None:
    assert "rule.conditions" in refused(LANE | {"rule": {"conditions": []}})


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x",
        "a: 1\na: 2",
        "{a: {b: 1, b: 2}}",
        "!!python/object:os.system {}",
        "!!binary aaaa",
        "? [a]\n: 1",
        "a: [",
        "\t- a",
        "a: \x01",
        "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1),
        "[" * 100_000,
        "- " * 50_000,
        "a: 'x",
        "%YAML 9.9\n---\na",
    ],
)
def test_hostile_yaml_is_400(text: str) -> None:
    with pytest.raises(DefinitionError) as error:
        load_yaml(text.encode())
    assert error.value.status == 400
    assert len(str(error.value)) < 2000


def test_a_bomb_of_anchors_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    with pytest.raises(DefinitionError, match="alias"):
        load_yaml("\n".join(lines).encode())


@pytest.mark.parametrize("load", [load_json, load_yaml])
def test_size_and_encoding(load: Any) -> None:
    with pytest.raises(DefinitionError) as error:
        load(b"x" * (SIZE_LIMIT + 1))
    assert error.value.status == 413
    with pytest.raises(DefinitionError) as error:
        load(b"a: \xff")
    assert error.value.status == 400


def test_only_plain_words_and_numbers_are_not_text() -> None:
    text = (
        "[on, no, yes, true, False, null, ~, 1, -2, 1.5, 1e3, 0x10, 010, 1_000, 2020-01-01, 1:30,"
        " '1', \"true\", .nan]"
    )
    assert load_yaml(text.encode()) == [
        ["on", "no", "yes", True, False, None, None, 1, -2, 1.5, "1e3", "0x10", "010", "1_000", "2020-01-01",
         "1:30", "1", "true", ".nan"]
    ]  # fmt: skip


@settings(deadline=None)
@given(st.recursive(st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(), st.lists))
def test_no_document_breaks_the_parser(value: Any) -> None:
    for body in (value, {"kind": "Lane", "name": value}, LANE | {"rule": value}, RATIO | {"ratio": value}):
        with pytest.raises(DefinitionError):
            parse_documents(json.dumps([body]).encode(), yaml=False)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_break_the_loaders(data: bytes) -> None:
    for load in (load_json, load_yaml):
        try:
            load(data)
        except DefinitionError as error:
            assert error.status == 400  # noqa: PT017 - most bytes are refused, some are not


def test_the_text_of_an_error_says_nothing_twice() -> None:
    with pytest.raises(DefinitionError) as one:
        parse_document({**ROUTE, "servce": "x"})
    assert str(one.value) == one.value.title
    with pytest.raises(DefinitionError) as several:
        parse_document({"kind": "Lane", "group": "g", "name": "a", "tagg": "a", "ratio": {"percent": 400}})
    text = str(several.value)
    assert "ratio.percent is more than 100" in text
    for one_of in several.value.problems:
        assert text.count(f"{one_of.field} {one_of.message}") == 1
