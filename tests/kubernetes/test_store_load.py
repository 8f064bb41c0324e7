"""A thousand lanes as custom resources, and steady changes while connections break.

LANEWAY_KUBE_LOAD_SECONDS makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.kubernetes.relay import Relay
from tests.kubernetes.resources import RULE, Definer, install
from tests.kubernetes.server import ApiError, KubeServer
from tests.kubernetes.tools import Admin, through

SECONDS = float(os.environ.get("LANEWAY_KUBE_LOAD_SECONDS", "20"))
LANES = int(os.environ.get("LANEWAY_KUBE_LANES", "1000"))
RATE = 4.0
"""Changes a second."""
CUT = 7.0
"""Seconds between two breaks of all connections."""
GROUP = "/v1/lane-groups/order-flow/lanes"

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300 + 2 * SECONDS)]


def lane(number: int) -> dict[str, Any]:
    conditions = [{"source": "header", "name": "user", "operator": "==", "value": f"user-{number}"}]
    return {"group": "order-flow", "tag": f"t{number}", "rule": {"conditions": conditions}}


def name_of(number: int) -> str:
    return f"lane-{number:04d}"


def object_of(name: str) -> str:
    """The object that is made for a lane over REST."""
    return f"order-flow.{name}"


class Changes:
    """Random changes by kubectl and over REST. `wrong`: what must not happen."""

    def __init__(self, definer: Definer, one: Served, chance: random.Random) -> None:
        self.definer, self.one, self.chance = definer, one, chance
        self.done = self.unavailable = 0
        self.wrong: list[str] = []

    async def make(self) -> None:
        number = self.chance.randrange(LANES)
        name = name_of(number)
        kind = self.chance.choice(("enable", "disable", "priority", "priority", "again", "refused", "rest"))
        try:
            if kind in ("enable", "disable"):
                await self.rest("POST", f"{GROUP}/{name}/{kind}")
            elif kind == "priority":
                await self.definer.patch("Lane", object_of(name), {"priority": self.chance.randrange(1000)})
            elif kind == "again":
                await self.definer.delete("Lane", object_of(name))
                await self.definer.apply("Lane", object_of(name), {"name": name, **lane(number)})
            elif kind == "refused":
                await self.definer.apply("Lane", "refused", {"group": "none", "tag": "x", "rule": RULE})
            else:
                body = lane(number) | {"priority": self.chance.randrange(1000)}
                await self.rest("PUT", f"{GROUP}/{name}", body)
        except ApiError as error:
            if error.code not in (404, 409):  # another change was first
                self.wrong.append(f"{kind} {error}")
        self.done += 1

    async def rest(self, method: str, path: str, body: Any = None) -> None:
        answer = await asyncio.to_thread(self.one.http.request, method, path, json=body)
        if answer.status_code == 503:
            self.unavailable += 1  # the connection to the API server was just cut
        elif answer.status_code not in (200, 201, 404, 409):
            self.wrong.append(f"{method} {path} {answer.status_code} {answer.text[:300]}")


async def test_a_thousand_lanes_under_steady_change(shared: KubeServer, admin: Admin, tmp_path: Path) -> None:
    await asyncio.to_thread(install, shared)
    definer = Definer(shared, admin.namespace)
    await definer.base()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    async with Relay(shared.port) as relay:
        config = through(shared, relay.port, tmp_path / "config")
        arguments = ["--store", f"kubernetes:{admin.namespace}", "--kubernetes-config", str(config)]
        with ExitStack() as stack:
            one = await asyncio.to_thread(stack.enter_context, served(tmp_path, *arguments))
            await asyncio.to_thread(_fill, one)
            await _accepted(definer, one)
            memory = await _change(Changes(definer, one, random.Random(seed)), relay)
            await asyncio.to_thread(_same, definer, one)
            assert not one.said("Traceback"), one.log.read_text()[-3000:]
            third = len(memory) // 3
            middle, last = statistics.median(memory[third:-third]), statistics.median(memory[-third:])
            print(f"memory: {memory[0]:.0f} MiB, then {middle:.0f}, at the end {last:.0f}")
            assert last < 1.05 * middle + 4, memory
            await asyncio.to_thread(stack.close)


def _fill(one: Served) -> None:
    began = time.perf_counter()
    for first in range(0, LANES, 100):
        many = [{"kind": "Lane", "name": name_of(n), **lane(n)} for n in range(first, first + 100)]
        one.http.post("/v1/apply", json=many, timeout=120).raise_for_status()
    print(f"{LANES} lanes applied in {time.perf_counter() - began:.1f} s")


async def _accepted(definer: Definer, one: Served) -> None:
    """Until each lane is an object whose status says that it is accepted."""
    began = time.perf_counter()

    def accepted() -> bool:
        items = definer.server.call("GET", definer.path("Lane"))["items"]
        good = [
            1
            for found in items
            for said in found.get("status", {}).get("conditions", ())
            if said["status"] == "True" and said["observedGeneration"] == found["metadata"]["generation"]
        ]
        return len(good) == LANES

    await asyncio.to_thread(wait_for, accepted, one.process, 180)
    print(f"accepted as objects after {time.perf_counter() - began:.1f} s more")
    found = await definer.call(
        "GET", f"/api/v1/namespaces/{definer.namespace}/configmaps/laneway-definitions"
    )
    print(f"the ConfigMap has {len(found['binaryData']['definitions']) * 3 // 4} bytes")


async def _change(changes: Changes, relay: Relay) -> list[float]:
    """Returns samples of memory, in MiB."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    cut, memory = began + CUT, [changes.one.memory()]
    tasks: set[asyncio.Task[None]] = set()
    cuts = 0
    while (now := loop.time()) < began + SECONDS:
        if len(tasks) < 8:  # a bounded load, whatever the machine does
            task = asyncio.create_task(changes.make())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if now > cut:
            relay.cut()
            cuts, cut = cuts + 1, now + CUT
        memory.append(changes.one.memory())
        await asyncio.sleep(1 / RATE)  # the pace of the load
    await asyncio.gather(*tasks)
    print(f"{changes.done} changes in {SECONDS:g} s, {cuts} breaks, {changes.unavailable} answers 503")
    assert not changes.wrong, changes.wrong[:3]
    assert changes.done > SECONDS
    return memory


def _same(definer: Definer, one: Served) -> None:
    """What is served is what the objects say, but for what is refused."""

    def same() -> bool:
        listed = {found["name"]: found for found in one.http.get(GROUP, timeout=60).json()["items"]}
        objects = {
            found["metadata"]["name"]: found["spec"]
            for found in definer.server.call("GET", definer.path("Lane"))["items"]
        }
        objects.pop("refused", None)
        return listed.keys() == {spec.get("name", name) for name, spec in objects.items()} and all(
            listed[spec.get("name", name)]["priority"] == spec.get("priority", 100)
            and listed[spec.get("name", name)]["enabled"] == spec.get("enabled", True)
            for name, spec in objects.items()
        )

    wait_for(same, one.process, 90)
