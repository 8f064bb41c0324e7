"""Promote, finish and roll back over REST."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from controlplane.model.definitions import Key
from controlplane.registry.types import Health, Instance, Service
from tests.admin import conftest
from tests.admin.conftest import GROUP, LANE, SmallControl, problem

FLOW = "/v1/lane-groups/order-flow"


def instance(number: int, version: str, tag: str | None = None, **more: Any) -> Instance:
    metadata = {"version": version} if version else {}
    return Instance(f"10.0.0.{number}", 80, tag, "spring-cloud-a", metadata=metadata, **more)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the instances of the one service that there is."""

    def has(*instances: Instance) -> None:
        monkeypatch.setattr(
            conftest, "SERVICES", {"file///sc-A": Service("file///sc-A", "file", "sc-A", instances)}
        )

    has(instance(1, "1"), instance(2, "2", "gray"))
    return has


@pytest.fixture
async def lanes(flow: httpx.AsyncClient, registry: Any) -> httpx.AsyncClient:
    """A client with the lanes gray and blue in group order-flow."""
    for name in ("gray", "blue"):
        assert (await flow.put(f"{FLOW}/lanes/{name}", json=LANE | {"tag": name})).is_success
    return flow


async def test_promote_and_roll_back(lanes: httpx.AsyncClient, control: SmallControl) -> None:
    before = control.store.current
    tried = await lanes.post(f"{FLOW}/promote?dry_run=true", json={"lane": "gray"})
    assert (tried.status_code, control.store.current) == (200, before)
    assert tried.json() == {
        "action": "promote",
        "group": "order-flow",
        "lane": "gray",
        "tag": "gray",
        "promoted": "gray",
        "changed": True,
        "dry_run": True,
        "changes": [
            {
                "document": "LaneGroup/order-flow",
                "change": "changed",
                "fields": [{"field": "promoted", "before": None, "after": "gray"}],
            }
        ],
        "moves": tried.json()["moves"],
        "applications": [
            {
                "application": "spring-cloud-a",
                "services": [
                    {
                        "service": "file///sc-A",
                        "tagged": [{"address": "10.0.0.2:80", "version": "2", "healthy": True}],
                        "base": [{"address": "10.0.0.1:80", "version": "1", "healthy": True}],
                    }
                ],
            },
            {"application": "spring-cloud-b", "services": []},
        ],
    }
    assert (await lanes.post(f"{FLOW}/promote", json={"lane": "gray"})).json()["changed"]
    again = await lanes.post(f"{FLOW}/promote", json={"lane": "gray"})
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert (await lanes.get(FLOW)).json()["promoted"] == "gray"
    other = problem(await lanes.post(f"{FLOW}/promote", json={"lane": "blue"}), 409)
    assert "has lane gray promoted already" in other["errors"][0]["message"]
    assert (await lanes.post(f"{FLOW}/rollback")).json()["promoted"] is None
    assert "promoted" not in (await lanes.get(FLOW)).json()
    assert (await lanes.get(f"{FLOW}/lanes/gray")).json()["enabled"] is False
    problem(await lanes.post(f"{FLOW}/rollback"), 409)
    problem(await lanes.post(f"{FLOW}/finish"), 409)
    notes = [one["note"] for one in (await lanes.get("/v1/revisions?limit=2")).json()["items"]]
    assert notes == ["promotion rolled back", "promotion"]


async def test_what_is_promoted_is_kept_undone_and_protected(
    lanes: httpx.AsyncClient, control: SmallControl
) -> None:
    assert (await lanes.post(f"{FLOW}/promote", json={"lane": "gray"})).is_success
    assert (await lanes.put(FLOW, json=GROUP)).json()["promoted"] == "gray"
    assert (
        await lanes.post("/v1/apply", json={"kind": "LaneGroup", "name": "order-flow"} | GROUP)
    ).is_success
    assert "promoted: gray" in (await lanes.get("/v1/export")).text
    refused = problem(await lanes.delete(f"{FLOW}/lanes/gray"), 409)
    assert refused["errors"][0]["message"] == "is promoted in group order-flow"
    unknown = problem(await lanes.post(f"{FLOW}/promote", json={"lane": "grey"}), 422)
    assert unknown["errors"][0]["remedy"] == "known: blue, gray"
    revision = control.store.current.revision
    assert (await lanes.post(f"/v1/revisions/{revision}/undo")).is_success
    assert control.store.current.definitions.groups["order-flow"].promoted is None
    assert (await lanes.post(f"{FLOW}/promote", json={"lane": "gray"})).is_success
    assert (await lanes.delete(FLOW)).is_success


async def test_an_application_is_promoted_in_one_of_its_groups(lanes: httpx.AsyncClient) -> None:
    other = "/v1/lane-groups/stock-flow"
    assert (await lanes.put(other, json=GROUP | {"applications": ["spring-cloud-b", "stock"]})).is_success
    assert (await lanes.put(f"{other}/lanes/green", json=LANE | {"tag": "green"})).is_success
    assert (await lanes.post(f"{FLOW}/promote", json={"lane": "gray"})).is_success
    refused = problem(await lanes.post(f"{other}/promote", json={"lane": "green"}), 409)
    assert "lane gray of group order-flow is promoted, and application spring-cloud-b" in refused["detail"]
    assert (await lanes.put(other, json=GROUP | {"applications": ["stock"]})).is_success
    assert (await lanes.post(f"{other}/promote", json={"lane": "green"})).is_success
    problem(await lanes.put(FLOW, json=GROUP | {"applications": ["spring-cloud-a", "stock"]}), 409)


DOWN = {"health": Health.UNHEALTHY}


@pytest.mark.parametrize(
    ("instances", "missing"),
    [
        ([instance(1, "2")], None),  # nothing has the tag here
        ([instance(1, "2"), instance(2, "2", "gray")], None),
        ([instance(2, "2", "gray")], "no untagged instance exists: requests would get 503"),
        ([instance(1, "2", **DOWN), instance(2, "2", "gray")], "no untagged instance is healthy"),
        ([instance(1, "2", held=True), instance(2, "2", "gray")], "no untagged instance is healthy"),
        (
            [instance(1, "1"), instance(3, "2"), instance(2, "2", "gray")],
            "the untagged instances 10.0.0.1:80 say version 1, those with tag gray say 2",
        ),
        ([instance(1, ""), instance(2, "2", "gray")], "the untagged instances 10.0.0.1:80 say no version"),
        ([instance(1, "2"), instance(2, "", "gray")], "10.0.0.2:80 with tag gray say no version"),
        ([instance(1, ""), instance(2, "", "gray")], "10.0.0.2:80 with tag gray say no version"),
    ],
)
async def test_finishing_asks_for_the_promoted_version(
    lanes: httpx.AsyncClient,
    registry: Any,
    control: SmallControl,
    instances: list[Instance],
    missing: str | None,
) -> None:
    registry(*instances)
    assert (await lanes.post(f"{FLOW}/promote", json={"lane": "gray"})).is_success
    tried = (await lanes.post(f"{FLOW}/finish?dry_run=true")).json()
    said = [text for a in tried["applications"] for s in a["services"] for text in s.get("missing", [])]
    assert tried.get("refused", False) == bool(said) == (missing is not None)
    if missing is not None:
        refused = problem(await lanes.post(f"{FLOW}/finish"), 409)
        assert refused["errors"][0]["field"] == "file///sc-A"
        assert [text.partition(missing)[1] for text in said] == [missing]
        assert control.store.current.definitions.groups["order-flow"].promoted == "gray"
    done = await lanes.post(f"{FLOW}/finish" + ("?force=true" if missing else ""))
    assert (done.status_code, done.json()["promoted"]) == (200, None)
    lane = control.store.current.definitions.get(Key("Lane", "order-flow", "gray"))
    assert lane is not None
    assert lane.model_dump()["enabled"] is False
