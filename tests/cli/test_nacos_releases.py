"""Releases and times of lanes on two control planes that share one real Nacos."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import nacos_server
from tests.cli.run import LANEWAY
from tests.cli.test_serve_nacos import Served, ready, serving
from tests.nacos_server import NacosServer

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]

GROUP = "/v1/lane-groups/order-flow"
HOURS = "/v1/lane-groups/hours"
RELEASE = f"{GROUP}/releases/rollout"
STEPS = 5
CLOCKED = Path(__file__).parents[1] / "mesh" / "clocked.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    version = nacos_server.VERSIONS[0]  # what they write does not depend on it
    with nacos_server.for_test(version, tmp_path_factory.mktemp("nacos")) as started:
        yield started


class Clocks:
    """The clocks of both control planes, each in a file of its own."""

    def __init__(self, directory: Path) -> None:
        self.files = (directory / "one.clock", directory / "other.clock")

    def set(self, text: str) -> None:
        for file in self.files:
            new = file.with_suffix(".new")
            new.write_text(str(datetime.fromisoformat(text).timestamp()))
            new.replace(file)


@contextlib.asynccontextmanager
async def two(
    server: NacosServer, tmp_path: Path, clocks: Clocks | None = None
) -> AsyncIterator[tuple[Served, Served]]:
    services = tmp_path / "services.yaml"
    services.write_text("services: [{name: sc-A, instances: [{address: 127.0.0.1, port: 20001}]}]")
    place = {"LANEWAY_STORE": "nacos", "NACOS_NAMESPACE": "public", "LANEWAY_LANE_DRAIN": "0.1"}
    place["LANEWAY_SERVICES"] = str(services)
    program = (str(LANEWAY),) if clocks is None else (sys.executable, "-P", str(CLOCKED))
    async with contextlib.AsyncExitStack() as stack:
        made: list[Served] = []
        for number, name in enumerate(("one", "other")):
            clock = {} if clocks is None else {"LANEWAY_TEST_CLOCK": str(clocks.files[number])}
            served = serving(server.address, tmp_path / name, program=program, **place, **clock)
            made.append(await stack.enter_async_context(served))
        one, other = made
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


def chosen(lanes: set[str], asked: str) -> Callable[[httpx.Response], bool]:
    """Whether edges choose the lane `asked` for its requests just if it is one of `lanes`."""

    def met(answer: httpx.Response) -> bool:
        return answer.status_code == 200 and answer.json()["lane"] == (asked if asked in lanes else None)

    return met


async def test_times_hold_on_both(server: NacosServer, tmp_path: Path) -> None:
    """`from`, `until`, a schedule over the change of summer time, and a time to live: both control planes
    open and close the lanes by their clocks, nothing is written for it, and one goes on without the other.
    """
    clocks = Clocks(tmp_path)
    clocks.set("2026-03-27T08:59:59+01:00")  # a Friday

    def rule(name: str) -> dict[str, Any]:
        return {"conditions": [{"source": "header", "name": "x", "operator": "==", "value": name}]}

    office = {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": "09:00-17:00"}
    lanes = {
        "office": {"schedule": {**office, "time_zone": "Europe/Berlin"}},
        "begins": {"from": "2026-03-27T12:00:00+01:00"},
        "ends": {"until": "2026-03-27T12:00:00+01:00"},
        "short": {"enabled": False},
    }
    async with two(server, tmp_path, clocks) as (one, other):
        group = {"gateway": "edge", "applications": ["spring-cloud-b"]}  # whose lanes have rules
        (await one.http.put(HOURS, json=group)).raise_for_status()
        for name, times in lanes.items():
            lane = {"tag": name, "rule": rule(name), **times}
            (await one.http.put(f"{HOURS}/lanes/{name}", json=lane)).raise_for_status()
        await other.until(f"{HOURS}/lanes/short", ready)
        (await other.http.post(f"{HOURS}/lanes/short/enable?ttl=2h")).raise_for_status()

        async def revision(served: Served) -> int:
            items = (await served.http.get("/v1/revisions")).json()["items"]
            return max(item["revision"] for item in items)

        async def agree(expected: set[str], *served: Served) -> None:
            for one in served:
                for name in lanes:
                    asked = {"gateway": "edge", "headers": [["x", name]]}
                    await one.until("/v1/explain", chosen(expected, name), asked)
                    found = (await one.http.get(f"{HOURS}/lanes/{name}")).json()["status"]["times"]
                    assert found["open"] is (name in expected), (name, found)

        await agree({"ends", "short"}, one, other)
        before = await revision(one)
        assert await revision(other) == before
        for at, expected in (
            ("2026-03-27T09:00:00+01:00", {"office", "ends", "short"}),
            ("2026-03-27T10:59:58+01:00", {"office", "ends", "short"}),
            ("2026-03-27T10:59:59+01:00", {"office", "ends"}),
            ("2026-03-27T12:00:00+01:00", {"office", "begins"}),
            ("2026-03-27T17:00:00+01:00", {"begins"}),
            ("2026-03-30T08:59:59+02:00", {"begins"}),
            ("2026-03-30T09:00:00+02:00", {"office", "begins"}),  # an hour earlier, now that it is summer
        ):
            clocks.set(at)
            await agree(expected, one, other)
        assert await revision(one) == await revision(other) == before
        one.process.kill()
        await one.process.wait()
        clocks.set("2026-03-30T17:00:00+02:00")
        await agree({"begins"}, other)
        clocks.set("2026-03-27T09:00:00+01:00")  # a clock that is set back
        await agree({"office", "ends", "short"}, other)
        assert await revision(other) == before
