"""The REST table over definitions: statuses, ETags, media types and problems."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.admin.conftest import GATEWAY, GROUP, LANE, SmallControl, problem

LANE_PATH = "/v1/lane-groups/order-flow/lanes/gray"


async def test_put_creates_then_replaces_and_a_put_without_change_keeps_the_etag(
    flow: httpx.AsyncClient,
) -> None:
    created = await flow.put(LANE_PATH, json=LANE)
    assert created.status_code == 201
    assert created.headers["location"] == LANE_PATH
    again = await flow.put(LANE_PATH, json=LANE)
    assert (again.status_code, again.headers["etag"]) == (200, created.headers["etag"])
    assert again.json() == created.json() == (await flow.get(LANE_PATH)).json()
    assert again.json()["status"] == {}
    moved = await flow.put(LANE_PATH, json=LANE | {"tag": "blue"})
    assert moved.status_code == 200
    assert moved.headers["etag"] != created.headers["etag"]


async def test_what_get_shows_can_be_put_back(flow: httpx.AsyncClient) -> None:
    body = LANE | {"ratio": {"percent": 12.5, "sticky": {"cookie": "s"}}}
    del body["rule"]
    first = await flow.put(LANE_PATH, json=body)
    assert first.json()["status"] == {"slots": {"a": [[0, 1250]], "b": [[0, 1250]]}}
    again = await flow.put(LANE_PATH, json=first.json())
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])


async def test_every_kind_lists_gets_and_deletes(flow: httpx.AsyncClient) -> None:
    await flow.put(LANE_PATH, json=LANE)
    await flow.put("/v1/applications/shop", json={"services": ["sc-A"]})
    for collection, count in (
        ("/v1/gateways", 1),
        ("/v1/gateways/edge/routes", 2),
        ("/v1/applications", 1),
        ("/v1/lane-groups", 1),
        ("/v1/lane-groups/order-flow/lanes", 1),
    ):
        items = (await flow.get(collection)).json()["items"]
        assert len(items) == count
        assert all("status" in item for item in items)
        path = f"{collection}/{items[-1]['name']}"
        assert (await flow.get(path)).json() == items[-1]
    for path in (LANE_PATH, "/v1/lane-groups/order-flow", "/v1/gateways/edge/routes/a", "/v1/gateways/edge"):
        assert (await flow.delete(path)).status_code == 204
        problem(await flow.delete(path), 404)
        problem(await flow.get(path), 404)


async def test_unknown_parents_in_the_url_are_404(client: httpx.AsyncClient) -> None:
    for path in ("/v1/gateways/no/routes", "/v1/lane-groups/no/lanes"):
        problem(await client.get(path), 404)
        problem(await client.put(path + "/x", json={}), 404)
    problem(await client.put("/v1/lane-groups/g", json=GROUP), 422)


async def test_conflicts_are_409(flow: httpx.AsyncClient) -> None:
    await flow.put(LANE_PATH, json=LANE | {"routes": ["a"]})
    assert "order-flow" in problem(await flow.delete("/v1/gateways/edge"), 409)["detail"]
    assert "gray" in problem(await flow.delete("/v1/gateways/edge/routes/a"), 409)["detail"]
    await flow.put("/v1/lane-groups/other", json=GROUP)
    taken = problem(await flow.put("/v1/lane-groups/other/lanes/gray", json=LANE), 409)
    assert "order-flow" in taken["errors"][0]["message"]
    assert (await flow.delete("/v1/lane-groups/order-flow")).status_code == 204
    assert (await flow.get("/v1/lane-groups/other/lanes")).json() == {"items": []}


async def test_enable_and_disable_are_idempotent(flow: httpx.AsyncClient, control: SmallControl) -> None:
    await flow.put(LANE_PATH, json=LANE)
    for word, enabled in (("disable", False), ("disable", False), ("enable", True), ("enable", True)):
        answer = await flow.post(f"{LANE_PATH}/{word}")
        assert (answer.status_code, answer.json()["enabled"]) == (200, enabled)
    assert control.store.current.revision == 7
    problem(await flow.post("/v1/lane-groups/order-flow/lanes/no/enable"), 404)


async def test_a_switch_survives_a_put_and_an_apply_that_do_not_name_it(flow: httpx.AsyncClient) -> None:
    await flow.put(LANE_PATH, json=LANE)
    assert (await flow.post(f"{LANE_PATH}/disable")).json()["enabled"] is False
    assert (await flow.put(LANE_PATH, json=LANE | {"priority": 5})).json()["enabled"] is False
    await flow.post("/v1/apply", json=LANE | {"kind": "Lane", "group": "order-flow", "name": "gray"})
    assert (await flow.get(LANE_PATH)).json()["enabled"] is False
    assert (await flow.put(LANE_PATH, json=LANE | {"enabled": True})).json()["enabled"] is True


async def test_enabling_beyond_the_whole_is_refused_naming_route_lanes_and_sum(
    flow: httpx.AsyncClient,
) -> None:
    for name, enabled in (("one", True), ("two", False)):
        body = {"tag": name, "enabled": enabled, "ratio": {"percent": 60}}
        assert (await flow.put(f"/v1/lane-groups/order-flow/lanes/{name}", json=body)).status_code == 201
    answer = problem(await flow.post("/v1/lane-groups/order-flow/lanes/two/enable"), 422)
    error = answer["errors"][0]
    assert error["field"] == "ratio.percent"
    for word in ("route a", "one 60 %", "two 60 %", "120 %"):
        assert word in error["message"]
    assert not (await flow.get("/v1/lane-groups/order-flow/lanes/two")).json()["enabled"]


async def test_preconditions(flow: httpx.AsyncClient) -> None:
    created = await flow.put(LANE_PATH, json=LANE, headers={"If-None-Match": "*"})
    tag = created.headers["etag"]
    problem(await flow.put(LANE_PATH, json=LANE, headers={"If-None-Match": "*"}), 412)
    problem(await flow.put(LANE_PATH, json=LANE, headers={"If-Match": '"old"'}), 412)
    problem(await flow.delete(LANE_PATH, headers={"If-Match": '"old"'}), 412)
    problem(await flow.put(LANE_PATH + "2", json=LANE, headers={"If-Match": "*"}), 412)
    changed = await flow.put(LANE_PATH, json=LANE | {"tag": "x"}, headers={"If-Match": f'"a", {tag}'})
    assert changed.status_code == 200
    problem(await flow.delete(LANE_PATH, headers={"If-Match": tag}), 412)
    assert (await flow.delete(LANE_PATH, headers={"If-Match": changed.headers["etag"]})).status_code == 204


async def test_bodies_are_json_or_yaml(client: httpx.AsyncClient) -> None:
    path = "/v1/gateways/edge"
    text = "listeners: [{port: 8080}]\n"
    for media in ("application/yaml", "application/yaml; charset=utf-8", "text/yaml"):
        answer = await client.put(path, content=text, headers={"content-type": media})
        assert answer.is_success
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/yaml; charset=latin1"):
        problem(await client.put(path, content=text, headers={"content-type": media}), 415)
    problem(await client.put(path, content=text), 415)
    yaml = {"content-type": "application/yaml"}
    problem(await client.put(path, content="a: 1\n---\nb: 2", headers=yaml), 400)
    json = {"content-type": "application/json"}
    for broken in (b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"a": "\\ud800"}'):
        problem(await client.put(path, content=broken, headers=json), 400)
    problem(await client.put(path, content=b"x" * (5 << 20), headers=json), 413)
    for odd in (b"[]", b"1", b"null", b'"x"'):
        problem(await client.put(path, content=odd, headers=json), 422)


async def test_names_in_the_body_must_agree_with_the_url(flow: httpx.AsyncClient) -> None:
    wrong = {"kind": "Route", "name": "other", "group": "other"}
    errors = problem(await flow.put(LANE_PATH, json=LANE | wrong), 422)["errors"]
    assert {error["field"] for error in errors} == {"kind", "name", "group"}
    right = {"kind": "Lane", "name": "gray", "group": "order-flow"}
    assert (await flow.put(LANE_PATH, json=LANE | right)).status_code == 201


@pytest.mark.parametrize("name", ["A", "a b", "-a", "a" * 64, "a\n", "ä", "x\x00y", "%2e"])
async def test_bad_names_are_422(client: httpx.AsyncClient, name: str) -> None:
    body = problem(await client.put("/v1/gateways/" + quote(name), json=GATEWAY), 422)
    assert body["errors"][0]["field"] == "name"


async def test_a_refused_change_changes_nothing(flow: httpx.AsyncClient, control: SmallControl) -> None:
    before = control.store.current
    documents = [
        {"kind": "Application", "name": "new"},
        {
            "kind": "Lane",
            "group": "order-flow",
            "name": "x",
            "tag": "t",
            "ratio": {"percent": 1, "routes": {"z": 1}},
        },
    ]
    error = problem(await flow.post("/v1/apply", json=documents), 422)["errors"][0]
    assert (error["document"], error["field"]) == ("Lane/x", "ratio.routes.z")
    assert control.store.current is before


async def test_apply_export_and_dry_run(flow: httpx.AsyncClient, control: SmallControl) -> None:
    await flow.put(LANE_PATH, json={"tag": "gray", "ratio": {"percent": 30}})
    text = (await flow.get("/v1/export")).text
    yaml = {"content-type": "application/yaml"}
    same = (await flow.post("/v1/apply", content=text, headers=yaml)).json()
    assert same["created"] == same["changed"] == []
    assert set(same["unchanged"]) == {
        "Gateway/edge",
        "Route/a",
        "Route/b",
        "LaneGroup/order-flow",
        "Lane/gray",
    }
    before = control.store.current
    changed = text.replace("percent: 30", "percent: 40")
    dry = await flow.post("/v1/apply?dry_run=true", content=changed, headers=yaml)
    assert dry.json()["changed"] == ["Lane/gray"]
    assert control.store.current is before
    real = await flow.post("/v1/apply", content=changed, headers=yaml)
    moves = dry.json()["moves"]
    assert real.json() | {"moves": moves} == dry.json()
    assert [(one["lane"], one["before"], one["after"]) for one in moves["shares"]] == [
        ("gray", 30, 40),
        ("gray", 30, 40),
    ]
    assert control.store.current.revision == before.revision + 1
    problem(await flow.post("/v1/apply?dry_run=perhaps", content=text, headers=yaml), 422)
