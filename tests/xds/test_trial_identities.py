"""Clients with certificates: what those of one application reject is held back from no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controlplane.net.tls import Tls
from controlplane.xds.identities import Identities
from controlplane.xds.resource import ROUTE
from tests.trust import Authority
from tests.xds.client import resource
from tests.xds.fleet import Auto, good, rejects
from tests.xds.world import World, Worlds

ROGUES = 20
CHANGES = 50


class Town:
    """Clients of applications, all at the address of this machine, as behind a NAT."""

    def __init__(self, world: World, authority: Authority, delta: bool) -> None:
        self.world = world
        self.authority = authority
        self.delta = delta

    async def join(self, application: str, count: int, policy: object = good) -> list[Auto]:
        of = self.authority.client(f"application/{application}")
        found: list[Auto] = []
        for number in range(count):
            client = Auto(self.world, f"{application}-{number}", policy, delta=self.delta, of=of)  # type: ignore[arg-type]
            found.append(await client.start())
        return found


@pytest.fixture
async def town(worlds: Worlds, tmp_path: Path, delta: bool) -> Town:
    authority = Authority(tmp_path)
    tls = Tls(authority.server())
    world = await worlds(tls=tls, identities=Identities(), trial_wait=0.5).start()
    world[ROUTE].put(resource("a"))
    return Town(world, authority, delta)


async def test_twenty_nodes_of_one_application_hold_back_nothing_from_others(town: Town) -> None:
    """They come first, and are at the same address as all others."""
    await town.join("rogue", ROGUES, rejects)
    others = await town.join("shop", 3) + await town.join("bank", 2)
    for number in range(CHANGES):
        town.world[ROUTE].put(resource("a", f"change-{number}"))
        await asyncio.gather(*(client.has(f"change-{number}") for client in others))
    assert town.world.server.counters["trials_rejected"] == 0
    assert town.world.server.held() == []


async def test_what_two_applications_reject_is_held(town: Town) -> None:
    shop, bank = await town.join("shop", 3), await town.join("bank", 3)
    town.world[ROUTE].put(resource("a", "bad"))
    async with asyncio.timeout(10):
        while not town.world.server.held():  # noqa: ASYNC110  (the server has no event for it)
            await asyncio.sleep(0.01)
    assert sum("bad" in client.seen for client in (*shop, *bank)) == 2


async def test_what_an_application_rejects_is_held_back_from_its_own(town: Town) -> None:
    """Where nobody else uses it, its nodes are asked, as where nobody has a certificate."""
    await town.join("shop", 3, rejects)
    town.world[ROUTE].put(resource("a", "2"))
    async with asyncio.timeout(10):
        while not town.world.server.held():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
