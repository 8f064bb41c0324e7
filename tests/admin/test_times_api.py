"""Times of lanes over REST: what is said of them, switches that end by themselves, shares after their end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from controlplane.admin.tags import definition_in
from tests.admin.conftest import LANE, SmallControl, problem

PATH = "/v1/lane-groups/order-flow/lanes/gray"
OFFICE = {"hours": "09:00-17:00", "time_zone": "Europe/Berlin"}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def store_at(control: SmallControl, text: str) -> None:
    control.at = at(text)
    control.store._clock = lambda: control.at


async def put(client: httpx.AsyncClient, path: str = PATH, **more: Any) -> httpx.Response:
    return await client.put(path, json={**LANE, **more})


async def test_a_lane_says_when_it_comes_back(flow: httpx.AsyncClient, control: SmallControl) -> None:
    control.at = at("2026-03-28T12:00:00+01:00")
    await put(flow, schedule={"days": ["sun"], **OFFICE})
    closed = {
        "open": False,
        "reason": "it is outside of its schedule",
        "opens": "2026-03-29T09:00:00+02:00",
    }
    assert (await flow.get(PATH)).json()["status"]["times"] == closed
    assert (await flow.get("/v1/lane-groups/order-flow/lanes")).json()["items"][0]["status"][
        "times"
    ] == closed
    assert (await flow.get(f"{PATH}/matches")).json()["times"] == closed
    control.at = at("2026-03-29T12:00:00+02:00")
    opened = (await flow.get(PATH)).json()["status"]["times"]
    assert opened == {"open": True, "closes": "2026-03-29T17:00:00+02:00"}


async def test_time_writes_no_history_and_keeps_the_etag(
    flow: httpx.AsyncClient, control: SmallControl
) -> None:
    control.at = at("2026-03-28T12:00:00+01:00")
    tag = (await put(flow, until="2026-03-28T13:00:00+01:00")).headers["etag"]
    before = (await flow.get("/v1/revisions")).json()
    control.at = at("2026-03-28T14:00:00+01:00")
    answer = await flow.get(PATH)
    assert definition_in(answer.headers["etag"]) == tag
    assert answer.json()["status"]["times"] == {
        "open": False,
        "reason": "its time ended at 2026-03-28T13:00:00+01:00 (until)",
    }
    assert (await flow.get("/v1/revisions")).json() == before


async def test_a_switch_with_a_time_survives_deployments(
    flow: httpx.AsyncClient, control: SmallControl
) -> None:
    control.at = at("2026-03-28T12:00:00+01:00")
    await put(flow, enabled=False)
    switched = await flow.post(f"{PATH}/enable", params={"ttl": "2h"})
    assert switched.json()["enabled_until"] == "2026-03-28T13:00:00Z"
    deployed = (await put(flow, priority=7)).json()
    assert (deployed["enabled"], deployed["enabled_until"]) == (True, "2026-03-28T13:00:00Z")
    control.at = at("2026-03-28T14:00:00+01:00")
    times = (await flow.get(PATH)).json()["status"]["times"]
    assert not times["open"]
    assert "2026-03-28T13:00:00Z only (enabled_until)" in times["reason"]
    assert "enabled_until" not in (await flow.post(f"{PATH}/enable")).json()
    await flow.post(f"{PATH}/enable", params={"ttl": "1s"})
    assert "enabled_until" not in (await put(flow, enabled=True)).json()
    await flow.post(f"{PATH}/enable", params={"ttl": "1s"})
    assert "enabled_until" not in (await flow.post(f"{PATH}/disable")).json()


async def test_a_wrong_ttl_is_refused(flow: httpx.AsyncClient) -> None:
    await put(flow)
    for wrong in ("2", "0s", "9000h", "-1h", "2 h"):
        body = problem(await flow.post(f"{PATH}/enable", params={"ttl": wrong}), 422)
        assert body["errors"][0]["field"] == "ttl"
        assert body["errors"][0]["remedy"].startswith(("write a number", "give a time")), body


async def test_explain_takes_another_time(flow: httpx.AsyncClient) -> None:
    asked = {"gateway": "edge"}
    answer = await flow.post("/v1/explain", params={"at": "2026-12-01T09:00:00+01:00"}, json=asked)
    assert answer.status_code == 200, answer.text
    body = problem(await flow.post("/v1/explain", params={"at": "tomorrow"}, json=asked), 422)
    (wrong,) = body["errors"]
    assert (wrong["field"], wrong["message"]) == ("at", "is not a time as RFC 3339 defines it")


async def test_what_a_document_leaves_as_it_is_stored_is_told(flow: httpx.AsyncClient) -> None:
    await put(flow, enabled=False)
    document = {"kind": "Lane", "group": "order-flow", "name": "gray", **LANE}
    for dry_run in ("true", "false"):
        answer = await flow.post("/v1/apply", params={"dry_run": dry_run}, json=[document])
        assert answer.json()["kept"] == [{"document": "Lane/gray", "field": "enabled", "value": False}]
    answer = await flow.post("/v1/apply", json=[{**document, "enabled": True}])
    assert "kept" not in answer.json()


async def test_shares_count_until_the_end_of_a_lane_and_not_after_it(
    flow: httpx.AsyncClient, control: SmallControl
) -> None:
    store_at(control, "2026-03-28T12:00:00+01:00")
    ratio = {"tag": "x", "ratio": {"percent": 60}}
    one, other = (f"/v1/lane-groups/order-flow/lanes/{name}" for name in ("one", "other"))
    short = {**ratio, "until": "2026-03-28T13:00:00+01:00", "schedule": {"days": ["mon"], "time_zone": "UTC"}}
    assert (await flow.put(one, json=short)).status_code == 201
    document = {"kind": "Lane", "group": "order-flow", "name": "other", **ratio}
    for dry_run in ("true", "false"):
        problem(await flow.post("/v1/apply", params={"dry_run": dry_run}, json=[document]), 422)
    store_at(control, "2026-03-28T13:00:00+01:00")
    for dry_run in ("true", "false"):
        answer = await flow.post("/v1/apply", params={"dry_run": dry_run}, json=[document])
        assert answer.status_code == 200, answer.text
    slots = [(await flow.get(path)).json()["status"]["slots"]["a"] for path in (one, other)]
    assert [sum(end - start for start, end in found) for found in slots] == [4000, 6000]
    problem(await flow.put(one, json={**short, "until": "2026-03-29T13:00:00+01:00"}), 422)
    assert (await flow.put(one, json={**short, "ratio": {"percent": 40}})).status_code == 200
