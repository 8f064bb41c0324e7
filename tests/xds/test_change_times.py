"""How long a change takes to be accepted, from the change on."""

from __future__ import annotations

from controlplane.xds.durations import Moments
from controlplane.xds.resource import ENDPOINT
from controlplane.xds.resources import Clock, Collection
from tests.xds.client import resource
from tests.xds.world import Worlds

WAIT = 4.0
"""Seconds that a change waits for others in these tests: what counting from the response would miss."""


async def test_time_counts_from_the_change(worlds: Worlds, delta: bool) -> None:
    world = await worlds(debounce_quiet=WAIT, debounce_max=2 * WAIT).start()
    world[ENDPOINT].put(resource("a"))
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, ["a"])
    await stream.expect(ENDPOINT, ["a"])
    times = world.server.change_times
    assert sum(times.counts) == 0  # an answer to a request
    world[ENDPOINT].put(resource("a", "2"))
    await stream.expect(ENDPOINT, ["a"])
    world[ENDPOINT].put(resource("a", "3"))  # shortly after another one: it waits
    await stream.expect(ENDPOINT, ["a"])
    await stream.quiet()  # the server has read the acknowledgement by then
    assert sum(times.counts) == 2
    assert times.sum >= WAIT
    assert sum(world.server.ack_times.counts) >= 3


def test_the_first_change_of_a_response_counts() -> None:
    clock = Clock()
    collection = Collection(clock, ENDPOINT, [resource("a"), resource("b")])
    made = clock.now
    assert collection.first_change(made) == 0
    collection.put(resource("a", "2"))
    collection.put(resource("b", "2"))
    assert collection.first_change(made) == made + 1
    assert collection.first_change(made + 1) == made + 2
    collection.put(resource("a", "3"))  # overtakes
    assert collection.first_change(made) == made + 2
    assert collection.first_change(0) == made


def test_moments_are_those_of_the_changes_and_few() -> None:
    moments = Moments(most=3)
    assert moments.of(1) is None
    for number, at in ((2, 10.0), (3, 10.0005), (4, 11.0), (6, 12.0)):
        moments.add(number, at)
    assert [moments.of(number) for number in range(1, 8)] == [10.0, 10.0, 10.0, 11.0, 12.0, 12.0, None]
    moments.add(7, 13.0)
    assert [moments.of(number) for number in (3, 4, 7)] == [None, 11.0, 13.0]
