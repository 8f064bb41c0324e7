"""Ratios: the share, whole chains in one lane, overrides, stickiness, growth from base only (rule 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc

LANE, BASE = ("Agray", "B", "Cgray"), ("A", "B", "C")


@pytest.fixture(scope="module")
def chain(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    abc(made, "Agray", "Cgray")
    made.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray", ratio={"percent": 30}),
    )
    until(lambda: made.chain()[0] == "Agray", 10, "the lane")
    return made


def share(mesh: Mesh, count: int, path: str = "/a", rate: float = 400.0) -> Counter[tuple[str, ...]]:
    with mesh.load(("GET", path, [], b""), rate=rate, clients=6) as load:
        load.wait_until(count)
    assert load.failed() == []
    return Counter(s.chain for s in load.sent[:count])


def test_thirty_of_a_hundred(chain: Mesh) -> None:
    counted = share(chain, 100)
    assert set(counted) == {LANE, BASE}
    assert 10 < counted[LANE] < 50, "more than four standard deviations off"


@pytest.mark.mesh
@pytest.mark.timeout(300)
def test_thirty_percent_of_10000_whole_chains(chain: Mesh) -> None:
    counted = share(chain, 10_000)
    assert set(counted) == {LANE, BASE}, "a request was in two lanes"
    assert abs(counted[LANE] / 10_000 - 0.30) <= 0.02, counted


STICKY: list[tuple[str, Any]] = [("header", "x-user"), ("cookie", "laneway-sticky"), ("client_address", True)]


@pytest.fixture(scope="module")
def edge(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for tag in ("", "gray", "red"):
        made.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    return made.start(route("a", "sc-A"), route("b", "sc-A"), group("g", "app"))


def set_shares(mesh: Mesh, shares: Mapping[str, float], sticky: dict[str, Any] | None, **more: Any) -> None:
    """Lanes with these shares, and wait until the edge has them (their slots are in its routes)."""
    mesh.apply(
        *(
            lane(n, "g", ratio={"percent": p, **({"sticky": sticky} if sticky else {}), **more})
            for n, p in shares.items()
        )
    )
    wanted = sorted(round(p * 100) for p in shares.values() if p)

    def arrived() -> bool:
        found = weights(mesh, "a")
        return sorted(found.get(n, 0) for n in shares if shares[n]) == wanted

    until(arrived, 10, f"the shares {shares}")


def weights(mesh: Mesh, route_name: str) -> Counter[str]:
    """The slots of each lane in the edge's own configuration."""
    from tests.mesh.client import fetch

    dump = fetch(mesh.edge_admin, "/config_dump?resource=dynamic_route_configs").json
    found: Counter[str] = Counter()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("name") == route_name and "weighted_clusters" in value.get("route", {}):
                found.clear()
                for cluster in value["route"]["weighted_clusters"]["clusters"]:
                    for option in cluster.get("request_headers_to_add", []):
                        if option["header"]["key"] == "x-lane":
                            found[option["header"]["value"]] += cluster["weight"]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(dump)
    return found


class Users:
    """Clients that differ by header, by cookie jar (empty at first), or by address."""

    def __init__(self, mesh: Mesh, kind: str, count: int) -> None:
        self.mesh = mesh
        self.kind = kind
        self.jars: list[str] = [""] * count
        self.clients = [
            Client(mesh.edge_address, f"127.77.{n // 250}.{n % 250 + 1}" if kind == "client_address" else "")
            for n in range(count if kind == "client_address" else 1)
        ]

    def lanes(self, path: str = "/a") -> list[str | None]:
        found: list[str | None] = []
        for number, jar in enumerate(self.jars):
            client = self.clients[number % len(self.clients)]
            headers = [("x-user", f"user-{number}")] if self.kind == "header" else []
            if jar:
                headers.append(("cookie", f"other=1; {jar}"))
            answer = client.get(path, *headers)
            assert answer.status == 200
            if self.kind == "cookie":
                given = answer.header("set-cookie")
                assert (given is None) == bool(jar), "set when absent, and only then"
                if given:
                    self.jars[number] = given.partition(";")[0]
            else:
                assert answer.header("set-cookie") is None
            found.append(answer.lane)
        return found

    def close(self) -> None:
        for client in self.clients:
            client.close()


@pytest.mark.parametrize(("kind", "value"), STICKY)
def test_sticky_and_growth_from_base_only(edge: Mesh, kind: str, value: Any) -> None:
    sticky = {kind: value}
    users = Users(edge, kind, 300)
    try:
        set_shares(edge, {"gray": 10}, sticky)
        before = users.lanes()
        assert users.lanes() == before, "they stay"
        for percent in (30, 50):
            set_shares(edge, {"gray": percent}, sticky)
            now = users.lanes()
            assert users.lanes() == now
            assert all(new == "gray" for old, new in zip(before, now, strict=True) if old == "gray")
            before = now
        taken = sum(name == "gray" for name in before)
        assert 110 <= taken <= 190, taken
    finally:
        users.close()
        edge.rest.done("DELETE", "/v1/lane-groups/g/lanes/gray")


def test_sticky_by_address_behind_trusted_proxies(edge: Mesh) -> None:
    """The address that the nearest trusted proxy saw counts: what a client writes before it does not."""
    set_shares(edge, {"gray": 50}, {"client_address": True})

    def lanes(before: str = "") -> list[str | None]:
        return [edge.edge.get("/a", ("x-forwarded-for", f"{before}203.0.113.{n}")).lane for n in range(1, 61)]

    try:
        assert len(set(lanes())) == 1, "without trusted hops it is the connection's own address"
        edge.apply(edge.gateway(trusted_hops=1))
        until(lambda: set(lanes()) == {"gray", None}, 10, "the trusted hop")
        seen = lanes()
        assert 15 <= seen.count("gray") <= 45
        assert lanes() == seen
        assert lanes("198.51.100.7, ") == seen
    finally:
        edge.apply(edge.gateway())
        until(lambda: len(set(lanes())) == 1, 10, "no trusted hop")
        edge.rest.done("DELETE", "/v1/lane-groups/g/lanes/gray")


def test_two_lanes_grow_from_base_only(edge: Mesh) -> None:
    sticky = {"header": "x-user"}
    users = Users(edge, "header", 400)
    try:
        set_shares(edge, {"gray": 10, "red": 20}, sticky)
        before = users.lanes()
        assert {None, "gray", "red"} == set(before)
        for shares in ({"gray": 30, "red": 20}, {"gray": 30, "red": 35}, {"gray": 50, "red": 50}):
            set_shares(edge, shares, sticky)
            now = users.lanes()
            for old, new in zip(before, now, strict=True):
                assert old is None or new == old, (old, new)
            before = now
        assert None not in before, "nothing is left for base at 100 %"
    finally:
        users.close()
        for name in ("gray", "red"):
            edge.rest.done("DELETE", f"/v1/lane-groups/g/lanes/{name}")


def test_overrides_per_route(edge: Mesh) -> None:
    set_shares(edge, {"gray": 30}, None, routes={"b": 100})
    try:
        until(lambda: weights(edge, "b")["gray"] == 10_000, 10, "the override")
        assert {edge.edge.get("/b").lane for _ in range(100)} == {"gray"}
        assert {edge.edge.get("/a").lane for _ in range(100)} == {"gray", None}
    finally:
        edge.rest.done("DELETE", "/v1/lane-groups/g/lanes/gray")


def test_a_ratio_without_fallback(edge: Mesh) -> None:
    edge.apply(lane("none", "g", "nobody", ratio={"percent": 100}, fallback="none"))
    try:
        until(lambda: edge.edge.get("/a").status == 503, 10, "the lane")
        answer = edge.edge.get("/a")
        assert answer.header("x-laneway-reason") == "lane-unavailable"
        assert "none" in answer.json["detail"]
    finally:
        edge.rest.done("DELETE", "/v1/lane-groups/g/lanes/none")


def test_the_sum_is_refused(edge: Mesh) -> None:
    set_shares(edge, {"gray": 60}, None)
    try:
        body = lane("red", "g", ratio={"percent": 40.01})
        answer = edge.rest.call("PUT", "/v1/lane-groups/g/lanes/red", body)
        assert answer.status == 422
        text = answer.body.decode()
        assert all(word in text for word in ("gray", "red", "100.01")), text
        assert edge.rest.call("GET", "/v1/lane-groups/g/lanes/red").status == 404
    finally:
        edge.rest.done("DELETE", "/v1/lane-groups/g/lanes/gray")


def test_content_rules_come_first(edge: Mesh) -> None:
    edge.apply(group("h", "app"), lane("red", "h"))
    set_shares(edge, {"gray": 100}, None)
    try:
        until(lambda: edge.edge.get("/a", ("canary", "red")).lane == "red", 10, "the rule")
        assert edge.edge.get("/a").lane == "gray"
    finally:
        edge.rest.done("DELETE", "/v1/lane-groups/h")
        edge.rest.done("DELETE", "/v1/lane-groups/g/lanes/gray")
