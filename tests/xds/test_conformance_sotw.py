"""The rules of the state-of-the-world variant, against the real server with a real gRPC client."""

from __future__ import annotations

import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.xds.client import resource
from tests.xds.world import World

LEGACY = [CLUSTER, LISTENER]
NAMED = [ENDPOINT, ROUTE]
ALL = [*LEGACY, *NAMED]


@pytest.mark.parametrize("type_url", ALL)
async def test_a_stale_nonce_is_ignored(world: World, type_url: str) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a"])
    first = await stream.expect(type_url, ["a"])
    world[type_url].put(resource("a", "2"))
    second = await stream.reply()
    await stream.send(type_url, response_nonce=first.nonce, resource_names=["a", "b"])
    await stream.quiet()
    await stream.send(type_url, response_nonce=second.nonce, resource_names=["a", "b"])
    await stream.expect(type_url, ["b"] if type_url in NAMED else ["a", "b"])


@pytest.mark.parametrize("type_url", LEGACY)
async def test_replies_carry_the_full_set_for_listeners_and_clusters(world: World, type_url: str) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url)
    await stream.expect(type_url, ["a", "b"])
    world[type_url].put(resource("c"))
    await stream.expect(type_url, ["a", "b", "c"])
    world[type_url].remove("a")
    await stream.expect(type_url, ["b", "c"])
    world[type_url].replace([])
    await stream.expect(type_url, [])


@pytest.mark.parametrize("type_url", NAMED)
async def test_replies_carry_only_what_changed_for_routes_and_endpoints(world: World, type_url: str) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a", "b"])
    await stream.expect(type_url, ["a", "b"])
    world[type_url].put(resource("b", "2"))
    await stream.expect(type_url, ["b"])


@pytest.mark.parametrize("type_url", ALL)
async def test_names_newly_asked_for_are_answered_though_unchanged(world: World, type_url: str) -> None:
    for name in ("a", "b", "c"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a"])
    await stream.expect(type_url, ["a"])
    await stream.subscribe(type_url, ["a", "b"])
    await stream.expect(type_url, ["b"] if type_url in NAMED else ["a", "b"])
    await stream.subscribe(type_url, ["b"])
    await stream.quiet()
    world[type_url].put(resource("a", "2"))
    await stream.quiet()
    world[type_url].put(resource("b", "2"))
    await stream.expect(type_url, ["b"])


@pytest.mark.parametrize("type_url", ALL)
async def test_a_name_that_does_not_exist_is_sent_when_it_appears(world: World, type_url: str) -> None:
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a"])
    if type_url in LEGACY:
        await stream.expect(type_url, [])
    await stream.quiet()
    world[type_url].put(resource("a"))
    await stream.expect(type_url, ["a"])


@pytest.mark.parametrize("type_url", ALL)
async def test_no_names_after_names_is_nothing_and_no_wildcard(world: World, type_url: str) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a", "b"])
    await stream.expect(type_url, ["a", "b"])
    await stream.subscribe(type_url, [])
    await stream.quiet()
    world[type_url].put(resource("a", "2"))
    await stream.quiet()


@pytest.mark.parametrize("type_url", ALL)
async def test_the_version_of_a_reply_is_the_content(world: World, type_url: str) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a"])
    one = await stream.expect(type_url, ["a"])
    world[type_url].put(resource("a", "2"))
    two = await stream.expect(type_url, ["a"])
    world[type_url].put(resource("a"))
    three = await stream.expect(type_url, ["a"])
    assert one.version_info != two.version_info
    assert one.version_info == three.version_info


@pytest.mark.parametrize("type_url", ALL)
async def test_an_ack_is_answered_by_nothing(world: World, type_url: str) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=False)
    await stream.subscribe(type_url, ["a"])
    await stream.expect(type_url, ["a"])
    await stream.quiet()
