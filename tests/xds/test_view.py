"""What a view may be made of, and what servers of one process have to do with each other: nothing."""

import grpc
import pytest

from controlplane.xds.resource import CLUSTER, ROUTE
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.world import Worlds


def test_a_collection_stands_under_its_type() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match=r"RouteConfiguration stands under .*Cluster"):
        View(clock, {CLUSTER: [Collection(clock, ROUTE)]})


def test_all_collections_of_a_view_have_its_clock() -> None:
    with pytest.raises(ValueError, match="clock of another server"):
        View(Clock(), {CLUSTER: [Collection(Clock(), CLUSTER)]})


async def test_changes_at_one_server_are_not_counted_at_another(worlds: Worlds, delta: bool) -> None:
    busy, quiet = await worlds().start(), await worlds().start()
    before = quiet.clock.now
    streams = [world.connect(delta=delta) for world in (busy, quiet)]
    for stream in streams:
        await stream.subscribe(CLUSTER)
        await stream.expect(CLUSTER, [])
    for number in range(10):
        busy[CLUSTER].put(resource(f"{number}"))
    await streams[0].expect(CLUSTER, [f"{number}" for number in range(10)])
    assert busy.clock.now == before + 10
    assert quiet.clock.now == before
    quiet[CLUSTER].put(resource("a"))
    assert quiet.clock.now == quiet[CLUSTER].changed_at == before + 1
    await streams[1].expect(CLUSTER, ["a"])


async def test_a_server_does_not_serve_the_views_of_another(worlds: Worlds, delta: bool) -> None:
    other = worlds()
    world = await worlds(lambda _: other.view).start()
    stream = world.connect(delta=delta)
    await stream.subscribe(CLUSTER)
    code, _ = await stream.status()
    assert code is grpc.StatusCode.INTERNAL
    assert world.server.counters["streams"] == 0
