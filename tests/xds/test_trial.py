"""A changed listener or route configuration goes to two of those that use it first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.xds.client import Stream, resource
from tests.xds.world import World, Worlds

NEVER = 60.0


class Trio:
    """Three clients of one world that have version 1 of everything; the first two get changes first."""

    def __init__(self, world: World, delta: bool) -> None:
        self.world = world
        self.delta = delta
        self.one = world.connect("one", delta=delta)
        self.two = world.connect("two", delta=delta)
        self.three = world.connect("three", delta=delta)
        self.all = (self.one, self.two, self.three)

    async def start(self) -> None:
        for type_url, name in ((CLUSTER, "old"), (ENDPOINT, "old"), (LISTENER, "a"), (ROUTE, "a")):
            self.world[type_url].put(resource(name))
        for stream in self.all:
            await self.subscribe(stream)

    async def subscribe(self, stream: Stream) -> None:
        for type_url, name in ((CLUSTER, "old"), (ENDPOINT, "old"), (LISTENER, "a"), (ROUTE, "a")):
            await stream.subscribe(type_url, [] if type_url in (CLUSTER, LISTENER) else [name])
            await stream.expect(type_url, [name])
        await stream.quiet()

    async def late(self, type_url: str, name: str = "late") -> Stream:
        """A client that has asked for `a` of this type alone."""
        stream = self.world.connect(name, delta=self.delta)
        await stream.subscribe(type_url, [] if type_url == LISTENER else ["a"])
        return stream

    async def asked(self) -> tuple[Any, Any]:
        """What the first two are sent, and nobody else."""
        replies = (await self.one.reply(), await self.two.reply())
        await self.three.quiet()
        return replies

    async def reject(self, type_url: str, content: str = "bad") -> None:
        """Change `a` so that the first two reject it."""
        self.world[type_url].put(resource("a", content))
        first, second = await self.asked()
        await self.one.ack(first, error="no such filter")
        await self.one.quiet()
        await self.two.ack(second, error="not here either")
        await self.two.quiet()
        await self.one.quiet()
        await self.three.quiet()

    def content(self, reply: object) -> list[bytes]:
        parts = reply.resources  # pyright: ignore[reportAttributeAccessIssue]
        return [part.resource.value if self.delta else part.value for part in parts]


@pytest.fixture
async def trio(worlds: Worlds, delta: bool) -> Trio:
    trio = Trio(await worlds(trial_wait=NEVER).start(), delta)
    await trio.start()
    return trio


tried = pytest.mark.parametrize("type_url", [LISTENER, ROUTE], ids=["listener", "route"])


@tried
async def test_a_change_goes_to_the_rest_when_two_have_accepted_it(trio: Trio, type_url: str) -> None:
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    await trio.one.ack(first)
    await trio.one.quiet()
    await trio.three.quiet()
    await trio.two.ack(second)
    assert trio.content(await trio.three.expect(type_url, ["a"])) == [b"a|2"]
    for stream in trio.all:
        await stream.quiet()
    assert trio.world.server.counters["trials_accepted"] == 1


@tried
async def test_who_says_nothing_is_replaced(worlds: Worlds, delta: bool, type_url: str) -> None:
    trio = Trio(await worlds(trial_wait=0.05).start(), delta)
    await trio.start()
    trio.world[type_url].put(resource("a", "bad"))
    for stream in (trio.one, trio.three):
        reply = await stream.reply()
        assert trio.content(reply) == [b"a|bad"]
        await stream.ack(reply, error="no")
    assert trio.content(await trio.two.reply()) == [b"a|bad"]
    assert trio.content(await trio.two.reply()) == [b"a|1"]
    assert trio.world.server.counters["trials_rejected"] == 1


@tried
async def test_a_change_goes_to_the_rest_when_nobody_says_anything(
    worlds: Worlds, delta: bool, type_url: str
) -> None:
    trio = Trio(await worlds(trial_wait=0.02).start(), delta)
    await trio.start()
    more = [await trio.late(type_url, f"late-{number}") for number in range(4)]
    for stream in more:
        await stream.expect(type_url, ["a"])
    trio.world[type_url].put(resource("a", "2"))
    for stream in (*trio.all, *more):  # the last one is not among those that are asked in three rounds
        assert trio.content(await stream.reply()) == [b"a|2"]
    assert trio.world.server.counters["trials_timed_out"] == 1


@tried
async def test_a_rejected_change_is_held_and_the_last_good_stays(trio: Trio, type_url: str) -> None:
    await trio.reject(type_url)
    (held,) = trio.world.server.held()
    assert (held.type_url, held.resource.body) == (type_url, b"a|bad")
    assert (held.node, held.confirmed) == ("one", ("two",))
    assert held.nack is not None
    assert held.nack.message == "no such filter"
    states = {proxy.id: proxy.types[type_url].nack for proxy in trio.world.server.proxies()}
    assert states["one"] == held.nack
    assert states["two"] is not None
    assert states["three"] is None
    assert trio.world.server.counters["trials_rejected"] == 1
    assert trio.world.server.counters["nacks"] == 2
    trio.world[type_url].put(resource("a", "bad"))
    for stream in trio.all:
        await stream.quiet()
    late = await trio.late(type_url)
    assert trio.content(await late.expect(type_url, ["a"])) == [b"a|1"]


@tried
async def test_one_rejection_is_decided_by_a_third(trio: Trio, type_url: str) -> None:
    late = await trio.late(type_url)
    await late.expect(type_url, ["a"])
    await late.quiet()
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    await trio.one.ack(first, error="I do not like it")
    await trio.two.ack(second)
    reply = await trio.three.reply()
    await late.quiet()
    await trio.three.ack(reply)
    assert trio.content(await late.expect(type_url, ["a"])) == [b"a|2"]
    await trio.one.quiet()
    server = trio.world.server
    assert server.held() == []
    assert (server.counters["trials_accepted"], server.counters["trials_outvoted"]) == (1, 1)
    standings = {proxy.id: proxy.standing for proxy in server.proxies()}
    assert standings == {"one": "outvoted", "two": "new", "three": "new", "late": "new"}
    trio.world[type_url].put(resource("a", "3"))  # who was outvoted is not asked again
    for stream in (trio.two, trio.three):
        reply = await stream.reply()
        await trio.one.quiet()
        await late.quiet()
        await stream.ack(reply)
    for stream in (trio.one, late):
        assert trio.content(await stream.expect(type_url, ["a"])) == [b"a|3"]


@tried
async def test_who_accepts_what_all_others_reject_does_not_decide(trio: Trio, type_url: str) -> None:
    late = await trio.late(type_url)
    await late.expect(type_url, ["a"])
    trio.world[type_url].put(resource("a", "bad"))
    first, second = await trio.asked()
    await trio.one.ack(first)
    await trio.two.ack(second, error="no")
    await trio.three.ack(await trio.three.reply(), error="no")
    assert trio.content(await trio.one.expect(type_url, ["a"])) == [b"a|1"]
    await late.quiet()
    assert [held.confirmed for held in trio.world.server.held()] == [("two",)] or [
        held.confirmed for held in trio.world.server.held()
    ] == [("three",)]


@tried
async def test_what_corrects_a_held_change_is_tried_too(trio: Trio, type_url: str) -> None:
    await trio.reject(type_url)
    trio.world[type_url].put(resource("a", "good"))
    # Who has rejected something is asked last.
    third, second = await trio.three.reply(), await trio.two.reply()
    await trio.one.quiet()
    assert trio.world.server.held() == []
    await trio.three.ack(third)
    await trio.two.ack(second)
    assert trio.content(await trio.one.expect(type_url, ["a"])) == [b"a|good"]
    await trio.one.quiet()
    for proxy in trio.world.server.proxies():
        assert proxy.types[type_url].nack is None
        assert proxy.types[type_url].acked == trio.world.view.version(type_url)


@tried
async def test_taking_a_held_change_back_ends_the_hold_and_sends_nothing(trio: Trio, type_url: str) -> None:
    await trio.reject(type_url)
    trio.world[type_url].put(resource("a", "1"))
    for stream in trio.all:
        await stream.quiet()
    assert trio.world.server.held() == []


@tried
async def test_a_held_change_is_tried_again_when_one_that_rejected_it_leaves(
    trio: Trio, type_url: str
) -> None:
    late = await trio.late(type_url)
    await late.expect(type_url, ["a"])
    await late.quiet()
    await trio.reject(type_url)
    trio.one.call.cancel()
    for stream in (trio.three, late):
        reply = await stream.reply()
        assert trio.content(reply) == [b"a|bad"]
        await stream.ack(reply)
    assert trio.content(await trio.two.expect(type_url, ["a"])) == [b"a|bad"]
    server = trio.world.server
    assert server.held() == []
    assert (server.counters["trials_retried"], server.counters["trials_accepted"]) == (1, 1)


@tried
async def test_a_held_change_stays_held_when_it_is_rejected_again(trio: Trio, type_url: str) -> None:
    late = await trio.late(type_url)
    await late.expect(type_url, ["a"])
    await late.quiet()
    await trio.reject(type_url)
    trio.one.call.cancel()
    await trio.three.ack(await trio.three.reply(), error="no")
    for stream in (trio.two, trio.three, late):
        await stream.quiet()
    (held,) = trio.world.server.held()
    assert (held.node, held.confirmed) == ("two", ("three",))


@tried
async def test_who_comes_when_all_that_rejected_a_change_are_gone_gets_the_last_good_first(
    trio: Trio, type_url: str
) -> None:
    """As Envoys do that are restarted: one that began with what it rejects would have nothing."""
    await trio.reject(type_url)
    for stream in trio.all:
        stream.call.cancel()
    back = await trio.late(type_url, "one")
    assert trio.content(await back.expect(type_url, ["a"])) == [b"a|1"]
    reply = await back.reply()
    assert trio.content(reply) == [b"a|bad"]
    await back.ack(reply, error="no such filter")
    await back.quiet()
    assert [held.node for held in trio.world.server.held()] == ["one"]
    other = await trio.late(type_url, "two")
    assert trio.content(await other.expect(type_url, ["a"])) == [b"a|1"]
    reply = await other.reply()
    assert trio.content(reply) == [b"a|bad"]
    await other.ack(reply)
    await other.quiet()
    assert trio.world.server.held() == []


@tried
async def test_what_is_put_at_once_overtakes_a_trial(trio: Trio, type_url: str) -> None:
    trio.world[type_url].put(resource("a", "2"))
    first, _ = await trio.asked()
    with trio.world.server.at_once():
        trio.world[type_url].put(resource("a", "3"))
    assert trio.content(await trio.three.expect(type_url, ["a"])) == [b"a|3"]
    await trio.one.ack(first)
    assert trio.content(await trio.one.expect(type_url, ["a"])) == [b"a|3"]
    await trio.three.quiet()


@tried
async def test_what_is_put_at_once_passes_a_held_change(trio: Trio, type_url: str) -> None:
    await trio.reject(type_url)
    with trio.world.server.at_once():
        trio.world[type_url].put(resource("a", "bad"))
        await trio.three.quiet()
        trio.world[type_url].put(resource("a", "off"))
    for stream in trio.all:
        assert trio.content(await stream.expect(type_url, ["a"])) == [b"a|off"]
    assert trio.world.server.held() == []


async def test_what_is_new_or_removed_is_not_tried(trio: Trio) -> None:
    trio.world[LISTENER].put(resource("b"))
    replies = [await stream.reply() for stream in trio.all]
    for stream, reply in zip(trio.all, replies, strict=True):
        assert "b" in stream.names_of(reply)
        await stream.ack(reply)
    trio.world[LISTENER].remove("b")
    for stream in trio.all:
        await stream.expect(LISTENER, [] if trio.delta else ["a"], removed=["b"])


@tried
async def test_a_removal_ends_a_trial_and_a_hold(trio: Trio, type_url: str) -> None:
    trio.world[type_url].put(resource("b"))
    trio.world[type_url].remove("a")
    trio.world[type_url].put(resource("a", "1"))
    for stream in trio.all:
        await stream.subscribe(type_url, [] if type_url == LISTENER else ["a", "b"])
        while "b" not in stream.names_of(reply := await stream.reply()):
            await stream.ack(reply)
        await stream.ack(reply)
        await stream.quiet()
    await trio.reject(type_url)
    trio.world[type_url].remove("a")
    assert trio.world.server.held() == []
    trio.world[type_url].put(resource("a", "bad"))
    for stream in trio.all:
        while b"a|bad" not in trio.content(reply := await stream.reply()):
            await stream.ack(reply)


async def test_streams_of_one_node_are_no_trial(worlds: Worlds, delta: bool) -> None:
    world = await worlds(trial_wait=NEVER).start()
    world[ROUTE].put(resource("a"))
    streams = [world.connect("same", delta=delta) for _ in range(3)]
    for stream in streams:
        await stream.subscribe(ROUTE, ["a"])
        await stream.expect(ROUTE, ["a"])
    world[ROUTE].put(resource("a", "2"))
    for stream in streams:
        assert stream.names_of(await stream.reply()) == ["a"]


async def test_many_streams_of_one_node_have_one_vote(worlds: Worlds, delta: bool) -> None:
    world = await worlds(trial_wait=NEVER).start()
    world[ROUTE].put(resource("a"))
    rogues = [world.connect("rogue", delta=delta) for _ in range(3)]
    good = [world.connect(f"good-{number}", delta=delta) for number in range(2)]
    for stream in (*rogues, *good):
        await stream.subscribe(ROUTE, ["a"])
        await stream.expect(ROUTE, ["a"])
        await stream.quiet()
    world[ROUTE].put(resource("a", "2"))
    await rogues[0].ack(await rogues[0].reply(), error="no")
    for stream in (*good, *rogues[1:]):
        await stream.expect(ROUTE, ["a"])
    assert world.server.held() == []


async def test_only_those_who_use_what_is_tried_wait(trio: Trio) -> None:
    alone = trio.world.connect("alone", delta=trio.delta)
    trio.world[ROUTE].put(resource("mine"))
    await alone.subscribe(ROUTE, ["mine"])
    await alone.expect(ROUTE, ["mine"])
    trio.world[ROUTE].put(resource("a", "2"))
    trio.world[ROUTE].put(resource("mine", "2"))
    await alone.expect(ROUTE, ["mine"])
    first, second = await trio.asked()
    await trio.one.ack(first)
    await trio.two.ack(second)
    await trio.three.expect(ROUTE, ["a"])


async def test_resources_of_different_users_are_tried_side_by_side(trio: Trio) -> None:
    others = [trio.world.connect(name, delta=trio.delta) for name in ("four", "five", "six")]
    trio.world[ROUTE].put(resource("b"))
    for stream in others:
        await stream.subscribe(ROUTE, ["b"])
        await stream.expect(ROUTE, ["b"])
        await stream.quiet()
    trio.world[ROUTE].put(resource("a", "2"))
    trio.world[ROUTE].put(resource("b", "2"))
    first, second = await trio.asked()
    for stream in others[:2]:
        reply = await stream.reply()
        await others[2].quiet()
        await stream.ack(reply)
    await others[2].expect(ROUTE, ["b"])
    await trio.one.ack(first, error="not mine")
    await trio.two.ack(second, error="not mine")
    await trio.two.quiet()
    await trio.three.quiet()
    assert [held.resource.name for held in trio.world.server.held()] == ["a"]


@tried
async def test_who_leaves_during_a_trial_is_replaced(trio: Trio, type_url: str) -> None:
    late = await trio.late(type_url)
    await late.expect(type_url, ["a"])
    await late.quiet()
    trio.world[type_url].put(resource("a", "2"))
    _, second = await trio.asked()
    trio.one.call.cancel()
    reply = await trio.three.reply()
    await late.quiet()
    await trio.two.ack(second)
    await trio.three.ack(reply)
    await late.expect(type_url, ["a"])


@tried
async def test_who_rejects_and_leaves_during_a_trial_has_no_vote(trio: Trio, type_url: str) -> None:
    late = await trio.late(type_url)
    await late.expect(type_url, ["a"])
    await late.quiet()
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    await trio.one.ack(first, error="no")
    await trio.one.quiet()
    trio.one.call.cancel()
    reply = await trio.three.reply()
    await trio.two.ack(second, error="no")
    await trio.three.ack(reply)
    await late.expect(type_url, ["a"])
    assert trio.world.server.held() == []


@tried
async def test_the_last_one_left_waits_for_nobody(trio: Trio, type_url: str) -> None:
    trio.world[type_url].put(resource("a", "2"))
    await trio.asked()
    trio.one.call.cancel()
    trio.two.call.cancel()
    await trio.three.expect(type_url, ["a"])


@tried
async def test_a_change_during_a_trial_is_what_counts(trio: Trio, type_url: str) -> None:
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    await trio.two.ack(second)
    await trio.two.quiet()
    trio.world[type_url].put(resource("a", "3"))
    second = await trio.two.reply()
    await trio.one.ack(first, error="what is past does not count")
    first = await trio.one.reply()
    assert trio.content(first) == [b"a|3"]
    await trio.three.quiet()
    await trio.one.ack(first)
    await trio.one.quiet()
    await trio.three.quiet()
    await trio.two.ack(second)
    assert trio.content(await trio.three.expect(type_url, ["a"])) == [b"a|3"]
    assert trio.world.server.held() == []


@tried
async def test_who_took_an_earlier_change_of_a_trial_gets_the_last_good_back(
    trio: Trio, type_url: str
) -> None:
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    trio.world[type_url].put(resource("a", "3"))
    for stream, earlier in ((trio.one, first), (trio.two, second)):
        later = await stream.reply()
        await stream.ack(earlier)
        await stream.ack(later, error="no")
    for stream in (trio.one, trio.two):
        assert trio.content(await stream.expect(type_url, ["a"])) == [b"a|1"]
        await stream.quiet()
    await trio.three.quiet()


@tried
async def test_who_asks_during_a_trial_waits_for_its_end(trio: Trio, type_url: str) -> None:
    """Else whoever connects in time would decide, and an Envoy that starts would have nothing."""
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    late = await trio.late(type_url)
    await late.quiet()
    await trio.one.ack(first, error="no")
    await trio.two.ack(second, error="no")
    assert trio.content(await late.expect(type_url, ["a"])) == [b"a|1"]
    await trio.three.quiet()
    trio.world[type_url].put(resource("a", "3"))
    for stream in (trio.three, late):
        await stream.expect(type_url, ["a"])
    for stream in (trio.one, trio.two):
        await stream.expect(type_url, ["a"])


@tried
async def test_a_change_that_is_taken_back_during_a_trial(trio: Trio, type_url: str) -> None:
    trio.world[type_url].put(resource("a", "2"))
    first, second = await trio.asked()
    trio.world[type_url].put(resource("a", "1"))
    for stream, reply in ((trio.one, first), (trio.two, second)):
        await stream.ack(reply)
        assert trio.content(await stream.expect(type_url, ["a"])) == [b"a|1"]
    await trio.three.quiet()


async def test_an_answer_to_something_else_does_not_change_a_vote(trio: Trio) -> None:
    trio.world[LISTENER].put(resource("a", "bad"))
    first, second = await trio.asked()
    await trio.one.ack(first, error="no")
    await trio.one.quiet()
    trio.world[LISTENER].put(resource("b"))  # new: those that are asked get it along
    if trio.delta:
        await trio.one.expect(LISTENER, ["b"])
        await trio.one.quiet()
    await trio.two.ack(second, error="no")
    await trio.two.reply()
    await trio.three.reply()
    assert [held.resource.name for held in trio.world.server.held()] == ["a"]


async def test_a_rollout_goes_on_when_all_have_a_change_or_it_is_held(trio: Trio) -> None:
    trio.world[ROUTE].put(resource("a", "2"))
    waiting = asyncio.ensure_future(trio.world.server.acknowledged(lambda *_: True, 5))
    await trio.one.expect(ROUTE, ["a"])
    await trio.two.expect(ROUTE, ["a"])
    reply = await trio.three.reply()
    assert not waiting.done()
    await trio.three.ack(reply)
    assert await waiting == []
    trio.world[ROUTE].put(resource("a", "bad"))
    waiting = asyncio.ensure_future(trio.world.server.acknowledged(lambda *_: True, 5))
    for stream in (trio.one, trio.two):
        await stream.ack(await stream.reply(), error="no")
    assert await waiting == []


async def test_clusters_that_the_last_good_route_uses_stay(worlds: Worlds, delta: bool) -> None:
    world = await worlds(trial_wait=NEVER).start()
    trio = Trio(world, delta)
    await trio.start()

    def change(content: str) -> None:
        world[CLUSTER].put(resource("new"))
        world[ROUTE].put(resource("a", content))
        world[CLUSTER].remove("old")

    async def made(stream: Stream) -> None:
        reply = await stream.reply()
        assert "new" in stream.names_of(reply)
        assert delta or "old" in stream.names_of(reply)
        assert not delta or not reply.removed_resources
        await stream.ack(reply)

    change("bad")
    for stream in trio.all:
        await made(stream)
    for stream in (trio.one, trio.two):
        await stream.ack(await stream.reply(), error="no")
        await stream.quiet()
    await trio.three.quiet()
    world[ROUTE].put(resource("a", "good"))
    for stream in (trio.three, trio.one, trio.two):  # who has rejected something is asked last
        reply = await stream.reply()
        assert trio.content(reply) == [b"a|good"]
        await stream.ack(reply)
    for stream in trio.all:
        await stream.expect(CLUSTER, [] if delta else ["new"], removed=["old"])
