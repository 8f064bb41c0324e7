"""Client status discovery on the same port."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from controlplane.xds import messages
from controlplane.xds.client_status import of_subscription
from controlplane.xds.resource import CLUSTER, ENDPOINT
from controlplane.xds.resources import Clock, Collection, Overrun
from controlplane.xds.subscription import Subscription
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.world import World

METHOD = "/envoy.service.status.v3.ClientStatusDiscoveryService/"
CODEC: dict[str, Any] = {
    "request_serializer": messages.ClientStatusRequest.SerializeToString,
    "response_deserializer": messages.ClientStatusResponse.FromString,
}


async def fetch(world: World, request: Any) -> Any:
    return await world.channel().unary_unary(METHOD + "FetchClientStatus", **CODEC)(request)


async def test_what_was_sent_accepted_rejected_and_is_missing(world: World, delta: bool) -> None:
    for name in ("a", "b"):
        world[CLUSTER].put(resource(name))
        world[ENDPOINT].put(resource(name))
    stream = world.connect("n1", delta=delta)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, ["a", "b"])
    await stream.subscribe(ENDPOINT, ["a", "b", "missing"])
    await stream.expect(ENDPOINT, ["a", "b"], removed=["missing"])
    world[ENDPOINT].put(resource("b", "bad"))
    await stream.ack(await stream.reply(), error="no such thing")
    world[ENDPOINT].put(resource("a", "2"))
    await stream.reply()  # not acknowledged
    request = messages.ClientStatusRequest()
    response = await fetch(world, request)
    (config,) = response.config
    assert config.node.id == "n1"
    got = {
        (entry.type_url, entry.name): messages.ConfigStatus.Name(entry.config_status)
        for entry in config.generic_xds_configs
    }
    assert got == {
        (CLUSTER, "a"): "SYNCED",
        (CLUSTER, "b"): "SYNCED",
        (ENDPOINT, "a"): "STALE",
        (ENDPOINT, "b"): "ERROR",
        (ENDPOINT, "missing"): "NOT_SENT",
    }
    (rejected,) = [entry for entry in config.generic_xds_configs if entry.HasField("error_state")]
    assert rejected.error_state.details == "no such thing"
    assert rejected.version_info == resource("b", "bad").version
    assert rejected.xds_config.value == b"b|bad"
    (proxy,) = world.server.proxies("n1")
    assert {(one.name, one.state, one.nack and one.nack.message) for one in proxy.drift or ()} == {
        ("a", "unanswered", None),
        ("b", "rejected", "no such thing"),
        ("missing", "missing", None),
    }
    assert [one.drift for one in world.server.proxies()] == [None]
    assert world.server.proxies("other") == []
    ((connected, resources),) = world.server.resources("n1")
    assert connected == proxy.connected
    assert [(one.name, one.state) for one in resources] == [
        *(("a", "synced"), ("b", "synced")),
        *(("a", "unanswered"), ("b", "rejected"), ("missing", "missing")),
    ]
    assert world.server.resources("other") == []


async def test_node_matchers_and_the_stream_method(world: World) -> None:
    for node in ("edge-1", "edge-2", "sidecar-1"):
        stream = world.connect(node, delta=True)
        await stream.subscribe(CLUSTER)
        await stream.expect(CLUSTER, [])
    call = world.channel().stream_stream(METHOD + "StreamClientStatus", **CODEC)()
    for prefix, expected in (("edge-", {"edge-1", "edge-2"}), ("side", {"sidecar-1"}), ("x", set())):
        request = messages.ClientStatusRequest(exclude_resource_contents=True)
        request.node_matchers.add().node_id.prefix = prefix
        await call.write(request)
        assert {config.node.id for config in (await call.read()).config} == expected
    call.cancel()


async def test_a_matcher_that_is_not_understood_is_refused(world: World) -> None:
    request = messages.ClientStatusRequest()
    request.node_matchers.add().node_id.safe_regex.regex = ".*"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await fetch(world, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_client_that_fell_behind_what_is_remembered_is_shown() -> None:
    clock = Clock()
    part = Collection(clock, ENDPOINT, [resource("a")])
    view = View(clock, {ENDPOINT: [part]})
    subscription = Subscription(ENDPOINT, view, names=frozenset({"a"}), cursor=clock.now)
    assert [one.state for one in of_subscription(subscription)] == ["synced"]
    for number in range(3000):
        part.put(resource(f"{number}"))
        part.remove(f"{number}")
    with pytest.raises(Overrun):
        subscription.changes()
    assert [one.state for one in of_subscription(subscription)] == ["unsent"]
