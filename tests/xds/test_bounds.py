"""What one client may cost: who goes beyond a bound is told so, and ends alone."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import structlog

from controlplane.xds import messages
from controlplane.xds.bounds import LONGEST, LONGEST_ID, Bounds, shown
from controlplane.xds.node import InvalidNode, Node, NotReady
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER
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
