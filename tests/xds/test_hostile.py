"""Clients that misbehave: memory stays bounded and the others keep their latency."""

from __future__ import annotations

import time

import grpc
import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER
from tests.xds.client import Stream, resource
from tests.xds.world import World

PROMPT = 6.0  # seconds; client and server of a test share one core with other tests


async def latency(world: World, stream: Stream, rounds: int = 10) -> float:
    """The worst time, in seconds, until a change has reached a stream that subscribes to `probe`."""
    worst = 0.0
    for index in range(rounds):
        started = time.perf_counter()
        world[ENDPOINT].put(resource("probe", f"{started}-{index}"))
        await stream.expect(ENDPOINT, ["probe"])
        worst = max(worst, time.perf_counter() - started)
    return worst


async def a_good_stream(world: World) -> Stream:
    world[ENDPOINT].put(resource("probe"))
    stream = world.connect("good", delta=True)
    await stream.subscribe(ENDPOINT, ["probe"])
    await stream.expect(ENDPOINT, ["probe"])
    return stream


async def test_ten_megabytes_of_initial_versions(world: World) -> None:
    good = await a_good_stream(world)
    for index in range(50):
        world[CLUSTER].put(resource(f"c{index}"))
    bad = world.connect("bad", delta=True)
    versions = {f"{'n' * 180}-{index}": "0123456789abcdef" for index in range(50_000)}
    await bad.subscribe(CLUSTER, initial=versions)
    assert await latency(world, good) < PROMPT
    reply = await bad.reply(20)
    assert len(reply.resources) == 50
    assert len(reply.removed_resources) == len(versions)


async def test_a_request_over_the_limit_ends_its_stream_alone(world: World) -> None:
    good = await a_good_stream(world)
    bad = world.connect("bad", delta=True)
    await bad.write(b"\x00" * (17 << 20))
    assert (await bad.status())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await latency(world, good) < PROMPT


async def test_two_hundred_streams_from_one_node(world: World, delta: bool) -> None:
    good = await a_good_stream(world)
    for index in range(100):
        world[CLUSTER].put(resource(f"c{index}"))
    channel = world.channel()
    streams = [Stream(channel, "same", delta=delta) for _ in range(200)]
    for stream in streams:
        await stream.subscribe(CLUSTER)
    for stream in streams:
        await stream.reply()
    assert await latency(world, good) < PROMPT
    assert world.server.counters["streams"] == 201
    for stream in streams:
        stream.call.cancel()


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x22\x02\xff\xfe", b"\x00"], ids=range(4)
)
async def test_garbage_ends_its_stream_with_a_status(world: World, delta: bool, garbage: bytes) -> None:
    good = await a_good_stream(world)
    for earlier in (False, True):
        bad = world.connect("bad", delta=delta)
        if earlier:
            await bad.subscribe(LISTENER)
            await bad.expect(LISTENER, [])
        await bad.write(garbage)
        code, details = await bad.status()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert details
    assert await latency(world, good) < PROMPT


async def test_garbage_from_one_who_does_not_read_ends_its_stream_with_a_status(
    world: World, delta: bool
) -> None:
    """gRPC can send no status beside a message that is half sent."""
    world[LISTENER].put(resource("l", "x" * 20_000_000))
    bad = world.connect("bad", delta=delta)
    await bad.subscribe(LISTENER)
    await bad.write(b"\xff\xff\xff\xff")
    assert (await bad.status())[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_too_many_types_on_a_stream(world: World, delta: bool) -> None:
    bad = world.connect("bad", delta=delta)
    for index in range(65):
        await bad.subscribe(f"type.googleapis.com/made.up.Type{index}", ["x"])
    assert (await bad.status())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_those_who_do_not_read_hold_up_nobody(world: World, delta: bool) -> None:
    good = await a_good_stream(world)
    big = "x" * 300_000
    idle = [world.connect(f"idle{index}", delta=delta) for index in range(10)]
    for stream in idle:
        await stream.subscribe(LISTENER)
    for index in range(60):
        world[LISTENER].put(resource("l", f"{index}{big}"))
        assert await latency(world, good, 1) < PROMPT
    # What gRPC's own window takes is gone; beyond it at most one response waits, nothing piles up.
    assert world.server.counters["pushed_bytes"] < 10 * 30 * len(big)


async def test_a_stream_that_falls_behind_what_is_remembered_starts_again(world: World) -> None:
    big = "x" * 1_000_000
    good = await a_good_stream(world)
    slow = world.connect("slow", delta=True)
    world[LISTENER].put(resource("l", f"0{big}"))
    await slow.subscribe(LISTENER)
    index = sent = 0
    while sent < 2 or world.server.counters["pushes"] > sent + 1:  # until its writer is stuck
        sent, index = world.server.counters["pushes"], index + 1
        world[LISTENER].put(resource("l", f"{index}{big}"))
        await latency(world, good, 1)
    for index in range(5_000):
        world[LISTENER].put(resource(f"gone-{index}"))
        world[LISTENER].remove(f"gone-{index}")
    assert (await slow.status())[0] is grpc.StatusCode.ABORTED
    again = world.connect("slow", delta=True)
    await again.subscribe(LISTENER, initial={"gone-1": "1"})
    await again.expect(LISTENER, ["l"], removed=["gone-1"])
