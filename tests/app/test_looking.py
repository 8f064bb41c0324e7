"""Warnings come after changes: no change waits for them on its way to the proxies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from controlplane.admin.app import AdminSettings, create_app
from controlplane.app.laneway import Laneway
from controlplane.plan.warnings import Warner
from controlplane.registry.catalog import Catalog
from controlplane.registry.file import FileSource
from controlplane.rpc.choice import transport
from controlplane.store.memory import MemoryStore

SERVICES = """
services:
- name: sc-A
  instances:
  - {address: 10.0.0.1, port: 80, metadata: {app: a}}
  - {address: 10.0.0.2, port: 80, metadata: {app: a, lane: gray}}
"""
CANARY = 'rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}'
DEFINITIONS = f"""
{{kind: Gateway, name: edge, listeners: [{{port: 8080}}]}}
---
{{kind: Route, gateway: edge, name: a, service: sc-A, match: {{path: {{prefix: /a}}}}}}
---
{{kind: LaneGroup, name: g, gateway: edge, applications: [a]}}
---
{{kind: Lane, group: g, name: gray, tag: gray, {CANARY}}}
"""
FLOW = "/v1/lane-groups/g"
RATIO = """
{kind: LaneGroup, name: h, gateway: edge, applications: [a, b]}
---
{kind: Lane, group: h, name: share, tag: gray, enabled: false, ratio: {percent: 100}}
---
{kind: Release, group: h, name: rollout, lane: share, steps: [{percent: 5}]}
"""


class Held:
    """A control plane whose search for warnings ends only after the next publication."""

    def __init__(self, laneway: Laneway, client: httpx.AsyncClient, patch: pytest.MonkeyPatch) -> None:
        self.client = client
        self.order: list[str] = []
        self.revision = laneway.store.current.revision
        self._published = threading.Event()
        self.looks = asyncio.Event()
        loop = asyncio.get_running_loop()
        publish, warnings = laneway.publisher.publish, Warner.warnings

        def told(*arguments: Any) -> None:
            publish(*arguments)
            if laneway.store.current.revision > self.revision:
                self.order.append("published")
                self._published.set()

        def late(*arguments: Any) -> Any:
            loop.call_soon_threadsafe(self.looks.set)
            assert self._published.wait(30), "the change waits for warnings"
            self.order.append("looked")
            return warnings(*arguments)

        patch.setattr(laneway.publisher, "publish", told)
        patch.setattr(Warner, "warnings", late)


@pytest.fixture
async def laneway(tmp_path: Path) -> AsyncIterator[Laneway]:
    path = tmp_path / "services.yaml"
    path.write_text(SERVICES)
    laneway = Laneway(MemoryStore(), Catalog([FileSource(path)]), transport(), lane_drain=0.0)
    await laneway.load(DEFINITIONS.encode())
    running = asyncio.create_task(laneway.run())
    await laneway.catalog.wait_synced()
    yield laneway
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await laneway.store.close()


@pytest.fixture
async def client(laneway: Laneway) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(laneway, AdminSettings(metrics=CollectorRegistry()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as one:
        yield one


LANE = f"{{kind: Lane, group: g, name: gray, tag: gray, priority: 7, {CANARY}}}"
DELETION = "[{kind: Lane, name: gray}]"
YAML = {"content-type": "application/yaml"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/apply", LANE),
        ("PUT", f"{FLOW}/lanes/gray", LANE),
        ("PATCH", f"{FLOW}/lanes/gray", "{priority: 7}"),
        ("POST", f"{FLOW}/lanes/gray/disable", ""),
        ("POST", f"{FLOW}/promote", "{lane: gray}"),
        ("POST", "/v1/revisions/0/restore", ""),
        ("POST", "/v1/delete", DELETION),
        ("DELETE", f"{FLOW}/lanes/gray", ""),
    ],
)
@pytest.mark.parametrize("busy", [False, True], ids=["nobody looks", "somebody looks"])
async def test_a_change_is_published_before_warnings_are_looked_for(
    laneway: Laneway,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: str,
    busy: bool,
) -> None:
    """The search cannot end before: a change that waits for it is never made."""
    held = Held(laneway, client, monkeypatch)
    async with asyncio.timeout(90):
        looking = asyncio.create_task(client.get("/v1/warnings")) if busy else None
        if looking is not None:
            await held.looks.wait()
        answer = await client.request(method, path, content=body, headers=YAML if body else {})
        assert answer.is_success, answer.text
        if looking is not None:
            assert (await looking).is_success
    assert held.order[0] == "published"


async def test_apply_tells_what_is_new_on_others_although_it_looks_later(
    laneway: Laneway, client: httpx.AsyncClient
) -> None:
    """What others were warned about before the change is told with it only once."""
    second = f"""
{{kind: LaneGroup, name: f, gateway: edge, applications: [a, b]}}
---
{{kind: Lane, group: f, name: first, tag: gray, priority: 1, {CANARY}}}
"""
    answer = (await client.post("/v1/apply", content=second, headers=YAML)).json()
    told = [one["message"] for one in answer["warnings"] if one["document"] == "Lane/gray"]
    assert any("no request reaches this lane: lane first takes all" in text for text in told), told
    third = "{kind: Route, gateway: edge, name: z, service: sc-A, match: {path: {prefix: /z}}}"
    answer = (await client.post("/v1/apply", content=third, headers=YAML)).json()
    assert "warnings" not in answer


async def test_a_release_does_not_start_into_a_conflict(laneway: Laneway, client: httpx.AsyncClient) -> None:
    """Warnings that the lane would have are in the way, though it is disabled yet."""
    assert (await client.post("/v1/apply", content=RATIO, headers=YAML)).is_success
    path = "/v1/lane-groups/h/releases/rollout"
    (wrong,) = (await client.get(f"{path}/status")).json()["preflight"]["wrong"]
    assert wrong.startswith("calls without a lane from instances of a with its tag are base: ")
    refused = await client.post(f"{path}/start")
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (409, wrong)
    assert (await client.post(f"{FLOW}/lanes/gray/disable")).is_success
    assert (await client.get(f"{path}/status")).json()["preflight"]["wrong"] == []
    assert (await client.post(f"{path}/start")).is_success
