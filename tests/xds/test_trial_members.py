"""Who takes part in a trial: streams of one node, users of what is tried, and those who come and leave."""

from __future__ import annotations

import asyncio

from controlplane.xds.resource import CLUSTER, LISTENER, ROUTE
from tests.xds.client import Stream, resource
from tests.xds.trio import NEVER, Trio, tried
from tests.xds.world import Worlds


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
    late = await trio.change_beside_late(type_url)
    _, second = await trio.asked()
    trio.one.call.cancel()
    reply = await trio.three.reply()
    await late.quiet()
    await trio.two.ack(second)
    await trio.three.ack(reply)
    await late.expect(type_url, ["a"])


@tried
async def test_who_rejects_and_leaves_during_a_trial_has_no_vote(trio: Trio, type_url: str) -> None:
    late = await trio.change_beside_late(type_url)
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
