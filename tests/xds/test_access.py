"""Who may call which method of the port, and as which node, by the certificate of a real client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from controlplane.net.tls import Tls
from controlplane.xds import messages
from controlplane.xds.access import SERVICES, Access
from controlplane.xds.csds import ClientStatus
from controlplane.xds.discovery import METHODS
from controlplane.xds.identities import DEFAULT_PATTERNS, Identities, pattern
from controlplane.xds.identity import Identity as Who
from controlplane.xds.node import DeniedNode, Node
from controlplane.xds.resource import CLUSTER
from controlplane.xds.view import View
from tests.trust import Authority, Identity
from tests.xds.client import Stream, resource
from tests.xds.world import World, Worlds

DENIED = grpc.StatusCode.PERMISSION_DENIED
STATUS = "/envoy.service.status.v3.ClientStatusDiscoveryService/"
PATHS = [f"/{service}/{method}" for service, method, _, _ in METHODS]
PATTERNS = (
    *DEFAULT_PATTERNS,
    "spiffe://*/one/{application}/{node}",
    "{application}.apps.mesh.test",
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def world(worlds: Worlds, authority: Authority) -> World:
    tls = Tls(authority.server())
    made = await worlds(tls=tls, identities=Identities(PATTERNS)).start()
    made[CLUSTER].put(resource("a"))
    return made


def connected(
    world: World, client: Identity, node: str = "n", *, delta: bool = True, path: str | None = None
) -> Stream:
    return Stream(world.channel(client), node, delta=delta, method=path)


async def ask(stream: Stream, role: Any = None, cluster: str = "", address: str = "") -> None:
    """The first request, of a node of that role."""
    request = stream.request(CLUSTER)
    request.node.id, request.node.cluster = stream.node, cluster
    if role is not None:
        request.node.metadata["role"] = role
    if address:
        request.node.metadata["address"] = address
    await stream.write(request)


@pytest.mark.parametrize(
    ("path", "role", "cluster"),
    [
        ("gateway/edge", "edge", "edge"),
        ("application/shop", "sidecar", "shop"),
        ("application/shop", "grpc", "shop"),
        ("one/shop/n", "sidecar", "shop"),
    ],
)
async def test_who_says_what_the_certificate_says_is_served(
    world: World, authority: Authority, delta: bool, path: str, role: str, cluster: str
) -> None:
    stream = connected(world, authority.client(path), delta=delta)
    await ask(stream, role, cluster)
    await stream.expect(CLUSTER, ["a"])
    (proxy,) = world.server.proxies()
    assert proxy.node.identity is not None
    assert proxy.node.identity.party == f"{'gateway' if role == 'edge' else 'application'} {cluster}"


async def test_a_dns_name_names_as_well(world: World, authority: Authority) -> None:
    stream = connected(world, authority.client("", "Shop.apps.mesh.test"))
    await ask(stream, "sidecar", "Shop")
    await stream.expect(CLUSTER, ["a"])


@pytest.mark.parametrize(
    ("path", "role", "cluster", "says"),
    [
        ("application/shop", "sidecar", "bank", "node.cluster is 'bank'"),
        ("application/shop", "sidecar", "", "node.cluster is ''"),
        ("application/shop", "edge", "shop", "node.metadata.role is 'edge'"),
        ("gateway/edge", "sidecar", "edge", "node.metadata.role is 'sidecar'"),
        ("gateway/edge", "grpc", "edge", "node.metadata.role is 'grpc'"),
        ("gateway/edge", "edge", "other", "node.cluster is 'other'"),
        ("gateway/edge", None, "edge", "node.metadata.role is 'None'"),
        ("gateway/edge", 7, "edge", "node.metadata.role is '7"),
        ("one/shop/m", "sidecar", "shop", "node.id is 'n'"),
    ],
)
async def test_who_says_something_else_is_denied(
    world: World, authority: Authority, delta: bool, path: str, role: Any, cluster: str, says: str
) -> None:
    stream = connected(world, authority.client(path), delta=delta)
    await ask(stream, role, cluster)
    code, text = await stream.status()
    assert (code, says in text) == (DENIED, True), text
    assert world.server.proxies() == []
    assert world.server.counters["streams_ended_permission_denied"] == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["somebody/else", "operator/ops"])
async def test_who_may_not_call_a_method_is_denied_before_anything_is_read(
    worlds: Worlds, authority: Authority, path: str, who: str
) -> None:
    def classify(node: Node) -> View:
        raise AssertionError("must not come here")

    world = await worlds(classify, tls=Tls(authority.server()), identities=Identities()).start()
    stream = connected(world, authority.client(who), path=path)
    code, text = await stream.status()
    assert code is DENIED
    assert "fit no pattern of xds_identities" in text or f"operator ops may not call {path}" in text
    assert world.server.counters["streams_ended_permission_denied"] == 1


async def test_a_registry_that_disagrees_denies(worlds: Worlds, authority: Authority) -> None:
    def classify(node: Node) -> View:
        raise DeniedNode("10.0.0.1:80 is an instance of another application")

    world = await worlds(classify, tls=Tls(authority.server()), identities=Identities()).start()
    stream = connected(world, authority.client("application/shop"))
    await ask(stream, "sidecar", "shop")
    assert await stream.status() == (DENIED, "10.0.0.1:80 is an instance of another application")


async def test_a_node_id_of_others_is_not_used_up(worlds: Worlds, authority: Authority) -> None:
    """Whoever says that it is node n of another application takes none of the streams of that one's n."""
    bounds = {"streams_per_node": 2, "streams_per_client": 3}
    tls = Tls(authority.server())
    world = await worlds(tls=tls, identities=Identities(), **bounds).start()
    rogue = authority.client("application/rogue")
    for node in ("n", "n", "m"):
        stream = connected(world, rogue, node)
        await ask(stream, "sidecar", "rogue")
        await stream.expect(CLUSTER, [])
    for node, says in (("n", "node n has 2 open streams"), ("o", "application rogue has 3 open streams")):
        stream = connected(world, rogue, node)
        await ask(stream, "sidecar", "rogue")
        code, text = await stream.status()
        assert (code, says in text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True), text
    stream = connected(world, authority.client("application/shop"), "n")
    await ask(stream, "sidecar", "shop")
    await stream.expect(CLUSTER, [])


async def test_new_streams_of_one_client_leave_those_of_others(worlds: Worlds, authority: Authority) -> None:
    bounds = {"stream_rate_per_client": 0.001, "stream_burst_per_client": 2}
    tls = Tls(authority.server())
    world = await worlds(tls=tls, identities=Identities(), **bounds).start()
    codes: list[grpc.StatusCode] = []
    for number in range(4):
        stream = connected(world, authority.client("application/rogue"), f"n{number}")
        if number < 2:
            await ask(stream, "sidecar", "rogue")
            await stream.expect(CLUSTER, [])
        else:
            codes.append((await stream.status())[0])
    assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
    stream = connected(world, authority.client("application/shop"))
    await ask(stream, "sidecar", "shop")
    await stream.expect(CLUSTER, [])


async def seen(world: World, client: Identity | None) -> list[str]:
    """The nodes whose status a client is told."""
    call = world.channel(client).unary_unary(
        STATUS + "FetchClientStatus",
        request_serializer=messages.ClientStatusRequest.SerializeToString,
        response_deserializer=messages.ClientStatusResponse.FromString,
    )
    answer: Any = await asyncio.wait_for(call(messages.ClientStatusRequest()), 10)
    return sorted(config.node.id for config in answer.config)


async def test_client_status_of_others_is_for_operators(world: World, authority: Authority) -> None:
    for application, node in (("shop", "s1"), ("shop", "s2"), ("bank", "b1")):
        stream = connected(world, authority.client(f"application/{application}"), node)
        await ask(stream, "sidecar", application)
        await stream.expect(CLUSTER, ["a"])
    assert await seen(world, authority.client("operator/ops")) == ["b1", "s1", "s2"]
    assert await seen(world, authority.client("application/shop")) == ["s1", "s2"]
    assert await seen(world, authority.client("gateway/shop")) == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await seen(world, authority.client("somebody/else"))
    assert caught.value.code() is DENIED


async def test_a_port_that_asks_for_no_certificate_tells_its_own_machine(worlds: Worlds) -> None:
    world = await worlds().start()
    stream = world.connect("n", delta=True)
    await stream.subscribe(CLUSTER)
    await stream.expect(CLUSTER, [])
    assert await seen(world, None) == ["n"]


class FromElsewhere:
    """A call as a transport makes it."""

    certificate = None
    method = ""

    def __init__(self, peer: str) -> None:
        self.peer = peer


@pytest.mark.parametrize(
    ("peer", "sees"),
    [
        ("ipv4:127.0.0.1:4711", True),
        ("ipv6:[::1]:4711", True),
        ("ipv4:10.0.0.9:4711", False),
        ("ipv6:[fe80::1%eth0]:4711", False),
        ("unix:", False),
    ],
)
def test_strangers_are_told_of_nobody(peer: str, sees: bool) -> None:
    access = Access(None, lambda call, end: None)
    call: Any = FromElsewhere(peer)
    assert access.sees(call, Node("n")) is sees


def test_every_method_has_its_permission() -> None:
    access = Access(None, lambda call, end: None)
    status = ClientStatus(lambda call: [], 1)
    served: Any = dict.fromkeys([*PATHS, *status.methods()])
    assert access.guard(served).keys() == served.keys()
    assert {path.split("/")[1] for path in served} <= SERVICES.keys()
    unknown: Any = {"/new.Service/Method": None}
    with pytest.raises(ValueError, match=r"new\.Service/Method"):
        access.guard(unknown)


@pytest.mark.parametrize(
    ("text", "name", "who"),
    [
        ("spiffe://*/gateway/{gateway}", "spiffe://a.b/gateway/edge", Who("gateway", "edge")),
        ("spiffe://*/gateway/{gateway}", "spiffe://a/b/gateway/edge", None),
        ("spiffe://*/gateway/{gateway}", "spiffe://a/gateway/edge/x", None),
        ("spiffe://*/gateway/{gateway}", "spiffe://a/gateway/", None),
        ("spiffe://*/gateway/{gateway}", "spiffe://a/Gateway/edge", None),
        ("spiffe://c.l/ns/*/sa/{application}", "spiffe://c.l/ns/x/sa/shop", Who("application", "shop")),
        ("spiffe://c.l/ns/*/sa/{application}", "spiffe://cxl/ns/x/sa/shop", None),
        ("{application}.apps", "SHOP.Apps", Who("application", "SHOP")),
        ("{application}.apps", "a.b.apps", None),
        ("spiffe://x/{application}/{node}/{address}", "spiffe://x/a/n/1.2.3.4",
         Who("application", "a", "n", "1.2.3.4")),
        ("spiffe://*/gateway/{gateway}", "spiffe://a/gateway/edge\n", None),
    ],
)  # fmt: skip
def test_patterns(text: str, name: str, who: Who | None) -> None:
    assert pattern(text).identity(name) == who


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://x/y",
        "{node}",
        "{gateway}{application}",
        "{gateway}/{gateway}",
        "{user}",
        "{gateway",
        "}{gateway}",
    ],
)
def test_patterns_that_name_nobody_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\{"):
        pattern(text)
