"""Collections over REST: pages, entity tags, watches; and merge patches of their members."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin import lists
from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.port import AdminServer
from tests.admin.conftest import GATEWAY, LANE, ROUTE, SERVICES, SmallControl, problem

LANES = "/v1/lane-groups/order-flow/lanes"
GRAY = f"{LANES}/gray"
PATCH = {"content-type": "application/merge-patch+json"}


@pytest.fixture
async def port(control: SmallControl) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the admin API on a port: a watch has no end, so it needs a connection."""
    settings = AdminSettings(metrics=CollectorRegistry())
    server = AdminServer(create_app(control, settings), "127.0.0.1", 0, stopping=settings.stopping)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://{server.address}", timeout=30, trust_env=False) as one:
        await one.put("/v1/gateways/edge", json=GATEWAY)
        for name in ("b", "a", "c"):
            route = ROUTE | {"match": {"path": {"prefix": f"/{name}"}}}
            assert (await one.put(f"/v1/gateways/edge/routes/{name}", json=route)).status_code == 201
        yield one
    await server.stop()


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_a_watch_tells_what_there_is_and_then_each_change(port: httpx.AsyncClient) -> None:
    async with port.stream("GET", "/v1/routes", params={"watch": "1"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(answer)

        async def following() -> tuple[str, Any]:
            return await asyncio.wait_for(anext(told), 30)

        there = [await following() for _ in range(3)]
        assert [(name, one["name"]) for name, one in there] == [
            ("added", "a"),
            ("added", "b"),
            ("added", "c"),
        ]
        assert await following() == ("synced", {"items": 3})
        await port.patch("/v1/gateways/edge/routes/b", json={"timeout": "3s"})
        name, changed = await following()
        assert (name, changed["name"], changed["timeout"]) == ("changed", "b", "3s")
        await port.delete("/v1/gateways/edge/routes/a")
        assert await following() == ("deleted", {"gateway": "edge", "name": "a"})
        await port.put("/v1/gateways/edge/routes/d", json=ROUTE)
        name, added = await following()
        assert (name, added) == ("added", (await port.get("/v1/gateways/edge/routes/d")).json())


async def test_a_watch_ends_with_the_server(control: SmallControl, caplog: pytest.LogCaptureFixture) -> None:
    settings = AdminSettings(metrics=CollectorRegistry())
    server = AdminServer(create_app(control, settings), "127.0.0.1", 0, stopping=settings.stopping)
    await server.start()
    async with (
        httpx.AsyncClient(base_url=f"http://{server.address}", timeout=30, trust_env=False) as one,
        one.stream("GET", "/v1/routes", params={"watch": "1"}) as answer,
    ):
        told = events(answer)
        assert await anext(told) == ("synced", {"items": 0})
        stopped = asyncio.create_task(server.stop())
        assert [event async for event in told] == [], "a whole answer, not one that was cut"
        await stopped
    assert not caplog.records


async def test_what_registries_and_proxies_do_is_watched(port: httpx.AsyncClient) -> None:
    for path, field in (("/v1/services", "service"), ("/v1/proxies", "node")):
        async with port.stream("GET", path, params={"watch": "1"}) as answer:
            seen = set()
            async for name, one in events(answer):
                if name == "synced":
                    break
                seen.add(one[field])
        assert seen == {one[field] for one in (await port.get(path)).json()["items"]}


async def test_watches_are_bounded_and_need_what_lists_need(
    port: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem(await port.get("/v1/gateways/none/routes", params={"watch": "1"}), 404)
    problem(await port.get("/v1/routes", params={"watch": "1", "limit": "2"}), 422)
    monkeypatch.setattr(lists, "MOST_WATCHES", 1)
    async with port.stream("GET", "/v1/routes", params={"watch": "1"}) as answer:
        await anext(events(answer))
        problem(await port.get("/v1/lanes", params={"watch": "1"}), 503)


@pytest.mark.parametrize("path", ["/v1/gateways/edge/routes", "/v1/routes", "/v1/services"])
async def test_pages_make_up_the_list(flow: httpx.AsyncClient, path: str) -> None:
    for name in ("c", "d", "e"):
        await flow.put(f"/v1/gateways/edge/routes/{name}", json=ROUTE)
    whole = (await flow.get(path)).json()
    assert "continue" not in whole
    for limit in (1, 2, len(whole["items"])):
        found: list[Any] = []
        asked = {"limit": str(limit)}
        while True:
            page = (await flow.get(path, params=asked)).json()
            assert len(page["items"]) <= limit
            found += page["items"]
            if "continue" not in page:
                break
            asked["continue"] = page["continue"]
        assert found == whole["items"]


async def test_a_page_goes_on_where_the_last_one_ended_whatever_was_deleted(flow: httpx.AsyncClient) -> None:
    page = (await flow.get("/v1/routes", params={"limit": "1"})).json()
    assert [one["name"] for one in page["items"]] == ["a"]
    await flow.delete("/v1/gateways/edge/routes/a")
    rest = (await flow.get("/v1/routes", params={"continue": page["continue"]})).json()
    assert [one["name"] for one in rest["items"]] == ["b"]


async def test_what_no_list_has_given_is_refused(flow: httpx.AsyncClient) -> None:
    page = (await flow.get("/v1/routes", params={"limit": "1"})).json()
    for path, asked in (
        ("/v1/routes", {"continue": "x"}),
        ("/v1/routes", {"continue": "é"}),
        ("/v1/services", {"continue": page["continue"]}),
        ("/v1/routes", {"limit": "0"}),
        ("/v1/routes", {"limit": "many"}),
    ):
        wrong = problem(await flow.get(path, params=asked), 422)["errors"][0]
        assert wrong["field"] in asked


async def test_lanes_of_every_group(flow: httpx.AsyncClient) -> None:
    await flow.put("/v1/lane-groups/other", json={"gateway": "edge", "applications": ["x"]})
    for group, lane in (("other", "blue"), ("order-flow", "gray")):
        await flow.put(f"/v1/lane-groups/{group}/lanes/{lane}", json=LANE | {"tag": lane})
    items = (await flow.get("/v1/lanes")).json()["items"]
    assert [(one["group"], one["name"]) for one in items] == [("order-flow", "gray"), ("other", "blue")]
    assert items[0] == (await flow.get(GRAY)).json()


async def test_what_a_client_has_is_not_sent_again(flow: httpx.AsyncClient) -> None:
    await flow.put(GRAY, json=LANE)
    for path in ("/v1/lanes", GRAY, "/v1/services", "/v1/services/sc-A", "/v1/routes?limit=1"):
        first = await flow.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        for given in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = await flow.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other, known = (await flow.get(path, headers={"If-None-Match": '"x"'})).json(), first.json()
        for each in (other, known):
            each.pop("sources", None)  # they say how old they are, which the tag leaves out
        assert other == known
    before = (await flow.get("/v1/lanes")).headers["etag"]
    await flow.post(f"{GRAY}/disable")
    assert (await flow.get("/v1/lanes", headers={"If-None-Match": before})).status_code == 200


async def test_the_tag_of_a_definition_leaves_its_status_out_and_that_of_an_answer_does_not(
    flow: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    strong = (await flow.put("/v1/gateways/edge/routes/a", json=ROUTE)).headers["etag"]
    before = (await flow.get("/v1/gateways/edge/routes/a")).headers["etag"]
    untagged = SERVICES["nacos/public/DEFAULT_GROUP/sc-A"].instances[1:]
    alone = {one.id: one for one in SERVICES.values()}
    alone["nacos/public/DEFAULT_GROUP/sc-A"] = type(alone["file///sc-B"])(
        "nacos/public/DEFAULT_GROUP/sc-A", "nacos", "sc-A", untagged
    )
    monkeypatch.setattr("tests.admin.conftest.SERVICES", alone)
    after = await flow.get("/v1/gateways/edge/routes/a", headers={"If-None-Match": before})
    assert after.status_code == 200
    assert after.json()["status"]["warnings"], "its service has no base any more"
    assert after.headers["etag"] != before
    again = await flow.put("/v1/gateways/edge/routes/a", json=ROUTE, headers={"If-Match": before})
    assert (again.status_code, again.headers["etag"]) == (200, strong)


async def test_a_patch_changes_what_it_names(flow: httpx.AsyncClient) -> None:
    await flow.put(GRAY, json=LANE | {"priority": 7})
    answer = await flow.patch(GRAY, json={"tag": "blue", "priority": None}, headers=PATCH)
    assert answer.status_code == 200
    shown = (await flow.get(GRAY)).json()
    assert answer.json() == shown
    assert (shown["tag"], shown["priority"], shown["rule"]) == (
        "blue",
        100,
        {"match": "all", **LANE["rule"]},
    )
    ratio = {"rule": None, "ratio": {"percent": 10, "routes": {"a": 5, "b": 2}}}
    assert (await flow.patch(GRAY, json=ratio)).json()["ratio"]["routes"] == {"a": 5, "b": 2}
    less = await flow.patch(GRAY, content="ratio: {routes: {a: null}}", headers={"content-type": "text/yaml"})
    assert less.json()["ratio"] == {"percent": 10, "routes": {"b": 2}}
    assert (await flow.patch(GRAY, json={})).headers["etag"] == less.headers["etag"]


async def test_a_patch_is_refused_as_a_put_is(flow: httpx.AsyncClient, control: SmallControl) -> None:
    tag = (await flow.put(GRAY, json=LANE)).headers["etag"]
    before = control.store.current
    for body, field in (
        ({"priorty": None}, "priorty"),
        ({"tag": "-"}, "tag"),
        ({"name": "blue"}, "name"),
        ({"group": "other"}, "group"),
        ({"rule": None}, "rule"),
        ([1], ""),
    ):
        wrong = problem(await flow.patch(GRAY, json=body), 422)["errors"][0]
        assert wrong["field"] == field
    problem(await flow.patch(f"{LANES}/none", json={}), 404)
    problem(await flow.patch("/v1/lane-groups/none/lanes/gray", json={}), 404)
    problem(await flow.patch(GRAY, json={"tag": "x"}, headers={"If-Match": '"old"'}), 412)
    odd = await flow.patch(GRAY, content="{}", headers={"content-type": "application/json-patch+json"})
    problem(odd, 415)
    assert "application/merge-patch+json" in odd.headers["accept-patch"]
    assert control.store.current is before
    good = await flow.patch(GRAY, json={"tag": "x"}, headers={"If-Match": tag})
    assert good.status_code == 200
