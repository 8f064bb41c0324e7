"""What one client may cost: who goes beyond a bound is told so, and ends alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds import messages, wire
from controlplane.xds.bounds import LONGEST, LONGEST_ID, Bounds, shown
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.node import InvalidNode, Node, NotReady
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.subscription import NOTHING, frozen, joined, share, without
from controlplane.xds.view import View
from tests.xds.client import Stream, resource
from tests.xds.test_hostile import PROMPT, a_good_stream, latency
from tests.xds.test_status import CODEC, METHOD
from tests.xds.world import World, Worlds

PATIENCE = 20.0  # seconds until a test gives up
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT

# Nodes.


def first(stream: Stream, **node: Any) -> Any:
    """A first request of that node."""
    request = stream.request(CLUSTER)
    request.node.id = "n"
    for name, value in node.items():
        if name == "metadata":
            request.node.metadata.update(value)
        else:
            setattr(request.node, name, value)
    return request


NODES = {
    "a node of": {"metadata": {"k": "x" * Bounds().node_bytes}},
    "node.id": {"id": "x" * (LONGEST_ID + 1)},
    "node.cluster": {"cluster": "x" * (LONGEST_ID + 1)},
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
async def test_a_node_that_is_too_large(world: World, delta: bool, node: dict[str, Any]) -> None:
    good = await a_good_stream(world)
    stream = world.connect(delta=delta)
    await stream.write(first(stream, **node))
    code, text = await stream.status()
    assert code is INVALID
    assert len(text) < 500
    assert await latency(world, good, 2) < PROMPT


async def test_a_node_that_is_too_large_is_not_decoded(world: World, delta: bool) -> None:
    """A million values would keep everybody waiting until they are decoded, and then be refused."""
    opaque = messages.OpaqueDeltaRequest if delta else messages.OpaqueSotwRequest
    for size, words in ((Bounds().node_bytes, "not a Node"), (Bounds().node_bytes + 1, "leave out metadata")):
        stream = world.connect(delta=delta)
        await stream.write(opaque(type_url=CLUSTER, node=b"\xff" * size))
        code, text = await stream.status()
        assert (code, words in text) == (INVALID, True), text


async def test_a_node_as_large_as_it_may_be_is_served_and_not_kept(world: World, delta: bool) -> None:
    stream = world.connect(delta=delta)
    await stream.write(first(stream, metadata={f"{index}": index for index in range(10_000)}))
    await stream.expect(CLUSTER, [])
    (proxy,) = world.server.proxies()
    assert not proxy.node.metadata
    assert len(proxy.node.message) < 20_000


async def test_metadata_with_very_many_values_are_refused_where_they_are_read(
    worlds: Worlds, delta: bool
) -> None:
    def classify(node: Node) -> View:
        assert node.metadata["role"] == "edge"
        return node.metadata["many"]

    world = await worlds(classify).start()
    stream = world.connect(delta=delta)
    await stream.write(first(stream, metadata={"role": "edge", "many": list(range(6_000))}))
    code, text = await stream.status()
    assert (code, "node.metadata.many" in text) == (INVALID, True)


async def test_numbers_that_json_does_not_know(worlds: Worlds, delta: bool) -> None:
    def classify(node: Node) -> View:
        raise InvalidNode(f"{node.metadata['n']}")

    world = await worlds(classify).start()
    for number in ("nan", "inf"):
        stream = world.connect(delta=delta)
        request = first(stream)
        request.node.metadata.fields["n"].number_value = float(number)
        await stream.write(request)
        assert await stream.status() == (INVALID, number)


# Streams.


async def test_a_stream_that_asks_for_nothing_ends(worlds: Worlds, delta: bool) -> None:
    world = await worlds(first_request=0.05).start()
    stream = world.connect(delta=delta)
    assert (await stream.status())[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    served = world.connect(delta=delta)
    await served.subscribe(CLUSTER)
    await served.expect(CLUSTER, [])
    await asyncio.sleep(0.1)  # its time would be over
    await served.quiet()


async def test_all_streams_together_have_a_bound(worlds: Worlds, delta: bool) -> None:
    world = await worlds(streams=2).start()
    streams = [world.connect(f"n{index}", delta=delta) for index in range(2)]
    for stream in streams:
        await stream.subscribe(CLUSTER)
        await stream.expect(CLUSTER, [])
    third = world.connect("n3", delta=delta)
    await third.subscribe(CLUSTER)
    assert (await third.status())[0] is EXHAUSTED


async def test_first_requests_that_wait_have_a_bound(worlds: Worlds, delta: bool) -> None:
    asked = asyncio.Queue[str]()
    admitted = False

    def classify(node: Node) -> View:
        asked.put_nowait(node.id)
        if not admitted:
            raise NotReady
        return world.view

    world = await worlds(classify, waiting_bytes=100_000).start()
    streams = {name: world.connect(name, delta=delta) for name in ("large", "larger", "small")}
    for name, size in (("large", 60_000), ("larger", 60_000), ("small", 10)):
        await streams[name].subscribe(ENDPOINT, ["x" * size])
        assert await asyncio.wait_for(asked.get(), PATIENCE) == name
    assert (await streams["larger"].status())[0] is grpc.StatusCode.UNAVAILABLE
    world[ENDPOINT].put(resource("x" * 10))
    admitted = True
    world.server.set_ready()
    await streams["small"].expect(ENDPOINT, ["x" * 10])
    assert not world.server._waiting_bytes


async def test_a_type_url_that_is_too_long(world: World, delta: bool) -> None:
    stream = world.connect(delta=delta)
    await stream.subscribe("x" * (LONGEST_ID + 1), ["a"])
    assert (await stream.status())[0] is INVALID


# Names.

MANY = [f"n{index}" for index in range(Bounds().names + 1)]


async def test_a_request_with_too_many_names(world: World, delta: bool) -> None:
    good = await a_good_stream(world)
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, MANY)
    code, text = await stream.status()
    assert (code, "names" in text) == (EXHAUSTED, True)
    assert await latency(world, good, 2) < PROMPT


@given(
    names=st.lists(st.one_of(st.text(max_size=300), st.just("x" * 20_000)), max_size=40),
    most=st.integers(min_value=0, max_value=40),
    delta=st.booleans(),
)
def test_fields_are_counted_without_decoding(names: list[str], most: int, delta: bool) -> None:
    request = (
        messages.DeltaRequest(resource_names_subscribe=names)
        if delta
        else messages.SotwRequest(resource_names=names)
    )
    raw = request.SerializeToString()
    counted = sum(16 if len(name.encode()) >= 1 << 14 else 1 for name in names)
    assert not wire.more_fields(raw, counted)
    if len(names) > most:
        assert wire.more_fields(raw, most)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=20))
def test_fields_of_anything_are_counted(raw: bytes, most: int) -> None:
    assert wire.more_fields(raw, most) in (True, False)


async def test_names_as_many_as_fit_are_not_decoded(world: World, delta: bool) -> None:
    opaque = messages.OpaqueDeltaRequest if delta else messages.OpaqueSotwRequest
    field = b"\x1a\x07n\xff\xff\xff\xff\xff\xff"  # no text: decoding it would fail
    stream = world.connect(delta=delta)
    await stream.write(opaque(type_url=ENDPOINT).SerializeToString() + field * 100_000)
    code, text = await stream.status()
    assert (code, "more than 50000 names" in text) == (EXHAUSTED, True), text


async def test_names_of_all_types_count_together(worlds: Worlds, delta: bool) -> None:
    world = await worlds(names=100).start()
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, MANY[:60])
    await stream.reply() if delta else None
    await stream.subscribe(CLUSTER, MANY[:60])
    assert (await stream.status())[0] is EXHAUSTED


async def test_names_one_after_the_other_count_together(worlds: Worlds, delta: bool) -> None:
    world = await worlds(names=100).start()
    stream = world.connect(delta=delta)
    for index in range(101):
        await stream.subscribe(ENDPOINT, [MANY[index]] if delta else MANY[: index + 1])
    assert (await stream.status())[0] is EXHAUSTED


async def test_names_may_come_and_go(worlds: Worlds) -> None:
    world = await worlds(names=100, name_bytes=600).start()
    stream = world.connect(delta=True)
    await stream.subscribe(ENDPOINT, MANY[:90])
    await stream.reply()
    for index in range(500):
        await stream.subscribe(ENDPOINT, [f"x{index:03}"], unsubscribe=[f"x{index - 1:03}"])
    await stream.subscribe(CLUSTER)
    while (await stream.reply()).type_url != CLUSTER:
        pass


async def test_the_bytes_of_names_have_a_bound(worlds: Worlds, delta: bool) -> None:
    world = await worlds(name_bytes=10_000).start()
    stream = world.connect(delta=delta)
    for size in (4_000, 4_001, 4_002):
        await stream.subscribe(
            ENDPOINT, ["x" * size] if delta else ["x" * one for one in range(4_000, size + 1)]
        )
    assert (await stream.status())[0] is EXHAUSTED


sets = st.sets(st.sampled_from([f"{index}" for index in range(200)])).map(frozenset)


@given(sets, st.lists(st.tuples(st.booleans(), sets)))
def test_names_with_and_without_others(
    start: frozenset[str], changes: list[tuple[bool, frozenset[str]]]
) -> None:
    known: Any = share(start)
    expected = set(start)
    for more, names in changes:
        known = joined(known, names) if more else without(known, names)
        expected = expected | names if more else expected - names
        assert known == expected
        assert frozen(known) == expected
    assert share(start) == start


def cost(names: int, change: Callable[[DeltaSubscription, int], None]) -> float:
    """Seconds that 300 small requests take with so many names, the best of three."""
    clock = Clock()
    view = View(clock, {ENDPOINT: [Collection(clock, ENDPOINT)]})
    found: list[float] = []
    for _ in range(3):
        subscription = DeltaSubscription(ENDPOINT, view)
        request = messages.DeltaRequest(
            type_url=ENDPOINT, resource_names_subscribe=[f"n{index}" for index in range(names)]
        )
        subscription.receive(request)
        began = time.process_time()
        for index in range(300):
            change(subscription, index)
        found.append(time.process_time() - began)
    return min(found)


def subscribe(subscription: DeltaSubscription, index: int) -> None:
    subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=[f"x{index}"]))


def toggle(subscription: DeltaSubscription, index: int) -> None:
    changed = {f"resource_names_{'un' * (index % 2)}subscribe": ["n1"]}
    subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, **changed))


@pytest.mark.parametrize("change", [subscribe, toggle], ids=lambda change: change.__name__)
def test_a_small_request_costs_little_on_a_stream_with_many_names(
    change: Callable[[DeltaSubscription, int], None],
) -> None:
    assert cost(40_000, change) < 20 * cost(100, change)


def test_names_that_changed_are_shared_again() -> None:
    clock = Clock()
    view = View(clock, {ENDPOINT: [Collection(clock, ENDPOINT)]})
    subscriptions = [DeltaSubscription(ENDPOINT, view) for _ in range(2)]
    for subscription in subscriptions:
        for names in ([f"n{index}" for index in range(1_000)], *([f"x{index}"] for index in range(40))):
            subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=names))
        for _ in range(20):
            subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, response_nonce="1"))
    assert subscriptions[0].names is subscriptions[1].names
    assert len(subscriptions[0].names) == 1_040


def test_names_that_were_never_subscribed_are_not_answered() -> None:
    clock = Clock()
    subscription = DeltaSubscription(CLUSTER, View(clock, {CLUSTER: [Collection(clock, CLUSTER)]}))
    subscription.receive(messages.DeltaRequest(type_url=CLUSTER, resource_names_subscribe=["*"]))
    assert subscription.compose() is not None
    subscription.receive(messages.DeltaRequest(type_url=CLUSTER, resource_names_unsubscribe=MANY))
    assert subscription.pending == NOTHING


# Texts.


def test_what_is_shown_of_a_text() -> None:
    assert shown("bad\x1b[2J\nline \N{SNOWMAN}") == "bad\\x1b[2J\\nline \N{SNOWMAN}"
    assert shown("x" * LONGEST) == "x" * LONGEST
    assert shown("x" * 8_000_000) == "x" * LONGEST + "… (cut; it has 8000000 characters)"


async def test_a_long_rejection_is_kept_and_logged_with_its_length(
    world: World, delta: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()
    world[LISTENER].put(resource("l"))
    stream = world.connect(delta=delta)
    await stream.subscribe(LISTENER)
    await stream.ack(await stream.reply(), error="\x1b[31m" + "no" * (2 << 20))
    world[CLUSTER].put(resource("c"))
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, ["c"])
    (proxy,) = world.server.proxies()
    nack = proxy.types[LISTENER].nack
    assert nack is not None
    assert len(nack.message) < LONGEST + 100
    assert f"{(4 << 20) + 5} characters" in nack.message
    written = capsys.readouterr().out
    assert "rejected by a proxy" in written
    assert len(written) < 10_000
    assert "\x1b[31mno" not in written


async def test_rejections_without_end_make_few_log_lines(
    world: World, delta: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = world.connect(delta=delta)
    await stream.subscribe(LISTENER)
    for index in range(50):
        reply = await stream.reply()
        await stream.ack(reply, error="no")
        world[LISTENER].put(resource("l", str(index)))
    await stream.reply()
    assert 1 <= capsys.readouterr().out.count("rejected by a proxy") <= 10
    assert world.server.suppressed_lines >= 40


# Client status.


def status_call(world: World) -> Any:
    return world.channel().stream_stream(METHOD + "StreamClientStatus", **CODEC)()


async def test_many_status_requests_of_those_who_do_not_read(world: World) -> None:
    """A hundred bytes each; the answers would be 400 MB."""
    for index in range(4):
        world[LISTENER].put(resource(f"l{index}", "x" * 500_000))
    good = await a_good_stream(world)
    stream = world.connect("n", delta=True)
    await stream.subscribe(LISTENER)
    await stream.reply()
    calls = [status_call(world) for _ in range(200)]
    for call in calls:
        await call.write(messages.ClientStatusRequest())
    assert await latency(world, good) < PROMPT
    for call in calls[50:]:
        call.cancel()
    for call in calls[:50]:
        (config,) = (await call.read()).config[-1:]
        assert config.node.id
        call.cancel()


async def test_an_answer_that_is_too_large_is_refused_with_a_remedy(worlds: Worlds) -> None:
    world = await worlds(status_bytes=50_000).start()
    world[LISTENER].put(resource("l", "x" * 60_000))
    stream = world.connect("n", delta=True)
    await stream.subscribe(LISTENER)
    await stream.reply()
    call = status_call(world)
    await call.write(messages.ClientStatusRequest())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is EXHAUSTED
    assert "exclude_resource_contents" in (refused.value.details() or "")
    call = status_call(world)
    await call.write(messages.ClientStatusRequest(exclude_resource_contents=True))
    assert (await call.read()).config[0].node.id == "n"
    call.cancel()
