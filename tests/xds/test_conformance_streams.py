"""The life of streams: readiness, refusal, age, the end of the server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from controlplane.xds.resource import CLUSTER, ENDPOINT
from controlplane.xds.server import InvalidNode, Node, NotReady
from controlplane.xds.view import View
from tests.xds.client import Stream, resource
from tests.xds.world import World, Worlds


async def test_readiness_gate_no_stream_gets_anything_before(worlds: Worlds, delta: bool) -> None:
    world = await worlds(ready=False).start()
    stream = world.connect(delta=delta)
    await stream.subscribe(CLUSTER)
    reading = asyncio.ensure_future(stream.reply())
    # Another stream's end is a round trip through the server after the first request arrived there.
    bad = world.connect("", delta=delta)
    await bad.subscribe(CLUSTER)
    assert (await bad.status())[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert not reading.done()
    world[CLUSTER].put(resource("a"))
    world.server.set_ready()
    assert stream.names_of(await reading) == ["a"]


async def test_a_node_that_is_not_ready_waits_for_the_next_ready(worlds: Worlds, delta: bool) -> None:
    asked = asyncio.Event()
    ready: list[View] = []

    def classify(node: Node) -> View:
        asked.set()
        if not ready:
            raise NotReady
        return ready[0]

    world = await worlds(classify).start()
    world[CLUSTER].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(CLUSTER)
    await asked.wait()
    ready.append(world.view)
    world.server.set_ready()
    await stream.expect(CLUSTER, ["a"])


async def test_an_invalid_node_is_told_why(worlds: Worlds, delta: bool) -> None:
    def classify(node: Node) -> View:
        raise InvalidNode(f"no service called {node.id}")

    world = await worlds(classify).start()
    stream = world.connect("nobody", delta=delta)
    await stream.subscribe(CLUSTER)
    assert await stream.status() == (grpc.StatusCode.INVALID_ARGUMENT, "no service called nobody")


class Released(View):
    """Says when it is."""

    def __init__(self, view: View, said: asyncio.Queue[View]) -> None:
        super().__init__(view.clock, view.collections)
        self._said = said

    def release(self) -> None:
        self._said.put_nowait(self)


async def test_a_view_is_released_once_when_its_stream_ends(worlds: Worlds, delta: bool) -> None:
    released: asyncio.Queue[View] = asyncio.Queue()
    views: dict[str, View] = {}
    world = worlds(classify=lambda node: views.setdefault(node.id, Released(world.view, released)))
    await world.start()
    for end in ("cancel", "done", "garbage"):
        stream = world.connect(end, delta=delta)
        await stream.subscribe(CLUSTER)
        await stream.expect(CLUSTER, [])
        if end == "cancel":
            stream.call.cancel()
        elif end == "done":
            await stream.call.done_writing()
        else:
            await stream.write(b"\xff\xff")
        assert await asyncio.wait_for(released.get(), 5) is views[end]
    assert released.empty()
    assert world.server.proxies() == []
    assert world.server.counters["streams"] == 0


async def test_too_many_new_streams_are_refused(worlds: Worlds, delta: bool) -> None:
    world = await worlds(stream_rate=0.001, stream_burst=2).start()
    for _ in range(2):
        stream = world.connect(delta=delta)
        await stream.subscribe(CLUSTER)
        await stream.expect(CLUSTER, [])
    assert (await world.connect(delta=delta).status())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_one_node_may_hold_a_bounded_number_of_streams(worlds: Worlds, delta: bool) -> None:
    world = await worlds(streams_per_node=2).start()
    streams: list[Stream] = []
    for _ in range(2):
        streams.append(world.connect("n", delta=delta))
        await streams[-1].subscribe(CLUSTER)
        await streams[-1].expect(CLUSTER, [])
    third = world.connect("n", delta=delta)
    await third.subscribe(CLUSTER)
    assert (await third.status())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    other = world.connect("m", delta=delta)
    await other.subscribe(CLUSTER)
    await other.expect(CLUSTER, [])


async def test_stop_ends_streams_so_that_clients_go_elsewhere(world: World, delta: bool) -> None:
    stream = world.connect(delta=delta)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, [])
    await world.server.stop(5)
    assert (await stream.status())[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_connection_has_a_maximum_age(worlds: Worlds, delta: bool) -> None:
    world = await worlds(max_connection_age=0.1, max_connection_age_grace=0.1).start()
    stream = world.connect(delta=delta)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, [])
    assert (await asyncio.wait_for(stream.status(), 10))[0] is grpc.StatusCode.UNAVAILABLE


async def test_acknowledged_waits_for_all_that_was_changed_before(world: World, delta: bool) -> None:
    world[ENDPOINT].put(resource("a"))
    streams = [world.connect(f"n{index}", delta=delta) for index in range(3)]
    for stream in streams:
        await stream.subscribe(ENDPOINT, ["a"])
        await stream.expect(ENDPOINT, ["a"])
    assert await world.server.acknowledged(lambda *_: True, 5) == []
    world[ENDPOINT].put(resource("a", "2"))
    waiting = asyncio.ensure_future(world.server.acknowledged(lambda node, _: node.id != "n9", 30))
    replies = [await stream.reply() for stream in streams]
    await streams[0].ack(replies[0])
    await streams[1].ack(replies[1], error="no")
    assert not waiting.done()
    streams[2].call.cancel()
    assert await waiting == []


async def test_acknowledged_names_who_did_not(world: World, delta: bool) -> None:
    world[ENDPOINT].put(resource("a"))
    streams = {name: world.connect(name, delta=delta) for name in ("x", "y", "z")}
    for stream in streams.values():
        await stream.subscribe(ENDPOINT, ["a"])
        await stream.expect(ENDPOINT, ["a"])
    world[ENDPOINT].put(resource("a", "2"))
    await streams["x"].ack(await streams["x"].reply())
    assert await world.server.acknowledged(lambda node, _: node.id in ("x", "y"), 0.2) == ["y"]


async def test_proxies_tell_of_node_and_versions(worlds: Worlds, delta: bool) -> None:
    said: list[dict[str, Any]] = []

    def classify(node: Node) -> View:
        said.append(dict(node.metadata))
        return world.view

    world = await worlds(classify).start()
    world[CLUSTER].put(resource("a"))
    stream = world.connect(delta=delta)
    request = stream.request(CLUSTER)
    request.node.id, request.node.cluster = "id", "cluster"
    request.node.metadata.update({"service": "A", "nested": {"x": [1, "y"]}})
    request.node.user_agent_build_version.version.major_number = 1
    request.node.user_agent_build_version.version.minor_number = 40
    await stream.write(request)
    await stream.expect(CLUSTER, ["a"])
    assert await world.server.acknowledged(lambda node, _: node.cluster == "cluster", 5) == []
    (proxy,) = world.server.proxies()
    assert (proxy.id, proxy.cluster, proxy.version) == ("id", "cluster", "1.40.0")
    assert said == [{"service": "A", "nested": {"x": [1.0, "y"]}}]
    assert not proxy.node.metadata  # who served it has read them
    assert proxy.variant == ("delta" if delta else "sotw")
    assert proxy.types[CLUSTER].acked == proxy.types[CLUSTER].sent == world.view.version(CLUSTER)
