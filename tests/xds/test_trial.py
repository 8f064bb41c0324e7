"""A changed listener or route configuration goes to one of those who use it first."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.xds.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.xds.client import Stream, resource
from tests.xds.world import World, Worlds

NEVER = 60.0


class Pair:
    """Two clients of one world that have version 1 of everything; the first is who gets changes first."""

    def __init__(self, world: World, delta: bool) -> None:
        self.world = world
        self.delta = delta
        self.one = world.connect("one", delta=delta)
        self.two = world.connect("two", delta=delta)

    async def start(self) -> None:
        for type_url, name in ((CLUSTER, "old"), (ENDPOINT, "old"), (LISTENER, "a"), (ROUTE, "a")):
            self.world[type_url].put(resource(name))
        for stream in (self.one, self.two):
            await self.subscribe(stream)

    async def subscribe(self, stream: Stream) -> None:
        for type_url, name in ((CLUSTER, "old"), (ENDPOINT, "old"), (LISTENER, "a"), (ROUTE, "a")):
            await stream.subscribe(type_url, [] if type_url in (CLUSTER, LISTENER) else [name])
            await stream.expect(type_url, [name])

    async def reject(self, type_url: str, content: str = "bad") -> None:
        """Change `a` so that the first rejects it."""
        self.world[type_url].put(resource("a", content))
        await self.one.ack(await self.one.reply(), error="no such filter")
        await self.one.quiet()

    def content(self, reply: object) -> list[bytes]:
        parts = reply.resources  # pyright: ignore[reportAttributeAccessIssue]
        return [part.resource.value if self.delta else part.value for part in parts]


@pytest.fixture
async def pair(worlds: Worlds, delta: bool) -> Pair:
    pair = Pair(await worlds(trial_wait=NEVER).start(), delta)
    await pair.start()
    return pair


tried = pytest.mark.parametrize("type_url", [LISTENER, ROUTE], ids=["listener", "route"])


@tried
async def test_a_change_goes_to_the_rest_when_the_first_has_accepted_it(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("a", "2"))
    reply = await pair.one.reply()
    await pair.two.quiet()
    await pair.one.ack(reply)
    assert pair.content(await pair.two.expect(type_url, ["a"])) == [b"a|2"]
    await pair.one.quiet()
    await pair.two.quiet()
    assert pair.world.server.counters["trials_accepted"] == 1


@tried
async def test_a_change_goes_to_the_rest_when_the_first_says_nothing(
    worlds: Worlds, delta: bool, type_url: str
) -> None:
    pair = Pair(await worlds(trial_wait=0.05).start(), delta)
    await pair.start()
    pair.world[type_url].put(resource("a", "2"))
    reply = await pair.one.reply()
    await pair.two.expect(type_url, ["a"])
    await pair.one.ack(reply)
    await pair.one.quiet()
    assert pair.world.server.counters["trials_timed_out"] == 1


@tried
async def test_a_rejected_change_is_held_and_the_last_good_stays(pair: Pair, type_url: str) -> None:
    await pair.reject(type_url)
    await pair.two.quiet()
    (held,) = pair.world.server.held()
    assert (held.type_url, held.resource.body, held.node) == (type_url, b"a|bad", "one")
    assert held.nack.message == "no such filter"
    states = {proxy.id: proxy.types[type_url] for proxy in pair.world.server.proxies()}
    assert (states["one"].nack, states["two"].nack) == (held.nack, None)
    assert pair.world.server.counters["trials_rejected"] == pair.world.server.counters["nacks"] == 1
    pair.world[type_url].put(resource("a", "bad"))
    await pair.one.quiet()
    await pair.two.quiet()
    late = pair.world.connect("late", delta=pair.delta)
    await late.subscribe(type_url, [] if type_url == LISTENER else ["a"])
    assert pair.content(await late.expect(type_url, ["a"])) == [b"a|1"]


@tried
async def test_what_corrects_a_held_change_is_tried_too(pair: Pair, type_url: str) -> None:
    await pair.reject(type_url)
    pair.world[type_url].put(resource("a", "good"))
    reply = await pair.one.reply()
    await pair.two.quiet()
    assert pair.world.server.held() == []
    await pair.one.ack(reply)
    assert pair.content(await pair.two.expect(type_url, ["a"])) == [b"a|good"]
    await pair.one.quiet()
    (one, two) = pair.world.server.proxies()
    assert one.types[type_url].nack is None
    assert one.types[type_url].acked == two.types[type_url].acked


@tried
async def test_taking_a_held_change_back_ends_the_hold_and_sends_nothing(pair: Pair, type_url: str) -> None:
    await pair.reject(type_url)
    pair.world[type_url].put(resource("a", "1"))
    await pair.one.quiet()
    await pair.two.quiet()
    assert pair.world.server.held() == []
    pair.world[type_url].put(resource("a", "bad"))
    await pair.one.ack(await pair.one.reply())
    assert pair.content(await pair.two.expect(type_url, ["a"])) == [b"a|bad"]


@tried
async def test_what_is_put_at_once_overtakes_a_trial(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("a", "2"))
    reply = await pair.one.reply()
    await pair.two.quiet()
    with pair.world.server.at_once():
        pair.world[type_url].put(resource("a", "3"))
    assert pair.content(await pair.two.expect(type_url, ["a"])) == [b"a|3"]
    await pair.one.ack(reply)
    assert pair.content(await pair.one.expect(type_url, ["a"])) == [b"a|3"]
    await pair.two.quiet()


@tried
async def test_what_is_put_at_once_passes_a_held_change(pair: Pair, type_url: str) -> None:
    await pair.reject(type_url)
    with pair.world.server.at_once():
        pair.world[type_url].put(resource("a", "bad"))
        await pair.two.quiet()
        pair.world[type_url].put(resource("a", "off"))
    for stream in (pair.one, pair.two):
        assert pair.content(await stream.expect(type_url, ["a"])) == [b"a|off"]
    assert pair.world.server.held() == []


async def test_what_is_new_or_removed_is_not_tried(pair: Pair) -> None:
    pair.world[LISTENER].put(resource("b"))
    replies = [await stream.reply() for stream in (pair.one, pair.two)]
    for stream, reply in zip((pair.one, pair.two), replies, strict=True):
        assert "b" in stream.names_of(reply)
        await stream.ack(reply)
    pair.world[LISTENER].remove("b")
    for stream in (pair.one, pair.two):
        await stream.expect(LISTENER, [] if pair.delta else ["a"], removed=["b"])


@tried
async def test_a_removal_ends_a_trial_and_a_hold(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("b"))
    pair.world[type_url].remove("a")
    pair.world[type_url].put(resource("a", "1"))
    for stream in (pair.one, pair.two):
        await stream.subscribe(type_url, [] if type_url == LISTENER else ["a", "b"])
        while "b" not in stream.names_of(reply := await stream.reply()):
            await stream.ack(reply)
        await stream.ack(reply)
        await stream.quiet()
    await pair.reject(type_url)
    pair.world[type_url].remove("a")
    assert pair.world.server.held() == []
    pair.world[type_url].put(resource("a", "bad"))
    for stream in (pair.one, pair.two):
        while b"a|bad" not in pair.content(reply := await stream.reply()):
            await stream.ack(reply)


async def test_two_streams_of_one_node_are_no_trial(worlds: Worlds, delta: bool) -> None:
    world = await worlds(trial_wait=NEVER).start()
    world[ROUTE].put(resource("a"))
    streams = [world.connect("same", delta=delta) for _ in range(2)]
    for stream in streams:
        await stream.subscribe(ROUTE, ["a"])
        await stream.expect(ROUTE, ["a"])
    world[ROUTE].put(resource("a", "2"))
    for stream in streams:
        assert stream.names_of(await stream.reply()) == ["a"]


async def test_only_those_who_use_what_is_tried_wait(pair: Pair) -> None:
    alone = pair.world.connect("alone", delta=pair.delta)
    pair.world[ROUTE].put(resource("mine"))
    await alone.subscribe(ROUTE, ["mine"])
    await alone.expect(ROUTE, ["mine"])
    pair.world[ROUTE].put(resource("a", "2"))
    pair.world[ROUTE].put(resource("mine", "2"))
    await alone.expect(ROUTE, ["mine"])
    reply = await pair.one.reply()
    await pair.two.quiet()
    await pair.one.ack(reply)
    await pair.two.expect(ROUTE, ["a"])


async def test_resources_of_different_users_are_tried_side_by_side(pair: Pair) -> None:
    others = [pair.world.connect(name, delta=pair.delta) for name in ("three", "four")]
    pair.world[ROUTE].put(resource("b"))
    for stream in others:
        await stream.subscribe(ROUTE, ["b"])
        await stream.expect(ROUTE, ["b"])
    pair.world[ROUTE].put(resource("a", "2"))
    pair.world[ROUTE].put(resource("b", "2"))
    first, second = await pair.one.reply(), await others[0].reply()
    await others[1].quiet()
    await pair.one.ack(first, error="not mine")
    await pair.two.quiet()
    await others[1].quiet()
    await others[0].ack(second)
    await others[1].expect(ROUTE, ["b"])
    await pair.two.quiet()
    assert [held.resource.name for held in pair.world.server.held()] == ["a"]


@tried
async def test_who_leaves_during_a_trial_is_replaced(pair: Pair, type_url: str) -> None:
    three = pair.world.connect("three", delta=pair.delta)
    await pair.subscribe(three)
    pair.world[type_url].put(resource("a", "2"))
    await pair.one.reply()
    await pair.two.quiet()
    pair.one.call.cancel()
    reply = await pair.two.reply()
    await three.quiet()
    await pair.two.ack(reply)
    await three.expect(type_url, ["a"])


@tried
async def test_the_last_one_left_waits_for_nobody(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("a", "2"))
    await pair.one.reply()
    pair.one.call.cancel()
    await pair.two.expect(type_url, ["a"])


@tried
async def test_a_change_during_a_trial_is_what_counts(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("a", "2"))
    first = await pair.one.reply()
    pair.world[type_url].put(resource("a", "3"))
    await pair.one.ack(first, error="what is past does not count")
    reply = await pair.one.reply()
    assert pair.content(reply) == [b"a|3"]
    await pair.two.quiet()
    assert pair.world.server.held() == []
    await pair.one.ack(reply)
    assert pair.content(await pair.two.expect(type_url, ["a"])) == [b"a|3"]


@tried
async def test_who_took_an_earlier_change_of_a_trial_gets_the_last_good_back(
    pair: Pair, type_url: str
) -> None:
    pair.world[type_url].put(resource("a", "2"))
    first = await pair.one.reply()
    pair.world[type_url].put(resource("a", "3"))
    second = await pair.one.reply()
    await pair.one.ack(first)
    await pair.one.ack(second, error="no")
    assert pair.content(await pair.one.expect(type_url, ["a"])) == [b"a|1"]
    await pair.one.quiet()
    await pair.two.quiet()


@tried
async def test_who_rejects_its_first_configuration_gets_the_last_good(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("a", "2"))
    await pair.one.reply()
    late = pair.world.connect("late", delta=pair.delta)
    await late.subscribe(type_url, [] if type_url == LISTENER else ["a"])
    reply = await late.reply()
    assert pair.content(reply) == [b"a|2"]
    await late.ack(reply, error="no")
    assert pair.content(await late.expect(type_url, ["a"])) == [b"a|1"]
    await pair.two.quiet()


@tried
async def test_a_change_that_is_taken_back_during_a_trial(pair: Pair, type_url: str) -> None:
    pair.world[type_url].put(resource("a", "2"))
    await pair.one.ack(await pair.one.reply(), error="" if type_url == LISTENER else "no")
    pair.world[type_url].put(resource("a", "3"))
    reply = await pair.one.reply()
    pair.world[type_url].put(resource("a", "2" if type_url == LISTENER else "1"))
    await pair.one.ack(reply)
    await pair.one.expect(type_url, ["a"])
    if type_url == LISTENER:
        assert pair.content(await pair.two.expect(type_url, ["a"])) == [b"a|2"]
    await pair.two.quiet()


async def test_a_rollout_goes_on_when_all_have_a_change_or_it_is_held(pair: Pair) -> None:
    pair.world[ROUTE].put(resource("a", "2"))
    waiting = asyncio.ensure_future(pair.world.server.acknowledged(lambda *_: True, 5))
    await pair.one.expect(ROUTE, ["a"])
    reply = await pair.two.reply()
    assert not waiting.done()
    await pair.two.ack(reply)
    assert await waiting == []
    pair.world[ROUTE].put(resource("a", "bad"))
    waiting = asyncio.ensure_future(pair.world.server.acknowledged(lambda *_: True, 5))
    await pair.one.ack(await pair.one.reply(), error="no")
    assert await waiting == []


async def test_clusters_that_the_last_good_route_uses_stay(worlds: Worlds, delta: bool) -> None:
    world = await worlds(trial_wait=NEVER).start()
    pair = Pair(world, delta)
    await pair.start()

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
    await made(pair.one)
    await made(pair.two)
    await pair.one.ack(await pair.one.reply(), error="no")
    await pair.one.quiet()
    await pair.two.quiet()
    world[ROUTE].put(resource("a", "good"))
    await pair.one.expect(ROUTE, ["a"])
    reply = await pair.two.reply()
    assert pair.content(reply) == [b"a|good"]
    await pair.two.ack(reply)
    for stream in (pair.one, pair.two):
        await stream.expect(CLUSTER, [] if delta else ["new"], removed=["old"])
