"""The rules that hold in both variants, against the real server with a real gRPC client."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE, Resource
from controlplane.xds.resources import Collection
from controlplane.xds.view import View
from tests.xds.client import SEPARATE, Stream, resource
from tests.xds.world import World, Worlds, subscribe_all

NAMED = [ENDPOINT, ROUTE]
LEGACY = [CLUSTER, LISTENER]


@pytest.mark.parametrize("type_url", [*LEGACY, *NAMED])
async def test_nack_is_kept_and_not_sent_again_until_the_resource_changes(
    world: World, delta: bool, type_url: str
) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(type_url, ["a"])
    await stream.expect(type_url, ["a"])
    world[type_url].put(resource("a", "bad"))
    bad = await stream.reply()
    await stream.ack(bad, error="no such filter")
    await stream.quiet()
    (proxy,) = world.server.proxies()
    state = proxy.types[type_url]
    assert state.nack is not None
    assert (state.nack.message, state.nack.version) == ("no such filter", state.sent)
    assert state.acked != state.sent
    assert world.server.counters["nacks"] == 1
    world[type_url].put(resource("a", "good"))
    await stream.expect(type_url, ["a"])
    await stream.quiet()
    (proxy,) = world.server.proxies()
    assert proxy.types[type_url].nack is None


async def test_nack_of_one_stream_does_not_touch_another(world: World, delta: bool) -> None:
    world[LISTENER].put(resource("a"))
    one, two = world.connect("one", delta=delta), world.connect("two", delta=delta)
    for stream in (one, two):
        await stream.subscribe(LISTENER)
        await stream.expect(LISTENER, ["a"])
    world[LISTENER].put(resource("a", "2"))
    await one.ack(await one.reply(), error="no")
    await two.expect(LISTENER, ["a"])
    assert await world.server.acknowledged(lambda *_: True, 5) == []
    nacks = {proxy.id: proxy.types[LISTENER].nack is not None for proxy in world.server.proxies()}
    assert nacks == {"one": True, "two": False}


async def test_one_nonce_sequence_per_type_per_stream(world: World, delta: bool) -> None:
    stream = world.connect(delta=delta)
    await subscribe_all(stream, world, ["a"])
    seen = set()
    for round_ in range(3):
        for type_url in (CLUSTER, LISTENER):
            world[type_url].put(resource("a", f"x{round_}"))
            while True:
                reply = await stream.reply()
                await stream.ack(reply)
                assert (reply.type_url, reply.nonce) not in seen
                seen.add((reply.type_url, reply.nonce))
                if reply.type_url == type_url:
                    break


async def test_node_is_only_in_the_first_request(world: World, delta: bool) -> None:
    stream = world.connect("the-node", delta=delta)
    await subscribe_all(stream, world, ["a"])
    assert [proxy.id for proxy in world.server.proxies()] == ["the-node"]


async def test_a_first_request_without_node_ends_the_stream(world: World, delta: bool) -> None:
    stream = world.connect("", delta=delta)
    await stream.subscribe(CLUSTER)
    code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node" in details


@pytest.mark.parametrize("type_url", LEGACY)
async def test_versions_are_the_same_over_servers_so_a_reconnect_gets_nothing(
    worlds: Worlds, delta: bool, type_url: str
) -> None:
    first, second = await worlds().start(), await worlds().start()
    for order, world in ((("a", "b"), first), (("b", "a"), second)):
        for name in order:
            world[type_url].put(resource(name))
    stream = first.connect(delta=delta)
    await stream.subscribe(type_url)
    reply = await stream.expect(type_url, ["a", "b"])
    again = second.connect(delta=delta)
    if delta:
        await again.subscribe(type_url, initial={part.name: part.version for part in reply.resources})
    else:
        await again.subscribe(type_url, version=reply.version_info)
    await again.quiet()
    second[type_url].put(resource("a", "2"))
    await again.expect(type_url, ["a"] if delta else ["a", "b"])


@pytest.mark.parametrize("type_url", NAMED)
async def test_a_reconnect_with_names_gets_what_changed_meanwhile(
    world: World, delta: bool, type_url: str
) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=delta)
    await stream.subscribe(type_url, ["a", "b"])
    reply = await stream.expect(type_url, ["a", "b"])
    stream.call.cancel()
    have = {part.name: part.version for part in reply.resources} if delta else {}
    version = "" if delta else reply.version_info
    again = world.connect(delta=delta)
    await again.subscribe(type_url, ["a", "b"], initial=have, version=version)
    await again.quiet()
    again.call.cancel()
    world[type_url].put(resource("b", "2"))
    third = world.connect(delta=delta)
    await third.subscribe(type_url, ["a", "b"], initial=have, version=version)
    await third.expect(type_url, ["b"] if delta else ["a", "b"])


@pytest.mark.parametrize("type_url", LEGACY)
@pytest.mark.parametrize("names", [[], ["*"]], ids=["legacy", "explicit"])
async def test_no_names_and_star_are_wildcard(
    world: World, delta: bool, type_url: str, names: list[str]
) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(type_url, names)
    await stream.expect(type_url, ["a"])
    world[type_url].put(resource("b"))
    await stream.expect(type_url, ["b"] if delta else ["a", "b"])


@pytest.mark.parametrize("type_url", NAMED)
async def test_no_names_are_no_wildcard_for_other_types_but_star_is(
    world: World, delta: bool, type_url: str
) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(type_url, [])
    if delta:
        await stream.expect(type_url, [])
    await stream.quiet()
    await stream.subscribe(type_url, ["*"])
    await stream.expect(type_url, ["a"])


@pytest.mark.parametrize("type_url", LEGACY)
async def test_a_stream_may_move_from_legacy_wildcard_to_names(
    world: World, delta: bool, type_url: str
) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=delta)
    await stream.subscribe(type_url)
    await stream.expect(type_url, ["a", "b"])
    await stream.subscribe(type_url, ["a"], unsubscribe=["*"])
    await stream.expect(type_url, ["a"])
    world[type_url].put(resource("b", "2"))
    await stream.quiet()
    world[type_url].put(resource("a", "2"))
    await stream.expect(type_url, ["a"])


@pytest.mark.parametrize("type_url", [*LEGACY, *NAMED])
async def test_replies_are_not_held_back_for_names_left_out_or_unknown(
    world: World, delta: bool, type_url: str
) -> None:
    for name in ("a", "b", "c"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=delta)
    await stream.subscribe(type_url, ["a", "unknown"])
    await stream.expect(type_url, ["a"], removed=["unknown"])
    await stream.quiet()


async def test_a_slow_reader_gets_one_merged_update_and_delays_nobody(world: World, delta: bool) -> None:
    big = "x" * 200_000
    for index in range(20):
        world[ENDPOINT].put(resource(f"e{index}", f"0-{big}"))
    names = [f"e{index}" for index in range(20)]
    slow, fast = world.connect("slow", delta=delta), world.connect("fast", delta=delta)
    for stream in (slow, fast):
        await stream.subscribe(ENDPOINT, names)
    await fast.expect(ENDPOINT, names)
    for round_ in range(1, 21):
        for name in names:
            world[ENDPOINT].put(resource(name, f"{round_}-{big}"))
        reply = await fast.reply()
        await fast.ack(reply)
    # The slow one reads now: of 21 states it is sent few, the last of them the newest.
    seen = 0
    latest: dict[str, bytes] = {}
    while not all(body.startswith(b"%s|20-" % name.encode()) for name, body in latest.items()) or not latest:
        reply = await slow.reply()
        await slow.ack(reply)
        seen += 1
        for part in reply.resources:
            body = part.resource.value if delta else part.value
            latest[body.split(b"|")[0].decode()] = body
    assert len(latest) == 20
    assert seen <= 10  # what a socket's buffers take of 4 MB replies depends on the machine


async def test_many_changes_close_together_become_one_push(worlds: Worlds, delta: bool) -> None:
    world = await worlds(debounce_quiet=1.0, debounce_max=10.0).start()
    world[ENDPOINT].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, ["a"])
    await stream.expect(ENDPOINT, ["a"])
    world[ENDPOINT].put(resource("a", "first"))
    await stream.expect(ENDPOINT, ["a"])  # a single change goes out at once
    for index in range(50):
        world[ENDPOINT].put(resource("a", f"many-{index}"))
        await asyncio.sleep(0)
    reply = await stream.expect(ENDPOINT, ["a"])
    assert b"many-49" in reply.SerializeToString()
    await stream.quiet()


async def test_a_change_that_is_taken_back_is_no_push(world: World, delta: bool) -> None:
    world[ENDPOINT].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, ["a"])
    await stream.expect(ENDPOINT, ["a"])
    world[ENDPOINT].put(resource("a", "2"))
    world[ENDPOINT].put(resource("a"))
    world[ENDPOINT].remove("a")
    world[ENDPOINT].put(resource("a"))
    await stream.quiet()


async def test_requests_may_be_larger_than_4_mib(world: World, delta: bool) -> None:
    world[ENDPOINT].put(resource("a"))
    stream = world.connect(delta=delta)
    names = ["a", *(f"{'n' * 100}-{index}" for index in range(49_999))]
    await stream.subscribe(ENDPOINT, names)
    reply = await stream.reply(20)
    assert stream.names_of(reply) == ["a"]


async def test_no_control_plane_identifier(world: World, delta: bool) -> None:
    world[CLUSTER].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(CLUSTER)
    reply = await stream.expect(CLUSTER, ["a"])
    assert not reply.HasField("control_plane")


@pytest.mark.parametrize("separate", [True, False], ids=["separate", "aggregated"])
@pytest.mark.parametrize("type_url", [CLUSTER, ENDPOINT, LISTENER, ROUTE])
async def test_every_service_serves_and_checks_alike(
    world: World, delta: bool, type_url: str, separate: bool
) -> None:
    method = SEPARATE[type_url, delta] if separate else None
    world[type_url].put(resource("a"))
    stream = world.connect("n", delta=delta, method=method)
    await stream.subscribe(type_url, ["a"])
    await stream.expect(type_url, ["a"])
    world[type_url].put(resource("a", "2"))
    await stream.expect(type_url, ["a"])
    for bad in ("anonymous", "garbage", "other type"):
        stream = world.connect("" if bad == "anonymous" else "n", delta=delta, method=method)
        if bad == "garbage":
            await stream.write(b"\xff\xff\xff")
        else:
            await stream.subscribe(
                ""
                if bad == "other type" and not separate
                else (PUSH_ORDER[-1] if bad == "other type" else type_url)
            )
        code, _ = await stream.status()
        assert code is grpc.StatusCode.INVALID_ARGUMENT, bad


async def test_an_unknown_type_is_answered_as_empty_and_the_stream_goes_on(world: World, delta: bool) -> None:
    world[CLUSTER].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe("type.googleapis.com/not.known.Type", ["x"])
    if delta:
        await stream.expect("type.googleapis.com/not.known.Type", [], removed=["x"])
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, ["a"])


async def test_shared_and_own_collections_are_one_view(worlds: Worlds, delta: bool) -> None:
    world = worlds(lambda node: View(world.clock, {CLUSTER: [shared, own[node.id]]}))
    shared = Collection(world.clock, CLUSTER, [resource("shared")])
    own = {name: Collection(world.clock, CLUSTER, [resource(f"own-{name}")]) for name in ("x", "y")}
    await world.start()
    channel = world.channel()
    streams = {name: Stream(channel, name, delta=delta) for name in own}
    for name, stream in streams.items():
        await stream.subscribe(CLUSTER)
        await stream.expect(CLUSTER, ["shared", f"own-{name}"])
    own["x"].put(Resource.of("more", b"more|"))
    await streams["x"].expect(CLUSTER, ["more"] if delta else ["shared", "own-x", "more"])
    shared.remove("shared")
    for name, stream in streams.items():
        left = [f"own-{name}", *(["more"] if name == "x" else [])]
        await stream.expect(CLUSTER, [] if delta else left, removed=["shared"])
