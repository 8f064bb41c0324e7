"""Releases and times of lanes on two control planes that share one real Nacos."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.model.time_fields import instant_of
from tests import nacos_server
from tests.cli.test_serve_nacos import Served, ready, serving
from tests.nacos_server import NacosServer

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]

GROUP = "/v1/lane-groups/order-flow"
HOURS = "/v1/lane-groups/hours"
RELEASE = f"{GROUP}/releases/rollout"
STEPS = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    version = nacos_server.VERSIONS[0]  # what they write does not depend on it
    with nacos_server.for_test(version, tmp_path_factory.mktemp("nacos")) as started:
        yield started


@contextlib.asynccontextmanager
async def two(server: NacosServer, tmp_path: Path) -> AsyncIterator[tuple[Served, Served]]:
    place = {"LANEWAY_STORE": "nacos", "NACOS_NAMESPACE": "public", "LANEWAY_LANE_DRAIN": "0.1"}
    async with (
        serving(server.address, tmp_path / "one", **place) as one,
        serving(server.address, tmp_path / "other", **place) as other,
    ):
        for served in (one, other):
            await served.until("/readyz", ready)
        for path, body in (
            ("/v1/gateways/edge", {"listeners": [{"port": 8080}]}),
            ("/v1/gateways/edge/routes/a", {"service": "sc-A"}),
            (GROUP, {"gateway": "edge", "applications": ["spring-cloud-a"]}),
        ):
            (await one.http.put(path, json=body)).raise_for_status()
        await other.until(GROUP, ready)
        yield one, other


def progress(answer: httpx.Response) -> dict[str, Any]:
    found = answer.json().get("progress") if answer.status_code == 200 else None
    return found or {"phase": "", "step": -1}


def at(phase: str, step: int) -> Callable[[httpx.Response], bool]:
    def met(answer: httpx.Response) -> bool:
        now = progress(answer)
        return (now["phase"], now["step"]) == (phase, step)

    return met


async def test_the_one_that_makes_the_steps_is_killed(server: NacosServer, tmp_path: Path) -> None:
    """In the middle of a step: the other goes on with it, no step comes twice and none is left out."""
    shares = [5, 10, 20, 40, 80]
    release = {
        "lane": "gray",
        "steps": [{"percent": one, "hold": "4s"} for one in shares],
        "interval": "1s",
    }
    async with two(server, tmp_path) as (one, other):
        lane = {"tag": "gray", "enabled": False, "ratio": {"percent": 100}}
        (await one.http.put(f"{GROUP}/lanes/gray", json=lane)).raise_for_status()
        (await one.http.put(RELEASE, json=release)).raise_for_status()
        await other.until(RELEASE, ready)
        (await one.http.post(f"{RELEASE}/start?force=true")).raise_for_status()
        for served in (one, other):
            await served.until(RELEASE, at("running", 1))
        # The one that made the step says that it moved; both may have tried, and one of them made it.
        leader, left = (one, other) if "release moved" in one.log.read_text() else (other, one)
        leader.process.kill()
        await leader.process.wait()
        for step in range(2, STEPS):
            await left.until(RELEASE, lambda answer, step=step: progress(answer)["step"] >= step)
        await left.until(RELEASE, at("succeeded", STEPS - 1))
        found = progress(await left.http.get(RELEASE))
        assert [(made["step"], made["what"]) for made in found["decisions"]] == [
            (1, "started with 5 %"),
            *((n + 1, f"step {n} has passed; the next has {shares[n]} %") for n in range(1, STEPS)),
            (STEPS, "every step has passed"),
        ]
        times = [made["at"] for made in found["decisions"]]
        assert all(after - before >= 3.99 for before, after in itertools.pairwise(times)), times
        revisions = (await left.http.get("/v1/revisions")).json()["items"]
        steps = [one for item in revisions if (one := item.get("note", "")).startswith("release rollout: ")]
        assert len(steps) == STEPS + 1, steps
        assert (await left.http.get(f"{GROUP}/lanes/gray")).json()["ratio"]["percent"] == shares[-1]


async def test_times_hold_on_both(server: NacosServer, tmp_path: Path) -> None:
    """`from`, `until` and a time to live: each sees them pass by its own clock, and nothing is written."""
    rule = {"conditions": [{"source": "header", "name": "x", "operator": "==", "value": "y"}]}
    async with two(server, tmp_path) as (one, other):
        group = {"gateway": "edge", "applications": ["spring-cloud-b"]}  # whose lanes have rules
        (await one.http.put(HOURS, json=group)).raise_for_status()
        await other.until(HOURS, ready)
        begin = int(time.time()) + 10
        timed = {"tag": "timed", "rule": rule, "from": instant_of(begin), "until": instant_of(begin + 5)}
        (await one.http.put(f"{HOURS}/lanes/timed", json=timed)).raise_for_status()
        short = {"tag": "short", "rule": rule, "enabled": False}
        (await one.http.put(f"{HOURS}/lanes/short", json=short)).raise_for_status()
        (await other.http.post(f"{HOURS}/lanes/short/enable?ttl=15s")).raise_for_status()

        def is_open(name: str, said: bool) -> Callable[[httpx.Response], bool]:
            def met(answer: httpx.Response) -> bool:
                if answer.status_code != 200 or answer.json()["name"] != name:
                    return False
                return answer.json()["status"].get("times", {}).get("open") is said

            return met

        async def revision(served: Served) -> int:
            items = (await served.http.get("/v1/revisions")).json()["items"]
            return max(item["revision"] for item in items)

        for served in (one, other):
            await served.until(f"{HOURS}/lanes/timed", is_open("timed", False))
            await served.until(f"{HOURS}/lanes/short", is_open("short", True))
        before = await revision(one)
        await asyncio.gather(
            *(served.until(f"{HOURS}/lanes/timed", is_open("timed", True)) for served in (one, other))
        )
        assert time.time() >= begin
        for name in ("timed", "short"):
            await asyncio.gather(
                *(served.until(f"{HOURS}/lanes/{name}", is_open(name, False)) for served in (one, other))
            )
        assert await revision(one) == await revision(other) == before
