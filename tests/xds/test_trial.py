"""A changed listener or route configuration goes to two of those that use it first."""

from __future__ import annotations

from controlplane.xds.resource import LISTENER
from tests.xds.client import resource
from tests.xds.trio import Trio, tried
from tests.xds.world import Worlds


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
    late = await trio.change_beside_late(type_url)
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
