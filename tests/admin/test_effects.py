"""What an action would do is told before it, and an action holds only for what its user saw."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.admin.conftest import LANE, RELEASE, SmallControl, problem

FLOW = "/v1/lane-groups/order-flow"
ROLLOUT = f"{FLOW}/releases/rollout"


@pytest.fixture
async def released(flow: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with a ratio lane and a release of it."""
    lane = {"tag": "gray", "enabled": False, "ratio": {"percent": 100}}
    assert (await flow.put(f"{FLOW}/lanes/gray", json=lane)).is_success
    assert (await flow.put(ROLLOUT, json=RELEASE)).is_success
    return flow


def changed(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By document and field, the value afterwards."""
    return {
        one["document"]: {field["field"]: field["after"] for field in one["fields"]}
        for one in body["changes"]
    }


async def test_a_dry_run_of_a_start_says_what_it_changes(
    released: httpx.AsyncClient, control: SmallControl
) -> None:
    before = control.store.current
    told = await released.post(f"{ROLLOUT}/start?dry_run=true")
    assert (told.status_code, control.store.current) == (200, before)
    fields = changed(told.json())
    assert fields["Lane/gray"].items() >= {"enabled": True, "ratio.percent": 5}.items()
    assert "progress" in fields["Release/rollout"]
    shares = told.json()["moves"]["shares"]
    assert {(one["route"], one["before"], one["after"]) for one in shares} == {("a", 0, 5), ("b", 0, 5)}


async def test_a_dry_run_of_an_abort_says_what_it_changes(released: httpx.AsyncClient) -> None:
    problem(await released.post(f"{ROLLOUT}/abort?dry_run=true"), 409)
    assert (await released.post(f"{ROLLOUT}/start?force=true")).is_success
    told = (await released.post(f"{ROLLOUT}/abort?dry_run=true")).json()
    assert changed(told)["Lane/gray"]["ratio.percent"] == 0
    assert [one["after"] for one in told["moves"]["shares"]] == [0, 0]
    status = (await released.get(f"{ROLLOUT}/status")).json()
    assert status["release"]["progress"]["phase"] == "running"


async def test_an_action_on_a_release_holds_for_what_was_seen(released: httpx.AsyncClient) -> None:
    seen = {"If-Match": (await released.get(ROLLOUT)).headers["etag"]}
    assert (await released.post(f"{ROLLOUT}/start?force=true", headers=seen)).is_success
    refused = await released.post(f"{ROLLOUT}/pause", headers=seen)
    problem(refused, 412)
    assert (await released.get(ROLLOUT)).json()["progress"]["phase"] == "running"
    assert (await released.post(f"{ROLLOUT}/pause", headers={"If-Match": refused.headers["etag"]})).is_success


async def test_a_promotion_holds_for_what_was_seen(released: httpx.AsyncClient) -> None:
    seen = {"If-Match": (await released.get(FLOW)).headers["etag"]}
    assert (await released.patch(FLOW, json={"inherit_tag": False})).is_success
    for word, body in (("promote", {"lane": "gray"}), ("finish", None), ("rollback", None)):
        problem(await released.post(f"{FLOW}/{word}", json=body, headers=seen), 412)
    seen = {"If-Match": (await released.get(FLOW)).headers["etag"]}
    told = (await released.post(f"{FLOW}/promote?dry_run=true", json={"lane": "gray"}, headers=seen)).json()
    assert changed(told) == {"LaneGroup/order-flow": {"promoted": "gray"}}
    assert (await released.post(f"{FLOW}/promote", json={"lane": "gray"}, headers=seen)).is_success


async def test_a_dry_run_of_a_deletion_says_which_requests_move(flow: httpx.AsyncClient) -> None:
    assert (await flow.put(f"{FLOW}/lanes/gray", json=LANE)).is_success
    told = (
        await flow.post("/v1/delete?dry_run=true", json={"kind": "LaneGroup", "name": "order-flow"})
    ).json()
    assert told["deleted"] == ["LaneGroup/order-flow", "Lane/gray"]
    moves = [(one["before"]["lane"], one["after"]["lane"]) for one in told["moves"]["items"]]
    assert moves == [("gray", None)] * len(moves)
    assert moves
    assert (await flow.get(f"{FLOW}/lanes/gray")).is_success
