"""Clusters that a user's patches change go to two of those that use them first."""

from __future__ import annotations

from controlplane.xds.resource import CLUSTER, ENDPOINT, ROUTE
from tests.xds.client import resource
from tests.xds.trio import NEVER, Trio
from tests.xds.world import Worlds


async def trio_of(worlds: Worlds, delta: bool, tried: bool = True) -> Trio:
    world = await worlds(trial_wait=NEVER).start()
    world[CLUSTER].tried = tried
    trio = Trio(world, delta)
    await trio.start()
    return trio


async def test_a_cluster_that_two_reject_reaches_nobody_else(worlds: Worlds, delta: bool) -> None:
    trio = await trio_of(worlds, delta)
    trio.world[CLUSTER].put(resource("old", "bad"))
    for stream, reply in zip((trio.one, trio.two), await trio.asked(), strict=True):
        await stream.ack(reply, error="Error adding/updating cluster(s) old: no such policy")
        await stream.expect(ENDPOINT, ["old"])  # Envoy warms a changed cluster
    for stream in trio.all:
        await stream.quiet()
    (held,) = trio.world.server.held()
    assert (held.type_url, held.resource.body) == (CLUSTER, b"old|bad")
    trio.world[CLUSTER].put(resource("old", "3"))
    assert trio.content(await trio.three.reply()) == [b"old|3"]  # who has rejected is asked last
    assert not trio.world.server.held()


async def test_without_patches_a_cluster_goes_to_everyone_at_once(worlds: Worlds, delta: bool) -> None:
    trio = await trio_of(worlds, delta, tried=False)
    trio.world[CLUSTER].put(resource("old", "bad"))
    for stream in trio.all:
        assert b"old|bad" in trio.content(await stream.reply())
    assert trio.world.server.counters["trials_accepted"] == 0


async def test_a_route_does_not_overtake_the_clusters_that_wait(worlds: Worlds, delta: bool) -> None:
    """It may name a cluster that waits beside the one on trial."""
    trio = await trio_of(worlds, delta)
    trio.world[CLUSTER].put(resource("old", "2"))
    trio.world[CLUSTER].put(resource("new"))
    trio.world[ROUTE].put(resource("b"))
    await trio.three.subscribe(ROUTE, ["a", "b"])
    for stream, reply in zip((trio.one, trio.two), await trio.asked(), strict=True):
        await stream.ack(reply)
    reply = await trio.three.reply()
    assert reply.type_url == CLUSTER
    assert {b"old|2", b"new|1"} <= set(trio.content(reply))
    await trio.three.ack(reply)
    await trio.three.expect(ENDPOINT, ["old"])
    assert b"b|1" in trio.content(await trio.three.expect(ROUTE, ["a", "b"] if delta else ["b"]))


async def test_of_several_clusters_those_are_held_that_the_text_names(worlds: Worlds, delta: bool) -> None:
    """Envoy has taken the others of the same reply."""
    trio = await trio_of(worlds, delta)
    trio.world[CLUSTER].put(resource("more"))
    for stream in trio.all:
        await stream.expect(CLUSTER, ["more"] if delta else ["more", "old"])
    trio.world[CLUSTER].replace([resource("old", "bad"), resource("more", "2")])
    for stream, reply in zip((trio.one, trio.two), await trio.asked(), strict=True):
        await stream.ack(reply, error="Error adding/updating cluster(s) old: no such policy")
    assert b"more|2" in trio.content(await trio.three.reply())
    (held,) = trio.world.server.held()
    assert held.resource.name == "old"
