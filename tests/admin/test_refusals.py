"""What is refused, and how: each time with the field, its value and a remedy, and nothing is changed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from controlplane.model.documents import Route
from tests.admin.conftest import GATEWAY, GROUP, LANE, ROUTE, SmallControl, problem

YAML = {"content-type": "application/yaml"}
JSON = {"content-type": "application/json"}
NESTED = "((a{100}){100}){100}"  # millions of instructions
GRAY = "/v1/lane-groups/order-flow/lanes/gray"
OTHER = "/v1/lane-groups/other/lanes/new"
CONDITION = LANE["rule"]["conditions"][0]


@pytest.fixture
async def filled(flow: httpx.AsyncClient) -> httpx.AsyncClient:
    """A content lane gray in order-flow; ratio lanes on (60 %, on a alone) and off (60 %) in sale."""
    for path, body in (
        (GRAY, LANE | {"routes": ["b"], "fallback": {"spring-cloud-b": "none"}}),
        ("/v1/lane-groups/sale", GROUP),
        ("/v1/lane-groups/sale/lanes/on", {"tag": "on", "routes": ["a"], "ratio": {"percent": 60}}),
        ("/v1/lane-groups/sale/lanes/off", {"tag": "off", "enabled": False, "ratio": {"percent": 60}}),
        ("/v1/lane-groups/other", GROUP),
    ):
        answer = await flow.put(path, json=body)
        assert answer.status_code == 201, answer.text
    return flow


def rule(**changes: Any) -> dict[str, Any]:
    return LANE | {"rule": {"conditions": [CONDITION | changes]}}


def regex(value: str) -> dict[str, Any]:
    return rule(operator="regex", value=value)


def ratio(percent: Any, **fields: Any) -> dict[str, Any]:
    return {"tag": "new", "ratio": {"percent": percent} | fields}


REFUSED: list[tuple[str, str, Any, int, str, Any, list[str]]] = [
    # What does not exist.
    ("PUT", "/v1/lane-groups/new", GROUP | {"gateway": "edg"}, 422, "gateway", "edg", ["known: edge"]),
    ("PUT", OTHER, LANE | {"routes": ["a", "z"]}, 422, "routes[1]", "z", ["known: a, b"]),
    ("PUT", OTHER, ratio(1, routes={"z": 1}), 422, "ratio.routes.z", "z", ["known: a, b"]),
    ("PUT", OTHER, LANE | {"fallback": {"x": "none"}}, 422, "fallback.x", "x", ["spring-cloud-a"]),
    ("PUT", "/v1/gateways/no/routes/a", ROUTE, 404, "gateway", "no", ["known: edge"]),
    ("PUT", "/v1/lane-groups/othe/lanes/x", LANE, 404, "group", "othe", ["did you mean other?"]),
    ("GET", "/v1/lane-groups/sale/lanes/of", None, 404, "lane", "of", ["did you mean off?"]),
    ("POST", "/v1/lane-groups/sale/lanes/gray/enable", None, 404, "lane", "gray", ["known: off, on"]),
    ("GET", "/v1/lane-groups/sale/lanes/gray/matches", None, 404, "lane", "gray", ["known: off, on"]),
    ("DELETE", "/v1/applications/none", None, 404, "application", "none", []),
    # What may be any of several.
    ("PUT", "/v1/gateways/edge/routes/a", ROUTE | {"service": "sc-B"}, 422, "service", "sc-B",
     ["say which: file///sc-B, nacos/public/other/sc-B"]),
    ("POST", "/v1/apply", [{"kind": "Application", "name": "x", "services": ["sc-A", "sc-B"]}], 422,
     "services[1]", "sc-B", ["say which: file///sc-B, nacos/public/other/sc-B"]),
    # What stands in the way.
    ("DELETE", "/v1/gateways/edge", None, 409, "name", "edge", ["order-flow, other, sale"]),
    ("DELETE", "/v1/gateways/edge/routes/a", None, 409, "name", "a", ["lanes: on"]),
    ("DELETE", "/v1/gateways/edge/routes/b", None, 409, "name", "b", ["lanes: gray"]),
    ("PUT", "/v1/lane-groups/other/lanes/gray", LANE, 409, "name", "gray", ["group order-flow"]),
    ("PUT", "/v1/lane-groups/order-flow", GROUP | {"applications": ["spring-cloud-a"]}, 422,
     "fallback.spring-cloud-b", "spring-cloud-b", ["not a known application of group order-flow"]),
    # Another mode than the group's.
    ("PUT", "/v1/lane-groups/order-flow/lanes/new", ratio(1), 422, "ratio", None,
     ["group order-flow takes only content lanes (set by lane gray)"]),
    ("PUT", "/v1/lane-groups/sale/lanes/new", LANE, 422, "rule", None, ["group sale takes only ratio lanes"]),
    # Shares.
    ("PUT", OTHER, ratio(40.01), 422, "ratio.percent", 40.01,
     ["route a ", "gateway edge", "100.01 %", "on 60 %", "new 40.01 %", "reduce their total by 0.01 %"]),
    ("PUT", OTHER, ratio(0, routes={"a": 41, "b": 100}), 422, "ratio.routes.a", 41,
     ["route a ", "101 %", "on 60 %", "new 41 %"]),
    ("PUT", "/v1/lane-groups/sale/lanes/on", ratio(60) | {"tag": "on", "ratio": {"percent": 101}}, 422,
     "ratio.percent", 101, ["more than 100"]),
    ("POST", "/v1/lane-groups/sale/lanes/off/enable", None, 422, "ratio.percent", 60,
     ["route a ", "120 %", "on 60 %", "off 60 %", "reduce their total by 20 %"]),
    ("PUT", OTHER, ratio(12.345), 422, "ratio.percent", 12.345, ["two decimals", "12.35"]),
    ("PUT", OTHER, ratio(1e-9), 422, "ratio.percent", 1e-9, ["two decimals"]),
    ("PUT", OTHER, ratio(1, routes={"a": 0.001}), 422, "ratio.routes.a", 0.001, ["two decimals"]),
    # Conditions.
    ("PUT", OTHER, rule(name="X-Lane"), 422, "rule.conditions[0].name", "X-Lane", ["carrier"]),
    ("PUT", OTHER, rule(name="Baggage"), 422, "rule.conditions[0].name", "Baggage", ["carrier"]),
    ("PUT", "/v1/gateways/edge", GATEWAY | {"carriers": {"header": "Canary"}}, 422,
     "rule.conditions[0].name", "canary", ["carrier"]),
    ("PUT", OTHER, regex("(?<=a)b"), 422, "rule.conditions[0].value", "(?<=a)b", ["RE2"]),
    ("PUT", OTHER, regex("(a)\\1"), 422, "rule.conditions[0].value", "(a)\\1", ["RE2"]),
    ("PUT", OTHER, regex("[a-z]{200}"), 422, "rule.conditions[0].value", "[a-z]{200}", ["Envoy takes 100"]),
    ("PUT", OTHER, regex(NESTED), 422, "rule.conditions[0].value", NESTED, ["RE2"]),
    ("PUT", "/v1/gateways/edge/routes/a", ROUTE | {"match": {"path": {"regex": "/a("}}}, 422,
     "match.path.regex", "/a(", ["RE2"]),
    ("PUT", OTHER, LANE | {"rule": {"conditions": []}}, 422, "rule.conditions", "[]", ["must not be empty"]),
    ("PUT", OTHER, rule(operator="equals"), 422, "rule.conditions[0].operator", "equals",
     ["==, !=, in, percentage"]),
    ("PUT", OTHER, rule(operator="percentag", value=3), 422, "rule.conditions[0].operator", "percentag",
     ["did you mean percentage?"]),
    # The query of the URL.
    ("POST", "/v1/apply?dryrun=true", [], 422, "dryrun", "true", ["did you mean dry_run?"]),
    ("POST", "/v1/apply?dry_run=perhaps", [], 422, "dry_run", "perhaps", ["true or false"]),
    ("GET", "/v1/revisions?limit=0", None, 422, "limit", "0", ["at least 1"]),
    ("GET", "/v1/revisions?limit=x", None, 422, "limit", "x", ["whole number"]),
    ("GET", "/v1/gateways?name=edge", None, 422, "name", "edge", ["known: limit, continue, watch"]),
    # Bodies of apply: names of documents instead of a URL.
    ("POST", "/v1/apply", [{"kind": "Route", "gateway": "no", "name": "x", "service": "s"}], 422,
     "gateway", "no", ["known: edge"]),
    ("POST", "/v1/apply", [{"kind": "Lane", "group": "no", "name": "x"} | LANE], 422, "group", "no",
     ["known: order-flow, other, sale"]),
    ("POST", "/v1/apply", [{"kind": "Application", "name": "x"}] * 2, 422, "name", "x", ["twice"]),
    ("POST", "/v1/apply", [{"kind": "Aplication", "name": "x"}], 422, "kind", "Aplication", ["Application?"]),
    ("POST", "/v1/apply", [{"name": "x"}], 422, "kind", None, ["missing", "Gateway, Route"]),
    ("POST", "/v1/apply", ["x"], 422, "", "x", ["must be an object"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field", "value", "words"),
    REFUSED,
    ids=[f"{n}-{one[0]}-{one[3]}-{one[4]}" for n, one in enumerate(REFUSED)],
)
async def test_refusals(
    filled: httpx.AsyncClient, control: SmallControl, method: str, path: str, body: Any, status: int,
    field: str, value: Any, words: list[str],
) -> None:  # fmt: skip
    before = control.store.current
    answer = problem(await filled.request(method, path, json=body), status)
    error = answer["errors"][0]
    assert (error["field"], error["value"]) == (field, value)
    for word in words:
        assert word in f"{error['message']} | {error['remedy']}"
    assert control.store.current is before


@pytest.mark.parametrize(
    ("headers", "body", "field", "word"),
    [
        (JSON, b'{"listeners": [{"port": 1, "port": 2}]}', "port", "twice"),
        (JSON, b'{"name": "edge", "name": "edge"}', "name", "twice"),
        (JSON, b'{"listeners": [}', "", "line 1, column 16"),
        (JSON, b'{"port": 1e999}', "", "too large a number"),
        (JSON, b'{"port": ' + b"9" * 5000 + b"}", "", "too large a number"),
        (JSON, b'{"port": NaN}', "", "NaN"),
        (JSON, b'{"a": "\\ud800"}', "", "surrogate"),
        (JSON, b'{"a": "\xff"}', "", "UTF-8"),
        (JSON, b'{"a":' * 5000 + b"1" + b"}" * 5000, "", "nested"),
        (JSON, b"", "", "line 1"),
        (YAML, b"listeners:\n- port: 1\n  port: 2", "listeners[0].port", "twice (line 3, column 3)"),
        (YAML, b"name: edge\nname: edge", "name", "twice"),
        (YAML, b"a: &x [1]\nlisteners: [*x]", "listeners[0]", "alias"),
        (YAML, b"listeners: !!python/name:os.system", "listeners", "tag"),
        (YAML, b"? [a, b]\n: 1", "", "not text"),
        (YAML, b"a: [1, 2", "", "line 2"),
        (YAML, b"\tname: edge", "", "line 1"),
        (YAML, b"a: 1\n---\nb: 1", "", "2 documents"),
        (YAML, b"a:\n" + b"- " * 40 + b"1", "a" + "[0]" * 31, "nested"),
    ],
)
async def test_bodies_that_cannot_be_read_are_400(
    flow: httpx.AsyncClient,
    control: SmallControl,
    headers: dict[str, str],
    body: bytes,
    field: str,
    word: str,
) -> None:
    before = control.store.current
    error = problem(await flow.put("/v1/gateways/edge", content=body, headers=headers), 400)["errors"][0]
    assert error["field"] == field
    assert word in error["message"]
    assert control.store.current is before


@pytest.mark.parametrize("path", ["/v1/gateways/edge", "/v1/apply"])
async def test_a_bomb_of_anchors_costs_nothing(flow: httpx.AsyncClient, path: str) -> None:
    lines = [
        "a0: &a0 [x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 100)),
    ]
    method = "POST" if path.endswith("apply") else "PUT"
    answer = await flow.request(method, path, content="\n".join(lines), headers=YAML)
    error = problem(answer, 400)["errors"][0]
    assert (error["field"], error["message"][:12]) == ("a1[0]", "*a0 is an al")


async def test_many_mistakes_are_told_in_part(flow: httpx.AsyncClient, control: SmallControl) -> None:
    before = control.store.current
    many = [{"kind": "Application", "name": f"a{n}", "servces": []} for n in range(20_000)]
    answer = problem(await flow.post("/v1/apply", json=many), 422)
    assert len(answer["errors"]) == 100
    assert "100 mistakes or more" in answer["detail"]
    wide = problem(await flow.put("/v1/gateways/edge", json={f"f{n}": n for n in range(20_000)}), 422)
    assert len(wide["errors"]) == 100
    assert control.store.current is before


async def test_what_is_told_of_a_value_is_short(flow: httpx.AsyncClient) -> None:
    long = "x" * 1_000_000
    for body in ({"name": long}, {"listeners": long}, {"listeners": [{long: long}]}, {long: [long]}):
        answer = await flow.put("/v1/gateways/edge", json=body)
        problem(answer, 422)
        assert len(answer.content) < 10_000
    answer = await flow.put(f"/v1/gateways/{'x' * 20_000}", json=GATEWAY)
    problem(answer, 422)
    assert len(answer.content) < 10_000


async def test_preconditions_of_switching_a_lane(flow: httpx.AsyncClient, control: SmallControl) -> None:
    tag = (await flow.put(GRAY, json=LANE)).headers["etag"]
    before = control.store.current
    for word in ("enable", "disable"):
        refused = await flow.post(f"{GRAY}/{word}", headers={"If-Match": '"old"'})
        error = problem(refused, 412)["errors"][0]
        assert (error["field"], error["value"]) == ("If-Match", '"old"')
        assert refused.headers["etag"] == tag
    assert control.store.current is before
    lines = [("if-match", '"old"'), ("if-match", tag)]
    off = await flow.post(f"{GRAY}/disable", headers=lines)
    assert (off.status_code, off.json()["enabled"]) == (200, False)
    problem(await flow.post(f"{GRAY}/enable", headers={"If-Match": tag}), 412)


async def test_a_name_that_became_ambiguous_since_is_left_alone(
    flow: httpx.AsyncClient, control: SmallControl
) -> None:
    path = "/v1/gateways/edge/routes/a"
    accepted = Route(gateway="edge", name="a", service="sc-B")
    await control.store.change(lambda now: now.put(accepted))
    body = (await flow.get(path)).json()
    assert (await flow.put(path, json=body)).status_code == 200
    text = (await flow.get("/v1/export")).text
    assert (await flow.post("/v1/apply", content=text, headers=YAML)).status_code == 200
    answer = problem(await flow.put(path, json=body | {"timeout": "1s"}), 422)
    assert answer["errors"][0]["field"] == "service"
    for exact in ("file///sc-B", "other/sc-B"):
        assert (await flow.put(path, json=body | {"service": exact})).status_code == 200
