"""Which base route, which lane: hosts and paths, priority, lanes limited to routes, several groups."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mesh.client import until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh

SERVICES = ["exact", "longest", "prefix", "regex1", "regex2", "host", "suffix", "longsuffix", "hostroot"]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for number, name in enumerate(SERVICES):
        made.pod(name, f"sc-{name}", f"app-{name}", sidecar=False, port=20001 + number)
    for tag in ("t1", "t2"):
        made.pod(f"prefix-{tag}", "sc-prefix", "app-prefix", tag=tag, sidecar=False)
        made.pod(f"longest-{tag}", "sc-longest", "app-longest", tag=tag, sidecar=False)
    made.start(
        route("exact", "sc-exact", {"exact": "/p/q"}),
        route("longest", "sc-longest", {"prefix": "/p/q"}),
        route("prefix", "sc-prefix", {"prefix": "/p"}),
        route("regex1", "sc-regex1", {"regex": "/r/[a-z]+"}, priority=1),
        route("regex2", "sc-regex2", {"regex": "/r/.*"}, priority=2),
        route("host", "sc-host", {"prefix": "/p/q/h"}, hosts=["shop.test"]),
        route("suffix", "sc-suffix", {"prefix": "/s"}, hosts=["*.test"]),
        route("longsuffix", "sc-longsuffix", {"prefix": "/s"}, hosts=["*.shop.test"]),
        # Two groups on one gateway; an application in both, a tag in lanes of both.
        group("one", "app-prefix", "app-longest"),
        group("two", "app-prefix"),
        lane("first", "one", "t1", priority=10, rule=rule(header("k", "v"))),
        lane("second", "two", "t2", priority=20, rule=rule(header("k", "v|w", "regex"))),
        lane("by-name-a", "one", "t1", priority=30, rule=rule(header("n", "1"))),
        lane("by-name-b", "two", "t2", priority=30, rule=rule(header("n", "1"))),
        lane("limited", "one", "t1", priority=5, routes=["longest"], rule=rule(header("l", "1"))),
        lane("same-tag", "two", "t1", priority=40, rule=rule(header("s", "1"))),
        lane("off", "one", "t2", priority=1, enabled=False, rule=rule(header("k", "v"))),
    )
    until(lambda: made.edge.get("/p", ("k", "v")).lane == "first", 10, "the lanes")
    return made


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("x.example", "/p/q", "exact"),
        ("x.example", "/p/q?a=1", "exact"),
        ("x.example", "/p/q/", "longest"),
        ("x.example", "/p/q/z", "longest"),
        ("x.example", "/p/qz", "prefix"),
        ("x.example", "/p", "prefix"),
        ("x.example", "/p?x=/p/q", "prefix"),
        ("x.example", "/px", None),
        ("x.example", "/", None),
        ("x.example", "/r/abc", "regex1"),
        ("x.example", "/r/abc?x", "regex1"),
        ("x.example", "/r/1", "regex2"),
        ("x.example", "/xr/1", None),
        ("x.example", "/p/q/h", "longest"),
        ("shop.test", "/p/q/h", "host"),
        ("SHOP.test:8080", "/p/q/h/x", "host"),
        ("shop.test", "/p/q", "exact"),
        ("shop.test", "/s", "suffix"),
        ("a.test", "/s/1", "suffix"),
        ("a.shop.test", "/s", "longsuffix"),
        ("b.a.shop.test:1", "/s", "longsuffix"),
        ("a.shop.test", "/p", "prefix"),
        ("test", "/s", None),
        ("x.example", "/p//q", "exact"),
        ("x.example", "/x/../p/./q", "exact"),
        ("x.example", "/x/%2e%2e/p/q", "exact"),
    ],
)
def test_route(mesh: Mesh, host: str, path: str, expected: str | None) -> None:
    answer = mesh.edge.request("GET", path, host=host)
    if expected is None:
        assert answer.status == 404
        assert answer.header("content-type") == "application/problem+json"
        assert answer.json["status"] == 404
    else:
        assert answer.json["name"] == expected
        explained = mesh.rest.done(
            "POST",
            "/v1/explain",
            {"gateway": "edge", "method": "GET", "host": host, "path": path, "headers": []},
        )
        assert explained["route"] == expected


def test_the_edge_forwards_the_normalised_path(mesh: Mesh) -> None:
    assert mesh.edge.get("/x/../p/./q?a=/../b").json["path"] == "/p/q?a=/../b"


@pytest.mark.parametrize(
    ("path", "key", "value", "lane_name", "served_by"),
    [
        ("/p", "k", "v", "first", "prefix-t1"),
        ("/p", "k", "w", "second", "prefix-t2"),
        ("/p", "k", "x", None, "prefix"),
        ("/p", "n", "1", "by-name-a", "prefix-t1"),
        ("/p", "s", "1", "same-tag", "prefix-t1"),
        ("/p/q/x", "l", "1", "limited", "longest-t1"),
        ("/p", "l", "1", None, "prefix"),
        ("/p/q/x", "k", "w", "second", "longest"),  # its application is not in group two: base, coloured
        ("/r/a", "k", "v", "first", "regex1"),
    ],
)
def test_lane(mesh: Mesh, path: str, key: str, value: str, lane_name: str | None, served_by: str) -> None:
    answer = mesh.edge.get(path, (key, value))
    assert (answer.lane, answer.json["name"]) == (lane_name, served_by)


def test_limited_lane_wins_by_priority_on_its_route(mesh: Mesh) -> None:
    assert mesh.edge.get("/p/q/x", ("l", "1"), ("k", "v")).lane == "limited"
    assert mesh.edge.get("/p", ("l", "1"), ("k", "v")).lane == "first"


def test_unknown_service_is_a_problem(mesh: Mesh) -> None:
    mesh.apply(route("nowhere", "sc-nowhere"))
    until(lambda: mesh.edge.get("/nowhere").status != 404, 10, "the route")
    answer = mesh.edge.get("/nowhere")
    assert answer.status == 503
    assert "sc-nowhere" in answer.json["detail"]
