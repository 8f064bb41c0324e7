"""Changes of many definitions: field by field, pruned, deleted in one revision, and the way back."""

from __future__ import annotations

from typing import Any

import httpx
import yaml

from tests.admin.conftest import LANE, problem

FLOW = "/v1/lane-groups/order-flow"


def lane(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "Lane", "group": "order-flow", "name": name, **LANE, **more}


async def apply(client: httpx.AsyncClient, *documents: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    answer = await client.post("/v1/apply", params=parameters, json=list(documents))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def everything(client: httpx.AsyncClient) -> str:
    return (await client.get("/v1/export")).text


def without_slots(exported: str) -> list[Any]:
    return [{**one, "status": None} for one in yaml.safe_load_all(exported)]


async def revisions(client: httpx.AsyncClient) -> list[Any]:
    return (await client.get("/v1/revisions")).json()["items"]


async def test_apply_says_what_differs_field_by_field_before_and_after(flow: httpx.AsyncClient) -> None:
    await apply(flow, lane("gray"), lane("red"))
    changed = [
        {
            "document": "Lane/gray",
            "change": "changed",
            "fields": [
                {"field": "priority", "before": 100, "after": 7},
                {"field": "rule.conditions[0].value", "before": "gray", "after": "pale"},
            ],
        },
        {"document": "Lane/new", "change": "created", "fields": []},
    ]
    condition = {**LANE["rule"]["conditions"][0], "value": "pale"}
    documents = (lane("gray", priority=7, rule={"conditions": [condition]}), lane("red"), lane("new"))
    before = await everything(flow)
    assert (await apply(flow, *documents, dry_run="true"))["changes"] == changed
    assert await everything(flow) == before
    assert (await apply(flow, *documents))["changes"] == changed
    assert "changes" not in await apply(flow, *documents)
    (newest, *_) = await revisions(flow)
    assert newest["changes"] == changed


async def test_slots_that_move_because_of_another_lane_are_told(flow: httpx.AsyncClient) -> None:
    ratio = {"tag": "x", "rule": None, "ratio": {"percent": 60}}
    await apply(flow, lane("one", **ratio))
    await flow.post(f"{FLOW}/lanes/one/disable")
    told = await apply(flow, lane("two", **{**ratio, "ratio": {"percent": 70}}))
    fields = {one["document"]: [field["field"] for field in one["fields"]] for one in told["changes"]}
    assert fields.keys() == {"Lane/one", "Lane/two"}
    assert all(name.startswith("status.slots") for name in fields["Lane/one"])


async def test_prune_deletes_what_is_under_a_group_and_in_no_document(flow: httpx.AsyncClient) -> None:
    await apply(flow, lane("gray"), lane("red"), lane("blue"))
    for parameters in ({"dry_run": "true"}, {}):
        told = await apply(flow, lane("gray"), prune_group="order-flow", note="clean up", **parameters)
        assert told["deleted"] == ["Lane/blue", "Lane/red"]
        assert told["unchanged"] == ["Lane/gray"]
    assert [one["name"] for one in (await flow.get(f"{FLOW}/lanes")).json()["items"]] == ["gray"]
    assert (await flow.get(FLOW)).status_code == 200  # what is named is never pruned itself
    newest, *_ = await revisions(flow)
    assert newest["note"] == "clean up"
    assert newest["what"] == ["deleted Lane/blue", "deleted Lane/red"]


async def test_prune_of_a_gateway_has_its_routes_groups_and_lanes(flow: httpx.AsyncClient) -> None:
    await apply(flow, lane("gray"))
    route = {"kind": "Route", "gateway": "edge", "name": "a", "service": "sc-A"}
    told = await apply(flow, route, prune_gateway="edge", dry_run="true")
    assert told["deleted"] == ["Lane/gray", "LaneGroup/order-flow", "Route/b"]
    body = problem(await flow.post("/v1/apply", params={"prune_group": "order-flo"}, json=[route]), 422)
    assert body["errors"][0]["remedy"] == "did you mean order-flow?"


async def test_prune_deletes_nothing_where_the_result_would_break_a_rule(flow: httpx.AsyncClient) -> None:
    await apply(flow, lane("gray"))
    before = await everything(flow)
    problem(await flow.post("/v1/apply", params={"prune_gateway": "edge"}, json=[lane("gray")]), 422)
    assert await everything(flow) == before


async def test_delete_is_one_revision_and_lists_what_goes_with_it(flow: httpx.AsyncClient) -> None:
    await apply(flow, lane("gray"), lane("red"))
    named = [
        {"kind": "LaneGroup", "name": "order-flow"},
        {"kind": "Lane", "name": "gray"},
        {"kind": "Route", "gateway": "edge", "name": "a", "match": "whatever else stands there"},
        {"kind": "Application", "name": "gone"},
    ]
    number = len(await revisions(flow))
    for parameters in ({"dry_run": "true"}, {"note": "end of the trial"}):
        answer = (await flow.post("/v1/delete", params=parameters, json=named)).json()
        assert ("moves" in answer) == ("dry_run" in parameters)
        answer.pop("moves", None)
        assert answer == {
            "deleted": ["Route/a", "LaneGroup/order-flow", "Lane/gray", "Lane/red"],
            "absent": ["Application/gone"],
        }
    found = await revisions(flow)
    assert len(found) == number + 1
    assert found[0]["note"] == "end of the trial"
    again = (await flow.post("/v1/delete", json=named)).json()
    assert again["deleted"] == []
    assert len(again["absent"]) == 4


async def test_delete_is_all_or_nothing(flow: httpx.AsyncClient) -> None:
    await apply(flow, lane("gray", routes=["a"]), lane("red"))
    before = await everything(flow)
    named = [{"kind": "Lane", "name": "red"}, {"kind": "Route", "gateway": "edge", "name": "a"}]
    problem(await flow.post("/v1/delete", json=named), 409)
    assert await everything(flow) == before
    for wrong, field in (
        ({"kind": "Lan", "name": "x"}, "kind"),
        ({"kind": "Route", "name": "x"}, "gateway"),
        ({"kind": "Lane", "name": "x", "group": {}}, "group"),
    ):
        assert problem(await flow.post("/v1/delete", json=[wrong]), 422)["errors"][0]["field"] == field


async def test_restore_brings_everything_back_to_a_revision(flow: httpx.AsyncClient) -> None:
    ratio = {"tag": "x", "rule": None, "ratio": {"percent": 30}}
    await apply(flow, lane("one", **ratio), lane("two", **ratio))
    wanted, number = await everything(flow), (await revisions(flow))[0]["revision"]
    await apply(flow, lane("one", **{**ratio, "ratio": {"percent": 50}}))
    await flow.post(
        "/v1/delete",
        json=[{"kind": "Lane", "name": "two"}, {"kind": "Route", "gateway": "edge", "name": "b"}],
    )
    await apply(flow, lane("three", **ratio))
    dry = await flow.post(f"/v1/revisions/{number}/restore", params={"dry_run": "true"})
    told = {one["document"]: one["change"] for one in dry.json()["changes"]}
    assert told == {
        "Route/b": "created",
        "Lane/one": "changed",
        "Lane/three": "deleted",
        "Lane/two": "created",
    }
    assert await everything(flow) != wanted
    assert dry.json()["moves"]
    path, seen = f"/v1/revisions/{number}/restore", {"If-Match": dry.headers["ETag"]}
    await apply(flow, lane("four", **{**ratio, "ratio": {"percent": 1}}))
    refused = problem(await flow.post(path, headers=seen), 412)
    assert refused["errors"][0]["message"] == "does not hold: the change would be another one by now"
    await flow.delete("/v1/lane-groups/order-flow/lanes/four")
    done = (await flow.post(path, headers=seen)).json()
    assert done == {"changes": dry.json()["changes"]}
    assert [
        line for line in (await everything(flow)).splitlines() if "[" not in line and "- " not in line
    ] == [line for line in wanted.splitlines() if "[" not in line and "- " not in line]
    newest, *_ = await revisions(flow)
    assert newest["note"] == f"restore of revision {number}"
    assert (await flow.post(f"/v1/revisions/{newest['revision']}/restore")).json() == {"changes": []}
    assert (await revisions(flow))[0] == newest
    empty = (await flow.post("/v1/revisions/0/restore")).json()["changes"]
    assert {one["change"] for one in empty} == {"deleted"}
    for wrong in ("9999", "-1", "x"):
        problem(await flow.post(f"/v1/revisions/{wrong}/restore"), 404)
