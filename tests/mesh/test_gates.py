"""A filter that is left out changes nothing: answers, forwarded headers and counters stay the same.

What real Envoys have got is copied into static configurations, once as it is and once with every filter on
for every request. Both get the same requests, made of everything that filters look at.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.mesh.client import Address, Client, Header, until
from tests.mesh.documents import condition, group, header, lane, route, rule
from tests.mesh.frozen import frozen, switched_off, ungated
from tests.mesh.harness import Mesh, listening

SEED = int(os.environ.get("GATES_SEED", "") or random.randrange(1 << 32))
COUNT = int(os.environ.get("GATES_COUNT", "") or 400)
"""Requests to each kind of proxy."""
COUNTERS = r"laneway\.(fallback|requests)"
VARYING = {"date", "x-envoy-upstream-service-time", "x-request-id"}

CARRIED: list[Sequence[Header]] = [
    [],
    [("x-lane", "gray")],
    [("x-lane", "red")],
    [("x-lane", "nobody")],
    [("x-lane", "strict")],
    [("x-lane", "")],
    [("x-lane", "gray"), ("x-lane", "red")],
    [("x-stage", "gray")],
]
MEMBERS: list[Sequence[Header]] = [
    [],
    [("baggage", "lane=gray")],
    [("baggage", "lane=gray,a=b")],
    [("baggage", "a=b")],
    [("baggage", "a=b, lane = red ;x=1,c=d")],
    [("baggage", "lane=gray"), ("baggage", "lane=red,k=v")],
    [("baggage", "lane=gray"), ("baggage", "a=b")],
    [("baggage", "lane=")],
    [("baggage", "%6Cane=red")],
    [("baggage", "lane=strict")],
    [("baggage", "stage=gray")],
]
OTHERS: list[Sequence[Header]] = [
    [],
    [("x-fail", "Agray=503 x-laneway-unreached: terminated")],
    [("x-fail", "A=200 x-laneway-served: sc-A"), ("x-fail", "Agray=200 x-laneway-foo: 1")],
    [
        ("x-laneway-foo", "1"),
        ("x-laneway-lane", "gray"),
        ("x-laneway-phase", "lifted"),
        ("x-laneway-path", "/q"),
    ],
    [("x-laneway-phase", "open"), ("x-laneway-rest", ",lane=red"), ("x-laneway-path", "/q")],
    [("x-laneway-c-63", "red"), ("x-laneway-q-63", "red"), ("x-envoy-foo", "2"), ("x-envoy-retry-on", "5xx")],
    [("cookie", "a=b"), ("cookie", "c=red")],
    [("cookie", "c=red")],
    [("cookie", "a=b,c; c=red")],
    [("user_id", "7")],
]
RULES: list[Sequence[Header]] = [
    [],
    [("canary", "gray")],
    [("canary", "red")],
    [("canary", "strict")],
    [("canary", "nobody")],
    [("canary", "none")],
    [("canary", "gray"), ("canary", "red")],
    [("user_id", "red")],
]
LINES = [
    ("GET", "/a", b""),
    ("GET", "/a?c=red&c=gray", b""),
    ("POST", "/a/b?x=/ab", b"x" * 900),
    ("HEAD", "/a", b""),
    ("DELETE", "/a//c", b""),
    ("PUT", "/a", b"y" * 70_000),
    ("GET", "/ab", b""),
    ("GET", "/a/%2e%2e;/a", b""),
    ("GET", "/a;x", b""),
    ("GET", "/exact?y", b""),
    ("POST", "/r/12?a=/r", b""),
    ("GET", "/r/x?c=red", b""),
]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for tag in ("", "gray", "red"):
        made.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    made.pod("B", "sc-B", "other")
    made.pod("Bgray", "sc-B", "other", tag="gray")
    made.start(
        route("a", "sc-A"),
        route("exact", "sc-A", {"exact": "/exact"}),
        route("r", "sc-A", {"regex": "/r/[0-9]+"}),
        group("g", "app", "other"),
        lane("gray", "g"),
        lane("red", "g", rule=rule(header("canary", "red"), header("user_id", "red"), match="any")),
        lane("strict", "g", tag="red", fallback="none", rule=rule(header("canary", "strict"))),
        lane("nobody", "g", rule=rule(header("canary", "nobody"))),
        lane("none", "g", tag="nobody", fallback="none", rule=rule(header("canary", "none"))),
    )
    until(lambda: made.edge.get("/a", ("canary", "gray")).json["name"] == "Agray", 10, "the lanes")
    return made


def requests(kind: str) -> list[tuple[str, str, bytes, list[Header]]]:
    pick = random.Random(SEED)
    rules = RULES if kind == "edge" else [()]
    every = list(itertools.product(rules, CARRIED, MEMBERS, OTHERS, LINES))
    return [
        (*line, [*chosen, *carried, *members, *others, ("user", str(pick.randrange(100)))])
        for chosen, carried, members, others, line in pick.sample(every, min(COUNT, len(every)))
    ]


def asked(client: Client, kind: str, method: str, path: str, body: bytes, headers: list[Header]) -> Any:
    host = {"edge": "shop.example.com", "outbound": "sc-A", "inbound": "sc-B"}[kind]
    answer = client.request(method, path, headers, body, host)
    try:
        got = answer.json
        got["headers"] = sorted(h for h in got["headers"] if h[0] not in VARYING)
    except (ValueError, KeyError):
        got = answer.body
    return answer.status, sorted(h for h in answer.headers if h[0] not in VARYING), got


def compare(mesh: Mesh, kind: str, admin: Address, off: set[str]) -> None:
    """Both copies of what the Envoy at `admin` has got; `off` are the filters that its routes turn off."""
    net = mesh.network
    ends: list[Address] = [(f"{net}.240", 21000), (f"{net}.241", 21000)]
    admins: list[Address] = [(f"{net}.240", 21001), (f"{net}.241", 21001)]
    listener = {"edge": "edge/", "outbound": "outbound", "inbound": "inbound"}[kind]
    source = frozen(admin, listener, ends[0], admins[0])
    assert switched_off(source) == off
    other = ungated(frozen(admin, listener, ends[1], admins[1]))
    children = [mesh.start_envoy(f"{kind}-{n}", config) for n, config in enumerate((source, other))]
    try:
        for end in ends:
            until(lambda e=end: listening(e), 20, f"the {kind} Envoy at {end[0]}")
        differ: list[str] = []
        with Client(ends[0]) as gated, Client(ends[1]) as plain:
            for request in requests(kind):
                ours, theirs = asked(gated, kind, *request), asked(plain, kind, *request)
                if ours != theirs:
                    differ.append(f"{request}\n  gated {ours}\n  all on {theirs}")
        assert not differ, f"seed {SEED}: {len(differ)} of {COUNT} differ\n" + "\n".join(differ[:5])
        assert mesh.stats(admins[0], COUNTERS) == mesh.stats(admins[1], COUNTERS)
    finally:
        for child in children:
            mesh.kill(child)


EDGE = {"edge-request", "receive", "reply", "served"}
LIFTED = rule(condition("query", "c", "==", "red"), condition("cookie", "c", "==", "red"), match="any")


def test_an_edge(mesh: Mesh) -> None:
    compare(mesh, "edge", mesh.edge_admin, EDGE)


def test_an_edge_that_trusts_its_clients(mesh: Mesh) -> None:
    mesh.apply(mesh.gateway(trust_client_lane=True))
    try:
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).json["name"] == "Ared", 10, "the trust")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
    finally:
        mesh.apply(mesh.gateway())
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).json["name"] == "A", 10, "no trust")


def test_an_edge_that_lifts_cookies_and_parameters(mesh: Mesh) -> None:
    mesh.apply(lane("lifted", "g", tag="red", rule=LIFTED))
    try:
        until(lambda: mesh.edge.get("/a?c=red").json["name"] == "Ared", 10, "the rule")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
    finally:
        mesh.rest.call("DELETE", "/v1/lane-groups/g/lanes/lifted")
        until(lambda: mesh.edge.get("/a?c=red").json["name"] == "A", 10, "the rule to go")


def test_an_edge_with_a_sticky_ratio(mesh: Mesh) -> None:
    ratio = {"percent": 40, "sticky": {"header": "user"}}
    mesh.apply(group("shares", "app"), lane("share", "shares", tag="red", ratio=ratio))
    try:
        users = [("user", str(number)) for number in range(40)]
        until(lambda: any(mesh.edge.get("/a", u).lane == "share" for u in users), 10, "the share")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
    finally:
        mesh.rest.call("DELETE", "/v1/lane-groups/shares/lanes/share")


def test_beside_a_gateway_with_other_carriers(mesh: Mesh) -> None:
    other = mesh.gateway("other", carriers={"header": "X-Stage", "baggage": "stage"})
    other["listeners"] = [{"port": 8081, "address": mesh.edge_address[0]}]
    stage: Header = ("x-stage", "gray")
    mesh.apply(other)
    try:
        until(lambda: mesh.edge.get("/a", stage).received("x-stage") == [], 10, "the other carriers")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
        compare(mesh, "outbound", (mesh.pods["B"].address, 15000), OUTBOUND)
        compare(mesh, "inbound", (mesh.pods["B"].address, 15000), {"inbound-request"})
    finally:
        mesh.rest.call("DELETE", "/v1/gateways/other")
        until(lambda: mesh.edge.get("/a", stage).received("x-stage") == ["gray"], 10, "one gateway alone")


OUTBOUND = {"outbound-request", "reply", "elsewhere", "on-demand", "forward-proxy"}


def test_a_sidecar_outbound(mesh: Mesh) -> None:
    compare(mesh, "outbound", (mesh.pods["B"].address, 15000), OUTBOUND)


def test_a_sidecar_whose_tag_is_a_lane(mesh: Mesh) -> None:
    """There Lua reads every request, since the instance's own lane is that of calls without one."""
    compare(mesh, "outbound", (mesh.pods["Bgray"].address, 15000), OUTBOUND - {"outbound-request", "reply"})


def test_a_sidecar_inbound(mesh: Mesh) -> None:
    compare(mesh, "inbound", (mesh.pods["B"].address, 15000), {"inbound-request"})
