"""The rules of the incremental variant, against the real server with a real gRPC client."""

from __future__ import annotations

import pytest

from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST
from tests.xds.client import SEPARATE, resource
from tests.xds.world import World

ALL = [CLUSTER, ENDPOINT, LISTENER, ROUTE]


@pytest.mark.parametrize("type_url", ALL)
async def test_subscription_changes_count_with_a_stale_nonce(world: World, type_url: str) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=True)
    await stream.subscribe(type_url, ["a"])
    first = await stream.expect(type_url, ["a"])
    world[type_url].put(resource("a", "2"))
    await stream.reply()
    await stream.send(type_url, response_nonce=first.nonce, resource_names_subscribe=["b"])
    await stream.expect(type_url, ["b"])
    await stream.send(type_url, response_nonce="never sent", resource_names_unsubscribe=["a"])
    await stream.quiet()
    world[type_url].put(resource("a", "3"))
    await stream.quiet()


@pytest.mark.parametrize("type_url", ALL)
async def test_subscribing_again_to_a_known_name_is_answered(world: World, type_url: str) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=True)
    for _ in range(3):
        await stream.subscribe(type_url, ["a"])
        await stream.expect(type_url, ["a"])
    await stream.quiet()


@pytest.mark.parametrize("type_url", ALL)
async def test_a_missing_name_is_answered_as_removed_and_sent_when_it_appears(
    world: World, type_url: str
) -> None:
    stream = world.connect(delta=True)
    await stream.subscribe(type_url, ["a"])
    await stream.expect(type_url, [], removed=["a"])
    world[type_url].put(resource("a"))
    await stream.expect(type_url, ["a"])
    world[type_url].remove("a")
    await stream.expect(type_url, [], removed=["a"])
    world[type_url].put(resource("a"))
    await stream.expect(type_url, ["a"])


@pytest.mark.parametrize("type_url", ALL)
async def test_unsubscribing_while_the_wildcard_is_held_is_answered_with_the_resource(
    world: World, type_url: str
) -> None:
    world[type_url].put(resource("a"))
    stream = world.connect(delta=True)
    await stream.subscribe(type_url, ["*", "a", "gone"])
    await stream.expect(type_url, ["a"], removed=["gone"])
    await stream.subscribe(type_url, unsubscribe=["a"])
    await stream.expect(type_url, ["a"])
    await stream.subscribe(type_url, unsubscribe=["gone"])
    await stream.expect(type_url, [], removed=["gone"])
    world[type_url].put(resource("a", "2"))
    await stream.expect(type_url, ["a"])


@pytest.mark.parametrize("type_url", ALL)
async def test_unsubscribing_the_wildcard_keeps_the_names(world: World, type_url: str) -> None:
    for name in ("a", "b"):
        world[type_url].put(resource(name))
    stream = world.connect(delta=True)
    await stream.subscribe(type_url, ["*", "a"])
    await stream.expect(type_url, ["a", "b"])
    await stream.subscribe(type_url, unsubscribe=["*"])
    await stream.quiet()
    world[type_url].put(resource("b", "2"))
    await stream.quiet()
    world[type_url].put(resource("a", "2"))
    await stream.expect(type_url, ["a"])


@pytest.mark.parametrize("names", [[], ["*"], ["kept", "gone", "stale"]], ids=["legacy", "wildcard", "names"])
async def test_initial_versions_bring_what_differs_and_removals_of_what_is_gone(
    world: World, names: list[str]
) -> None:
    kept = resource("kept")
    world[CLUSTER].put(kept)
    world[CLUSTER].put(resource("stale", "new"))
    stream = world.connect(delta=True)
    await stream.subscribe(CLUSTER, names, initial={"kept": kept.version, "stale": "old", "gone": "1"})
    await stream.expect(CLUSTER, ["stale"], removed=["gone"])
    await stream.quiet()


async def test_an_ack_with_nothing_new_is_answered_by_nothing(world: World) -> None:
    world[CLUSTER].put(resource("a"))
    stream = world.connect(delta=True)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, ["a"])
    await stream.quiet()


@pytest.mark.parametrize("type_url", ALL)
async def test_only_what_changed_is_sent(world: World, type_url: str) -> None:
    names = [f"r{index}" for index in range(20)]
    for name in names:
        world[type_url].put(resource(name))
    stream = world.connect(delta=True)
    await stream.subscribe(type_url, names)
    await stream.expect(type_url, names)
    world[type_url].put(resource("r7", "2"))
    reply = await stream.expect(type_url, ["r7"])
    assert reply.resources[0].version == world[type_url].get("r7").version  # pyright: ignore
    world[type_url].put(resource("not subscribed"))
    await stream.quiet()


async def test_the_first_wildcard_request_is_answered_even_if_empty(world: World) -> None:
    stream = world.connect(delta=True)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, [])


@pytest.mark.parametrize("separate", [True, False], ids=["separate", "aggregated"])
async def test_vhds_empty_subscription_is_answered_at_once(world: World, separate: bool) -> None:
    method = SEPARATE[VIRTUAL_HOST, True] if separate else None
    stream = world.connect(delta=True, method=method)
    await stream.subscribe(VIRTUAL_HOST)
    await stream.expect(VIRTUAL_HOST, [])


async def test_vhds_aliases_and_unknown_names(world: World) -> None:
    world[VIRTUAL_HOST].put(resource("rc/svc", aliases=("rc/svc:8080",)))
    stream = world.connect(delta=True)
    await stream.subscribe(VIRTUAL_HOST)
    await stream.expect(VIRTUAL_HOST, [])
    await stream.subscribe(VIRTUAL_HOST, ["rc/svc:8080"])
    reply = await stream.expect(VIRTUAL_HOST, ["rc/svc"])
    assert list(reply.resources[0].aliases) == ["rc/svc:8080"]
    await stream.subscribe(VIRTUAL_HOST, ["rc/none"])
    reply = await stream.expect(VIRTUAL_HOST, ["rc/none"])
    assert list(reply.resources[0].aliases) == ["rc/none"]
    assert not reply.resources[0].HasField("resource")
    world[VIRTUAL_HOST].put(resource("rc/svc", "2", aliases=("rc/svc:8080",)))
    await stream.expect(VIRTUAL_HOST, ["rc/svc"])
    world[VIRTUAL_HOST].put(resource("rc/none"))
    await stream.expect(VIRTUAL_HOST, ["rc/none"])
    world[VIRTUAL_HOST].remove("rc/svc")
    await stream.expect(VIRTUAL_HOST, [], removed=["rc/svc"])


async def test_the_service_name_of_a_cluster_names_its_endpoints(world: World) -> None:
    from envoy.config.cluster.v3 import cluster_pb2

    from controlplane.xds.resource import Resource

    def cluster(timeout: int) -> Resource:
        message = cluster_pb2.Cluster(name="c")  # pyright: ignore
        message.eds_cluster_config.service_name = "e"
        message.connect_timeout.seconds = timeout
        return Resource.of("c", message.SerializeToString())

    world[CLUSTER].put(cluster(1))
    world[ENDPOINT].put(resource("e"))
    stream = world.connect(delta=True)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, ["c"])
    await stream.subscribe(ENDPOINT, ["e"])
    await stream.expect(ENDPOINT, ["e"])
    world[CLUSTER].put(cluster(2))
    await stream.expect(CLUSTER, ["c"])
    await stream.expect(ENDPOINT, ["e"])


async def test_replies_show_the_version_of_the_view(world: World) -> None:
    """It is a hash of content: what is as it was has the version that it had."""
    world[CLUSTER].put(resource("a"))
    stream = world.connect(delta=True)
    await stream.subscribe(CLUSTER)
    seen = [(await stream.expect(CLUSTER, ["a"])).system_version_info]
    for content in ("2", "1"):
        world[CLUSTER].put(resource("a", content))
        seen.append((await stream.expect(CLUSTER, ["a"])).system_version_info)
        assert seen[-1] == world.view.version(CLUSTER)
    assert len(set(seen)) == 2
    assert seen[0] == seen[2] != ""
    await stream.subscribe(ENDPOINT, ["b"])
    nothing = await stream.expect(ENDPOINT, [], removed=["b"])
    assert nothing.system_version_info == world.view.version(ENDPOINT)
