"""Explain knows what a real edge does to headers before rules read them; nobody forges a client's address."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from controlplane.plan.arrival import arrived, joined, refused_headers
from controlplane.plan.referer import is_kept
from tests.mesh.client import Answer, Client, Header, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh

Lines = list[tuple[str, str]]
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CLIENT = "127.8.0.9"
OFFICE = ["127.8.0.0/16", "203.0.113.0/24", "2001:db8::/32"]
READ = (
    "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-client-cert", "referer", "te",
    "connection", "upgrade", "keep-alive", "proxy-connection", "http2-settings", "expect", "k1", "k2",
    "accept", "forwarded", "via", "x-real-ip", "x-envoy-external-address",
)  # fmt: skip
FORWARDED = (
    "1.1.1.1", "1.1.1.1, 2.2.2.2", "junk", "1.1.1.1,", "1.1.1.1,,", ", 1.1.1.1", "::1", "[::1]",
    "2001:DB8::1", "::ffff:203.0.113.7", "1.1.1.1:80", "1.2.3.004", "203.0.113.9, 1.1.1.1", "127.8.0.1",
)  # fmt: skip
CASES: list[Lines] = [
    *([("x-forwarded-for", one)] for one in FORWARDED),
    [("x-forwarded-for", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.2")],
    *([("x-forwarded-proto", one)] for one in ("https", "http", "HTTPS", "wss")),
    [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")],
    [("x-forwarded-client-cert", "By=x")],
    [("x-request-id", "mine")],
    [("x-envoy-external-address", "127.8.0.1"), ("X-Envoy-External-Address", "203.0.113.1")],
    [("forwarded", "for=1.1.1.1"), ("via", "1.1 x"), ("x-real-ip", "1.1.1.1"), ("x-forwarded-host", "a")],
    [("connection", "k1, K2"), ("k1", "1"), ("k2", "2")],
    [("connection", "k1"), ("connection", "k2"), ("k1", "1"), ("k2", "2")],
    [("connection", "connection, keep-alive"), ("keep-alive", "5"), ("proxy-connection", "x"), ("k1", "1")],
    [("connection", "x-envoy-external-address")],
    [("connection", "accept,referer"), ("accept", "x"), ("referer", "http://a/")],
    [("connection", ",".join(f"h{n}" for n in range(9)))],
    [("connection", ",".join(f"h{n}" for n in range(10)))],
    [("connection", "x-forwarded-for")],
    [("connection", "k1, x-forwarded-proto")],
    [("connection", ":path")],
    [("connection", "host")],
    *([("te", one)] for one in ("trailers", "gzip", "gzip, trailers", "trailers;q=1", "Trailers")),
    [("te", "gzip, trailers"), ("te", "trailers")],
    [("connection", "te"), ("te", "Trailers, gzip")],
    [("connection", "te"), ("te", "gzip")],
    [("upgrade", "websocket")],
    [("connection", "upgrade"), ("upgrade", "foo")],
    [("connection", "upgrade"), ("upgrade", "TLS/1.0")],
    [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAA")],
    [("http2-settings", "AAA")],
    [("expect", "other")],
    [("referer", "http://a/"), ("referer", "http://b/")],
]
PARTS = (
    "http", "android-app", "1", "_", "://", ":", "//", "/", "?", "#", "@", "u", "a.b", "a_b", "[::1]", "[::1",
    ":80", ":99999", "%20", "é", '"', "<", "\\", "~", "!", "-", "..", "%", "]", "|", "^", "b?c", "&", "=",
)  # fmt: skip


@dataclass
class Edges:
    """A mesh whose gateway believes `hops` proxies in front."""

    mesh: Mesh
    hops: int = 0

    def believe(self, hops: int) -> None:
        """Change the gateway, and wait until new connections get the new listener."""
        if hops == self.hops:
            return
        self.hops = hops
        self.mesh.apply(self.mesh.gateway(trusted_hops=hops))
        chain = ", ".join(f"203.0.113.{n}" if n == hops else f"198.51.100.{n}" for n in (3, 2, 1))
        told: Lines = [("x-forwarded-for", chain), ("only", "address")]
        expected = "office" if hops else "elsewhere"
        until(lambda: self.ask(told).lane == expected, 10, f"{hops} hops")

    def ask(self, headers: list[Header] | Lines, source: str = "127.9.0.9", **more: str) -> Answer:
        with Client(self.mesh.edge_address, source) as client:
            return client.request("GET", "/a", headers, **more)


@pytest.fixture(scope="module")
def edges(new_mesh: Callable[..., Mesh]) -> Edges:
    mesh = new_mesh(drain=0.0)
    mesh.pod("A", "sc-A", "app", sidecar=False)
    inside = {"source": "client_address", "operator": "in", "value": OFFICE}
    outside = {"source": "client_address", "operator": "!=", "value": OFFICE}
    only = header("only", "address")
    mesh.start(
        route("a", "sc-A"),
        group("g", "app"),
        lane("office", "g", rule=rule(inside, only), priority=1),
        lane("elsewhere", "g", rule=rule(outside, only), priority=2),
    )
    edges = Edges(mesh)
    until(lambda: edges.ask([("only", "address")]).lane == "elsewhere", 10, "the lanes")
    return edges


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_headers_arrive_as_explain_has_them(edges: Edges, hops: int) -> None:
    edges.believe(hops)
    for headers in CASES:
        answer = edges.ask(headers, CLIENT)
        refused = refused_headers(headers)
        if refused is not None:
            assert f"the edge answers {answer.status}:" in refused, (headers, answer.body)
            continue
        assert answer.status == 200, (headers, answer.status, answer.body)
        expected = arrived(headers, CLIENT, hops).headers
        for name in READ:
            got = answer.received(name)
            assert (",".join(got) if got else None) == joined(expected, name), (headers, name)
        (identity,) = answer.received("x-request-id")
        assert UUID.fullmatch(identity)


def test_referers_that_explain_keeps_are_those_that_the_edge_keeps(edges: Edges) -> None:
    pick = random.Random(9)
    with Client(edges.mesh.edge_address, CLIENT) as client:
        for _ in range(600):
            begin = pick.choice(["", "http://", "http://a.b", "x://h/", "http://a:"])
            text = (begin + "".join(pick.choice(PARTS) for _ in range(pick.randint(0, 5)))).strip()
            kept = client.request("GET", "/a", [("referer", text)]).received("referer")
            assert bool(kept) == is_kept(text), text


@pytest.mark.parametrize("source", ["127.8.0.9", "127.9.0.9"])
@pytest.mark.parametrize(
    "forged",
    [
        [],
        [("x-envoy-external-address", "127.8.0.1")],
        [("X-Envoy-External-Address", "127.8.0.1"), ("x-envoy-external-address", "127.9.0.1")],
        [("x_envoy_external_address", "127.8.0.1")],
        [("connection", "x-envoy-external-address"), ("x-envoy-external-address", "127.8.0.1")],
        [("x-forwarded-for", "127.8.0.1")],
        [("x-forwarded-for", "127.9.0.1"), ("x-real-ip", "127.8.0.1"), ("forwarded", "for=127.8.0.1")],
        [("x-envoy-external-address", "")],
        [("x-laneway-client", "127.8.0.1")],
    ],
)
def test_the_address_of_the_connection_decides_whatever_a_client_says(
    edges: Edges, forged: Lines, source: str
) -> None:
    edges.believe(0)
    answer = edges.ask([*forged, ("only", "address")], source)
    assert answer.lane == ("office" if source.startswith("127.8.") else "elsewhere")
    assert answer.received("x-envoy-external-address") == []


@pytest.mark.parametrize(
    ("hops", "forwarded", "chosen"),
    [
        (1, "203.0.113.7", "office"),
        (1, "198.51.100.1, 203.0.113.7", "office"),
        (1, "203.0.113.7, 198.51.100.1", "elsewhere"),
        (1, "2001:db8::7", "office"),
        (1, "2001:db9::7", "elsewhere"),
        (1, "::ffff:203.0.113.7", "office"),
        (1, "nonsense", "elsewhere"),
        (2, "203.0.113.7, 198.51.100.1", "office"),
        (2, "198.51.100.1, 203.0.113.7", "elsewhere"),
        (2, "203.0.113.7", "elsewhere"),
    ],
)
def test_proxies_in_front_say_the_address_as_far_as_they_are_trusted(
    edges: Edges, hops: int, forwarded: str, chosen: str
) -> None:
    edges.believe(hops)
    headers: Lines = [("x-forwarded-for", forwarded), ("only", "address")]
    assert edges.ask(headers).lane == chosen
    body = {"gateway": "edge", "path": "/a", "headers": headers, "client_address": "127.9.0.9"}
    explained = edges.mesh.rest.done("POST", "/v1/explain", body)
    assert explained["lane"] == chosen
    assert explained["client_address"] == arrived(headers, "127.9.0.9", hops).client
