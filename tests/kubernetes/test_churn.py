"""Random changes, breaks and restarts of the API server: the source ends up with what is there."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.registry.hold import Times
from controlplane.registry.kubernetes import KubernetesConfig
from tests.kubernetes.relay import Relay
from tests.kubernetes.server import ApiError, KubeServer
from tests.kubernetes.tools import Admin, same, through, watching

CHANGES = int(os.environ.get("LANEWAY_KUBE_CHANGES", "400"))
SERVICES = ("sc-a", "sc-b", "sc-c")
TAGS = (None, None, "gray", "blue", "")

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(120 + CHANGES)]


@pytest.fixture
async def relay(own: KubeServer) -> AsyncIterator[Relay]:
    async with Relay(own.port) as relay:
        yield relay


class Churn:
    """Makes one random change after the other, and counts them."""

    def __init__(self, admin: Admin, chance: random.Random) -> None:
        self._admin, self._chance = admin, chance
        self._pods: dict[str, int] = {}
        self._services: set[str] = set()
        self._made = 0
        self.done = 0

    async def one(self) -> None:
        chance = self._chance
        try:
            match chance.choices(("pod", "status", "label", "delete", "service"), (4, 6, 5, 3, 1))[0]:
                case "service":
                    await self._service(chance.choice(SERVICES))
                case "pod":
                    await self._pod()
                case kind if self._pods:
                    await self._change(kind, chance.choice(sorted(self._pods)))
                case _:
                    return
        except ApiError as error:
            if error.code not in (404, 409):  # a pod in deletion may be gone by now
                raise
        self.done += 1

    async def _service(self, name: str) -> None:
        if name in self._services:
            await self._admin.delete("services", name)
        else:
            await self._admin.service(name, {"app": name})
        self._services ^= {name}

    async def _pod(self) -> None:
        if len(self._pods) >= 40:
            return
        self._made += 1
        # Names come back, as those of a StatefulSet do.
        name = f"p-{self._chance.randrange(60)}"
        tag = self._chance.choice(TAGS)
        labels = {"app": self._chance.choice(SERVICES)} | ({"lane": tag} if tag is not None else {})
        await self._admin.pod(name, "", labels)
        self._pods[name] = self._made
        if self._chance.random() < 0.8:
            await self._change("status", name)

    async def _change(self, kind: str, name: str) -> None:
        number = self._pods.get(name, 0)
        if kind == "status":
            ready = self._chance.random() < 0.7
            await self._admin.status(name, f"10.9.{number // 250 % 250}.{number % 250 + 1}", ready)
        elif kind == "label":
            await self._admin.label(name, lane=self._chance.choice(TAGS))
        else:
            grace = self._chance.choice((0, 0, 30))
            await self._admin.delete("pods", name, grace)
            if not grace:
                self._pods.pop(name, None)  # several changes are made at once


async def test_the_state_is_that_of_a_new_list(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    """Set LANEWAY_KUBE_CHANGES for more. Every quarter ends with a break of another kind."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    churn = Churn(Admin(own), chance)
    config = KubernetesConfig(
        kubeconfig=through(own, relay.port, tmp_path / "config"), retry_most=0.5, heartbeat=1.0, watch_for=5.0
    )
    breaks = max(4, CHANGES // 500)
    async with watching(config, times=Times(empty_hold=0.0, reconnect_wait=0.0)) as watch:
        for turn in range(breaks):
            until = CHANGES * (turn + 1) // breaks
            while churn.done < until:
                await asyncio.gather(*(churn.one() for _ in range(4)))
            kind = ("kill", "gap", "cut", "calm")[turn % 4]
            if kind == "kill":
                own.kill()
                await asyncio.to_thread(own.start)
            elif kind == "gap":
                relay.refuses = True
                relay.cut()
                for _ in range(20):
                    await churn.one()
                own.kill()
                await asyncio.to_thread(own.start)
                for _ in range(20):
                    await churn.one()
                relay.refuses = False
            elif kind == "cut":
                relay.cut()
            await churn.one()
            await same(watch, own)
        lists = [one.lists for one in watch.source.reflectors]
        print("changes", churn.done, "lists", lists, "connections", relay.taken)
