"""Clients that nobody knows, against a fleet of five good ones, over real streams."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from controlplane.xds.resource import ROUTE
from tests.xds.client import resource
from tests.xds.fleet import Auto, Policy, accepts, good, rejects, silent
from tests.xds.world import World, Worlds

CHANGES = 20


class Fleet:
    def __init__(self, world: World, delta: bool) -> None:
        self.world = world
        self.delta = delta
        self.good: list[Auto] = []

    async def join(self, node: str, policy: Policy) -> Auto:
        client = await Auto(self.world, node, policy, delta=self.delta).start()
        if policy is good:
            self.good.append(client)
        return client

    async def join_good(self) -> None:
        for number in range(5):
            await self.join(f"good-{number}", good)

    def change(self, content: str) -> None:
        self.world[ROUTE].put(resource("a", content))

    async def all_have(self, content: str) -> None:
        await asyncio.gather(*(client.has(content) for client in self.good))

    @property
    def left_out(self) -> dict[str, str]:
        """How those stand who are not waited for, by node id."""
        stand = {proxy.id: proxy.standing for proxy in self.world.server.proxies()}
        return {node: state for node, state in stand.items() if state in ("slow", "silent")}

    @property
    def reached_by_bad(self) -> int:
        return sum("bad" in client.seen for client in self.good)


@pytest.fixture
async def fleet(worlds: Worlds, delta: bool) -> Fleet:
    world = await worlds(trial_wait=0.5, trial_retry=0.1).start()
    world[ROUTE].put(resource("a"))
    return Fleet(world, delta)


async def test_one_that_connects_first_and_rejects_holds_nothing_back(fleet: Fleet) -> None:
    rogue = await fleet.join("rogue", rejects)
    await fleet.join_good()
    for number in range(CHANGES):
        fleet.change(f"change-{number}")
        await fleet.all_have(f"change-{number}")
    assert fleet.world.server.counters["trials_outvoted"] == 1
    standings = {proxy.id: proxy.standing for proxy in fleet.world.server.proxies()}
    assert standings["rogue"] == "outvoted"
    await rogue.leave()
    assert fleet.world.server.held() == []


async def test_one_that_asks_again_and_again_and_rejects_holds_nothing_back(fleet: Fleet) -> None:
    await fleet.join_good()
    rogue = await fleet.join("rogue", rejects)

    async def ask() -> None:
        while True:
            await rogue.ask_again()
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask())
    for number in range(CHANGES):
        fleet.change(f"change-{number}")
        await fleet.all_have(f"change-{number}")
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert fleet.world.server.held() == []


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_one_that_accepts_everything_does_not_defeat_a_trial(fleet: Fleet, first: bool) -> None:
    if first:
        await fleet.join("rogue", accepts)
    await fleet.join_good()
    if not first:
        await fleet.join("rogue", accepts)
    fleet.change("bad")
    await asyncio.wait_for(_held(fleet), 10)
    assert fleet.reached_by_bad == 2
    fleet.change("better")
    await fleet.all_have("better")


async def test_a_new_client_gets_the_last_good_while_a_change_is_tried(fleet: Fleet) -> None:
    await fleet.join("rogue", silent)  # it keeps the trial open
    await fleet.join("good-0", good)
    fleet.change("bad")
    await fleet.good[0].saw("bad")
    await fleet.join("late", good)  # which has the last good one
    await asyncio.wait_for(_held(fleet), 10)
    assert fleet.world[ROUTE].get("a") == resource("a")


async def test_streams_of_one_node_id_have_one_vote(fleet: Fleet) -> None:
    for _ in range(3):
        await fleet.join("rogue", rejects)
    await fleet.join_good()
    for number in range(CHANGES):
        fleet.change(f"change-{number}")
        await fleet.all_have(f"change-{number}")


async def test_many_that_come_later_hold_nothing_back(fleet: Fleet) -> None:
    await fleet.join_good()
    for number in range(10):
        await fleet.join(f"rogue-{number}", rejects)
    for number in range(CHANGES):
        fleet.change(f"change-{number}")
        await fleet.all_have(f"change-{number}")


async def test_what_many_rogues_reject_is_tried_again_when_they_leave(fleet: Fleet) -> None:
    rogues = [await fleet.join(f"rogue-{number}", rejects) for number in range(2)]
    await fleet.join_good()
    fleet.change("2")
    await asyncio.wait_for(_held(fleet), 10)
    fleet.change("3")  # who has just rejected something is not asked again
    await fleet.all_have("3")
    fleet.change("4")
    await fleet.all_have("4")
    for rogue in rogues:
        await rogue.leave()
    assert fleet.world.server.held() == []


async def test_a_held_change_goes_to_all_when_the_rogues_leave(fleet: Fleet) -> None:
    rogues = [await fleet.join(f"rogue-{number}", rejects) for number in range(2)]
    await fleet.join_good()
    fleet.change("2")
    await asyncio.wait_for(_held(fleet), 10)
    for rogue in rogues:
        await rogue.leave()
    await fleet.all_have("2")


async def test_who_is_silent_is_waited_for_once(fleet: Fleet) -> None:
    """As a rollout waits: for the sidecars, before an edge chooses a lane."""
    await fleet.join("rogue", silent)
    await fleet.join_good()
    server, loop = fleet.world.server, asyncio.get_running_loop()
    assert await _unanswered(fleet, "2") == ["rogue"]
    await asyncio.wait_for(_silent(fleet), 20)
    for content in ("3", "4", "5"):
        fleet.change(content)
        began = loop.time()
        assert await server.acknowledged(lambda *_: True, 30.0) == []
        assert loop.time() - began < 10
        assert all(content in client.seen for client in fleet.good)
        assert fleet.left_out == {"rogue": "silent"}


async def test_who_answers_again_is_waited_for_again(fleet: Fleet) -> None:
    rogue = await fleet.join("rogue", silent)
    await fleet.join_good()
    assert await _unanswered(fleet, "2") == ["rogue"]
    await asyncio.wait_for(_silent(fleet), 20)
    assert fleet.left_out == {"rogue": "silent"}
    rogue.policy = good
    await rogue.answer_the_rest()
    fleet.change("3")
    await rogue.has("3")
    assert "silent" not in fleet.left_out.values()
    rogue.policy = silent
    assert await _unanswered(fleet, "4") == ["rogue"]
    assert fleet.left_out.keys() <= {"rogue"}


async def _unanswered(fleet: Fleet, content: str) -> list[str]:
    """Who is waited for in vain after a change that all good clients have."""
    fleet.change(content)
    await fleet.all_have(content)
    good = {client.node for client in fleet.good}
    server = fleet.world.server
    assert await server.acknowledged(lambda node, _: node.id in good, 30.0) == []
    return await server.acknowledged(lambda *_: True, 0.1)


async def _silent(fleet: Fleet) -> None:
    while [one.standing for one in fleet.world.server.proxies("rogue")] != ["silent"]:  # noqa: ASYNC110  (the same)
        await asyncio.sleep(0.01)


async def _held(fleet: Fleet) -> None:
    while not fleet.world.server.held():  # noqa: ASYNC110  (the server has no event for it)
        await asyncio.sleep(0.01)
