"""In which order over the types a stream is told of changes, so that nothing refers to what is not there."""

from __future__ import annotations

import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.xds.client import resource
from tests.xds.world import World, Worlds, subscribe_all


async def test_make_before_break_additions_come_in_the_order_of_use(world: World, delta: bool) -> None:
    stream = world.connect(delta=delta)
    await subscribe_all(stream, world, ["a"])
    for type_url in (ROUTE, LISTENER, ENDPOINT, CLUSTER):  # in the wrong order on purpose
        world[type_url].put(resource("a", "2"))
        world[type_url].put(resource("b"))
    await stream.expect(CLUSTER, ["a", "b"])
    # The client learns of the new cluster, asks for its endpoints, and only then gets what refers to it.
    await stream.subscribe(ENDPOINT, ["b"] if delta else ["a", "b"])
    got: list[str] = []
    endpoints: list[str] = []
    while LISTENER not in got:
        reply = await stream.reply()
        await stream.ack(reply)
        got.append(reply.type_url)
        if reply.type_url == LISTENER:
            assert "b" in endpoints
        else:
            endpoints = stream.names_of(reply)
    assert set(got[:-1]) == {ENDPOINT}
    await stream.expect(ROUTE, ["a"])


async def test_what_refers_to_a_new_cluster_is_not_held_for_ever(worlds: Worlds, delta: bool) -> None:
    world = await worlds(warming_wait=0.05).start()
    stream = world.connect(delta=delta)
    await subscribe_all(stream, world, ["a"])
    for type_url in (CLUSTER, ENDPOINT):
        world[type_url].put(resource("b"))
    world[ROUTE].put(resource("a", "2"))
    await stream.expect(CLUSTER, ["b"] if delta else ["a", "b"])
    await stream.expect(ROUTE, ["a"])


async def test_removed_clusters_go_after_the_routes_are_acknowledged(world: World, delta: bool) -> None:
    stream = world.connect(delta=delta)
    await subscribe_all(stream, world, ["a", "b"])
    world[CLUSTER].remove("b")
    world[ROUTE].put(resource("a", "2"))
    if delta:
        route = await stream.reply()
    else:
        await stream.expect(CLUSTER, ["a", "b"])  # the full set still has it
        route = await stream.reply()
    assert route.type_url == ROUTE
    await stream.quiet()
    await stream.ack(route)
    if delta:
        await stream.expect(CLUSTER, [], removed=["b"])
    else:
        await stream.expect(CLUSTER, ["a"])


async def test_removed_clusters_go_after_a_bounded_time(worlds: Worlds, delta: bool) -> None:
    world = await worlds(removal_wait=0.05).start()
    stream = world.connect(delta=delta)
    await subscribe_all(stream, world, ["a", "b"])
    world[CLUSTER].remove("b")
    world[ROUTE].put(resource("a", "2"))
    if not delta:
        await stream.expect(CLUSTER, ["a", "b"])
    assert (await stream.reply()).type_url == ROUTE  # never acknowledged
    if delta:
        await stream.expect(CLUSTER, [], removed=["b"])
    else:
        await stream.expect(CLUSTER, ["a"])


@pytest.mark.parametrize("content", ["changed", "added again"])
async def test_endpoints_are_sent_again_after_a_cluster_is_added_or_changed(
    world: World, delta: bool, content: str
) -> None:
    stream = world.connect(delta=delta)
    await subscribe_all(stream, world, ["a", "b"])
    world[CLUSTER].put(resource("a", content))
    await stream.expect(CLUSTER, ["a"] if delta else ["a", "b"])
    await stream.expect(ENDPOINT, ["a"])
