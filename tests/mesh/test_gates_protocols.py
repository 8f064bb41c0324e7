"""What a filter that is left out must not change: HTTP/2 and gRPC, sticky shares, and retries when the
instance that serves is killed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.mesh.client import Address, Client, Header, until
from tests.mesh.documents import group, lane, route
from tests.mesh.gates import (
    CARRIED,
    EDGE,
    HOSTS,
    INBOUND,
    MEMBERS,
    OTHERS,
    OUTBOUND,
    RULES,
    SEED,
    Asking,
    asked,
    compare,
    copies,
    requests,
    same,
    started,
)
from tests.mesh.grpc_servers import SAY, STREAM, Echo, called
from tests.mesh.harness import Mesh
from tests.mesh.http2 import Http2Client

pytestmark = pytest.mark.mesh

COUNT = 150


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    return started(new_mesh())


def sidecar(mesh: Mesh, name: str) -> Address:
    return mesh.pods[name].address, 15000


def test_http2_at_an_edge(mesh: Mesh) -> None:
    compare(mesh, "edge", mesh.edge_admin, EDGE, Http2Client, COUNT)


def test_http2_at_a_sidecar(mesh: Mesh) -> None:
    compare(mesh, "outbound", sidecar(mesh, "B"), OUTBOUND, Http2Client, COUNT)
    lanes_own = OUTBOUND - {"outbound-request", "reply"}
    compare(mesh, "outbound", sidecar(mesh, "Bgray"), lanes_own, Http2Client, COUNT)


def shared_by(mesh: Mesh, sticky: dict[str, Any], **client: Any) -> None:
    """A share that stays with its users takes some of them."""
    ratio = {"percent": 40, "sticky": sticky}
    mesh.apply(group("shares", "app"), lane("share", "shares", tag="red", ratio=ratio))

    def chosen() -> bool:
        with Client(mesh.edge_address, **client) as one:
            answers = [one.get("/a", ("cookie", f"stay=u{n}")) for n in range(40)]
        return any(answer.lane == "share" for answer in answers)

    until(chosen, 10, "the share")


@pytest.fixture
def without_shares(mesh: Mesh) -> Iterator[None]:
    yield
    mesh.rest.call("DELETE", "/v1/lane-groups/shares")


@pytest.mark.usefixtures("without_shares")
def test_a_share_by_cookie(mesh: Mesh) -> None:
    shared_by(mesh, {"cookie": "stay"})
    with_cookie = [
        (method, path, body, [*headers, ("cookie", f"stay=u{n % 50}")])
        for n, (method, path, body, headers) in enumerate(requests("edge", COUNT))
    ]
    with copies(mesh, "edge", mesh.edge_admin, EDGE) as ends:
        same(with_cookie, HOSTS["edge"], *(Client(end) for end in ends))
        for end in ends:
            with Client(end) as client:
                assert "stay=" in (client.get("/a").header("set-cookie") or "")


@pytest.mark.usefixtures("without_shares")
def test_a_share_by_address(mesh: Mesh) -> None:
    sources = [f"127.8.1.{number}" for number in range(1, 30)]
    mesh.apply(
        group("shares", "app"),
        lane("share", "shares", tag="red", ratio={"percent": 40, "sticky": {"client_address": True}}),
    )

    def lanes(address: Address) -> list[str | None]:
        found: list[str | None] = []
        for source in sources:
            with Client(address, source) as client:
                found.append(client.get("/a").lane)
        return found

    until(lambda: "share" in lanes(mesh.edge_address), 10, "the share")
    with copies(mesh, "edge", mesh.edge_admin, EDGE) as ends:
        assert lanes(ends[0]) == lanes(ends[1]) == lanes(mesh.edge_address)
        for source in sources[:4]:
            same(requests("edge", 40), HOSTS["edge"], *(Client(end, source) for end in ends))


# gRPC.


@pytest.fixture(scope="module")
def servers(mesh: Mesh) -> Iterator[Mesh]:
    """G in base, gray and red, called over the edge and a sidecar; H has a sidecar itself."""
    pods = [
        mesh.pod(f"G{tag}", "sc-G", "app", tag=tag, sidecar=False, protocol="grpc")
        for tag in ("", "gray", "red")
    ]
    behind = mesh.pod("H", "sc-H", "other", protocol="grpc")
    made = [Echo(pod.name, (pod.address, pod.port)) for pod in pods]
    made.append(Echo("H", (behind.address, behind.app_port)))
    mesh.write_services()
    mesh.start_sidecars([behind])
    mesh.wait_ready("H")
    mesh.apply(route("stock", "sc-G", {"prefix": "/test.G"}))
    with channel_to(mesh.edge_address, "shop.example.com") as channel:
        until(lambda: called(channel, SAY, [1], [("canary", "gray")])[0] == "OK", 20, "the route")
    yield mesh
    for one in made:
        one.stop()


FAILING = [
    (),
    (("x-status", "G=UNAVAILABLE"),),
    (("x-status", "Ggray=RESOURCE_EXHAUSTED"),),
    (("x-status", "H=NOT_FOUND"),),
]
CALLS = [(SAY, [10]), (SAY, [70_000]), (STREAM, [1, 2, 3, 4]), (STREAM, [50_000, 0])]


def channel_to(end: Address, host: str) -> grpc.Channel:
    return grpc.insecure_channel(f"{end[0]}:{end[1]}", (("grpc.default_authority", host),))


@pytest.mark.parametrize(
    ("kind", "pod", "host", "off"),
    [
        ("edge", "", "shop.example.com", EDGE),
        ("outbound", "B", "sc-G", OUTBOUND),
        ("outbound", "Bgray", "sc-G", OUTBOUND - {"outbound-request", "reply"}),
        ("inbound", "H", "sc-H", INBOUND),
    ],
)
def test_grpc(servers: Mesh, kind: str, pod: str, host: str, off: set[str]) -> None:
    pick = random.Random(SEED)
    rules = RULES if kind == "edge" else [()]
    every = list(itertools.product(rules, CARRIED, MEMBERS, OTHERS, FAILING, CALLS))
    admin = sidecar(servers, pod) if pod else servers.edge_admin
    differ: list[str] = []
    codes = set()
    with copies(servers, kind, admin, off) as ends:
        first, second = (channel_to(end, host) for end in ends)
        with first, second:
            for chosen, carried, members, others, failing, (method, sizes) in pick.sample(every, COUNT):
                metadata = [*chosen, *carried, *members, *others, *failing]
                ours = called(first, method, sizes, metadata)
                theirs = called(second, method, sizes, metadata)
                codes.add(ours[0])
                if ours != theirs:
                    differ.append(f"{method} {sizes} {metadata}\n  gated {ours}\n  all on {theirs}")
    assert not differ, f"seed {SEED}: {len(differ)} of {COUNT} differ\n" + "\n".join(differ[:5])
    assert "OK" in codes
    assert len(codes) > 1


# Requests that are under way when their instance is killed.

METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "POST", "PATCH")


@pytest.mark.parametrize(("kind", "pod"), [("edge", ""), ("outbound", "B"), ("outbound", "Bgray")])
@pytest.mark.parametrize("connect", [Client, Http2Client])
def test_the_instance_is_killed(
    mesh: Mesh, kind: str, pod: str, connect: Callable[[Address], Asking]
) -> None:
    """What may be sent again is answered by base, all else 503; who comes later gets base at once."""
    base = mesh.pods.get("K") or mesh.pod("K", "sc-K", "app", sidecar=False)
    gray = mesh.pods.get("Kgray") or mesh.pod("Kgray", "sc-K", "app", tag="gray", sidecar=False)
    for one in (base, gray):
        if one.app is None or not one.app.alive:
            mesh.start_apps([one])
    mesh.write_services()
    mesh.apply(route("k", "sc-K"))
    until(lambda: mesh.chain("/k", ("canary", "gray")) == ["Kgray"], 20, "the route")
    colour: list[Header] = [("canary", "gray"), ("x-lane", "gray")]
    admin = sidecar(mesh, pod) if pod else mesh.edge_admin
    off = EDGE if kind == "edge" else OUTBOUND if pod == "B" else OUTBOUND - {"outbound-request", "reply"}
    host = "shop.example.com" if kind == "edge" else "sc-K"
    until(lambda: f"{gray.address}:{gray.port}" in mesh.endpoints(admin), 20, "the instance at the proxy")
    with copies(mesh, kind, admin, off) as ends, ThreadPoolExecutor(2 * len(METHODS)) as pool:

        def ask(end: Address, method: str, headers: list[Header]) -> Any:
            client = connect(end)
            try:
                return asked(client, host, method, "/k", b"x" * 9 if "P" in method else b"", headers)
            finally:
                client.close()

        for end in ends:
            assert ask(end, "GET", colour)[2]["name"] == "Kgray"
        slow = [*colour, ("x-delay", "Kgray=60"), ("baggage", "lane=gray")]
        waiting = {(n, m): pool.submit(ask, end, m, slow) for n, end in enumerate(ends) for m in METHODS}
        active = [(end[0], end[1] + 1) for end in ends]
        until(
            lambda: all(mesh.stats(a, "cluster.*upstream_rq_active$") >= len(METHODS) for a in active),
            20,
            "the requests to be under way",
        )
        mesh.kill(gray.app)
        found = {key: one.result(30) for key, one in waiting.items()}
        for method in METHODS:
            ours, theirs = found[0, method], found[1, method]
            assert ours == theirs, method
            assert ours[0] == (503 if method in ("POST", "PATCH") else 200), (method, ours)
            if ours[0] == 200:
                assert ours[2]["name"] == "K"
        for method in METHODS:
            ours, theirs = (ask(end, method, colour) for end in ends)
            assert ours == theirs
            assert (ours[0], ours[2]["name"]) == (200, "K")
