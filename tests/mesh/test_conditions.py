"""Every condition on a real edge: source x operator x all/any, and how values are read (rule 5)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import xxhash

from tests.mesh.client import Header, until
from tests.mesh.documents import condition, group, header, lane, route, rule
from tests.mesh.harness import Mesh

SOURCES = ("header", "query", "cookie")
OPERATORS = ("==", "!=", "in", "percentage", "regex", "prefix", "exists")
NAMES = {
    "==": "eq",
    "!=": "ne",
    "in": "in",
    "percentage": "pc",
    "regex": "re",
    "prefix": "pf",
    "exists": "ex",
}
VALUES: dict[str, Any] = {
    "==": "gray",
    "!=": "gray",
    "in": ["hz", "bj"],
    "percentage": 30,
    "regex": "v[0-9]+(-rc)?",
    "prefix": "gr",
    "exists": None,
}
ODD = ["a,b", 'say "hi"', "prénom", "日本", "a;b", "a&b=c", "50%", "x y", "%41", "a+b", "'q'", "\\x"]


def share(value: str) -> int:
    return xxhash.xxh64_intdigest(value.encode(), seed=0) % 100


USERS = [f"user-{n}" for n in range(60)]
TAKEN = [u for u in USERS if share(u) < 30]
LEFT = [u for u in USERS if share(u) >= 30]
MET: dict[str, list[str]] = {
    "==": ["gray"],
    "!=": ["Gray", "grayx", "x"],
    "in": ["hz", "bj"],
    "percentage": TAKEN[:5],
    "regex": ["v1", "v20-rc"],
    "prefix": ["gr", "gray"],
    "exists": ["x", ""],
}
UNMET: dict[str, list[str]] = {
    "==": ["Gray", "grayx", "xgray", "x"],
    "!=": ["gray"],
    "in": ["h", "hzbj", "sh"],
    "percentage": LEFT[:5],
    "regex": ["v", "xv1", "v1x", "v1-rcx"],
    "prefix": ["g", "Gray", "xgray", ""],
    "exists": [],
}
# By lane: a condition on what needs no name, with what meets it and what does not (method, path, host).
SINGLE: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]], list[tuple[str, str, str]]]] = {
    "s-method": (
        {"source": "method", "operator": "in", "value": ["PUT", "PATCH"]},
        [("PUT", "/a", "x"), ("PATCH", "/a", "x")],
        [("GET", "/a", "x"), ("POST", "/a", "x")],
    ),
    "s-path": (
        {"source": "path", "operator": "prefix", "value": "/a/single/"},
        [("GET", "/a/single/1?x=2", "x"), ("GET", "/a//x/../single/", "x"), ("GET", "/a/%73ingle%2F", "x")],
        [("GET", "/a/single", "x"), ("GET", "/a/Single/1", "x"), ("GET", "/a?/a/single/1", "x")],
    ),
    "s-path-regex": (
        {"source": "path", "operator": "regex", "value": "/a/.*x=1"},
        [("GET", "/a/x=1?y", "x")],
        [("GET", "/a/b?x=1", "x")],
    ),
    "s-host": (
        {"source": "host", "operator": "==", "value": "Single.example.com"},
        [("GET", "/a", "single.example.com"), ("GET", "/a", "SINGLE.example.com:8080")],
        [("GET", "/a", "single.example.com.org"), ("GET", "/a", "a.single.example.com")],
    ),
    "s-host-in": (
        {"source": "host", "operator": "in", "value": ["[::1]", "single.test"]},
        [("GET", "/a", "[::1]"), ("GET", "/a", "[::1]:80"), ("GET", "/a", "single.test.")],
        [("GET", "/a", "[::2]"), ("GET", "/a", "::1")],
    ),
}


def lanes() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for source, operator in itertools.product(SOURCES, OPERATORS):
        short = f"{source[0]}-{NAMES[operator]}"
        # Each on a key of its own.
        asked = condition(source, short, operator, VALUES[operator])
        if VALUES[operator] is None:
            del asked["value"]
        made.append(lane(short, "g", rule=rule(asked)))
    for one, two in itertools.product(SOURCES, SOURCES):
        for match in ("all", "any"):
            name = f"{match}-{one[0]}{two[0]}"
            conditions = (condition(one, f"{name}-1", "==", "1"), condition(two, f"{name}-2", "==", "2"))
            made.append(lane(name, "g", rule=rule(*conditions, match=match)))
    for number, value in enumerate(ODD):
        for source in SOURCES:
            if source == "cookie" and ";" in value:
                continue
            made.append(
                lane(f"odd-{source}-{number}", "g", rule=rule(condition(source, f"o{number}", "==", value)))
            )
    for name, (asked, _, _) in SINGLE.items():
        made.append(lane(name, "g", rule=rule(asked)))
    absent = {"source": "cookie", "name": "consent", "operator": "absent"}
    made.append(lane("absent", "g", rule=rule(header("absent", "1"), absent)))
    made.append(lane("host", "g", rule=rule(header("Host", "lane.example.com"))))
    made.append(lane("multi", "g", rule=rule(header("multi", "one,two"))))
    made.append(lane("empty-h", "g", rule=rule(header("empty", ""))))
    made.append(lane("empty-q", "g", rule=rule(condition("query", "city", "==", ""))))
    made.append(lane("empty-c", "g", rule=rule(condition("cookie", "blank", "==", ""))))
    made.append(lane("bytes", "g", rule=rule(header("raw", "[^x]*", "regex"), header("raw-on", "1"))))
    made.append(lane("mixed", "g", rule=rule(header("X-MiXeD", "yes"))))
    return made


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "app", sidecar=False)
    made.start(route("a", "sc-A"), group("g", "app"), *lanes())
    until(lambda: made.edge.get("/a", ("h-eq", "gray")).lane == "h-eq", 10, "the lanes")
    return made


def send(mesh: Mesh, source: str, name: str, value: str) -> str | None:
    if source == "header":
        return mesh.edge.get("/a", (name, value)).lane
    if source == "cookie":
        return mesh.edge.get("/a", ("cookie", f"first=1; {name}={value}; last=2")).lane
    return mesh.edge.get(f"/a/x?first=1&{quote(name)}={quote(value, safe='')}&last=2").lane


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("source", SOURCES)
def test_operator(mesh: Mesh, source: str, operator: str) -> None:
    name = f"{source[0]}-{NAMES[operator]}"
    assert mesh.edge.get("/a").lane is None, "an absent key meets nothing"
    for value in MET[operator]:
        assert send(mesh, source, name, value) == name, value
    for value in UNMET[operator]:
        assert send(mesh, source, name, value) is None, value


@pytest.mark.parametrize("name", SINGLE)
def test_method_path_and_host(mesh: Mesh, name: str) -> None:
    _, met, unmet = SINGLE[name]
    for method, path, host in met:
        assert mesh.edge.request(method, path, host=host).lane == name, (method, path, host)
    for method, path, host in unmet:
        assert mesh.edge.request(method, path, host=host).lane is None, (method, path, host)


def test_absent(mesh: Mesh) -> None:
    assert mesh.edge.get("/a", ("absent", "1")).lane == "absent"
    assert mesh.edge.get("/a", ("absent", "1"), ("cookie", "other=1")).lane == "absent"
    assert mesh.edge.get("/a", ("absent", "1"), ("cookie", "consent=")).lane is None


@pytest.mark.parametrize(("one", "two"), list(itertools.product(SOURCES, SOURCES)))
def test_all_and_any(mesh: Mesh, one: str, two: str) -> None:
    for match in ("all", "any"):
        name = f"{match}-{one[0]}{two[0]}"
        for first, second in itertools.product((None, "1", "x"), (None, "2", "x")):
            headers: list[Header] = []
            query: list[str] = []
            cookies: list[str] = []
            for source, key, value in ((one, f"{name}-1", first), (two, f"{name}-2", second)):
                if value is None:
                    continue
                if source == "header":
                    headers.append((key, value))
                elif source == "query":
                    query.append(f"{key}={value}")
                else:
                    cookies.append(f"{key}={value}")
            if cookies:
                headers.append(("cookie", "; ".join(cookies)))
            hits = (first == "1", second == "2")
            expected = name if (all if match == "all" else any)(hits) else None
            assert mesh.edge.get("/a?" + "&".join(query), *headers).lane == expected, (match, first, second)


@pytest.mark.parametrize("number", range(len(ODD)))
@pytest.mark.parametrize("source", SOURCES)
def test_odd_values(mesh: Mesh, source: str, number: int) -> None:
    value = ODD[number]
    if source == "cookie" and ";" in value:
        pytest.skip("no cookie can hold a semicolon")
    assert send(mesh, source, f"o{number}", value) == f"odd-{source}-{number}"
    assert send(mesh, source, f"o{number}", value + "x") is None


def test_header_lines_are_joined_and_compared_whole(mesh: Mesh) -> None:
    assert mesh.edge.get("/a", ("multi", "one"), ("multi", "two")).lane == "multi"
    assert mesh.edge.get("/a", ("multi", "one,two")).lane == "multi"
    assert mesh.edge.get("/a", ("multi", "two"), ("multi", "one")).lane is None
    assert mesh.edge.get("/a", ("h-eq", "gray"), ("h-eq", "x")).lane is None
    assert mesh.edge.get("/a", ("h-ne", "gray"), ("h-ne", "gray")).lane == "h-ne"


def test_header_names_have_no_case(mesh: Mesh) -> None:
    assert mesh.edge.get("/a", ("x-mixed", "yes")).lane == "mixed"
    assert mesh.edge.get("/a", ("X-Mixed", "yes")).lane == "mixed"
    assert mesh.edge.request("GET", "/a", host="lane.example.com").lane == "host"


def test_first_occurrence_counts(mesh: Mesh) -> None:
    assert mesh.edge.get("/a?q-eq=gray&q-eq=x").lane == "q-eq"
    assert mesh.edge.get("/a?q-eq=x&q-eq=gray").lane is None
    assert mesh.edge.get("/a", ("cookie", "c-eq=gray; c-eq=x")).lane == "c-eq"
    assert mesh.edge.get("/a", ("cookie", "c-eq=x; c-eq=gray")).lane is None
    assert mesh.edge.get("/a", ("cookie", "z=1"), ("cookie", "c-eq=gray")).lane == "c-eq"
    assert mesh.edge.get("/a", ("cookie", "c-eq=x"), ("cookie", "c-eq=gray")).lane is None


def test_query_is_decoded_once(mesh: Mesh) -> None:
    assert mesh.edge.get("/a?q-eq=%67ray").lane == "q-eq"
    assert mesh.edge.get("/a?%71-eq=gray").lane == "q-eq"
    assert mesh.edge.get("/a?q-eq=%2567ray").lane is None
    assert mesh.edge.get("/a?Q-eq=gray").lane is None
    assert mesh.edge.get("/a?o7=x+y").lane == "odd-query-7"
    assert mesh.edge.get("/a?o9=a%2Bb").lane == "odd-query-9"
    assert mesh.edge.get("/a?o8=%2541").lane == "odd-query-8"
    assert mesh.edge.get("/a?o6=50%").lane == "odd-query-6", "a percent sign that escapes nothing stays"


def test_present_and_empty(mesh: Mesh) -> None:
    assert mesh.edge.get("/a?city").lane == "empty-q"
    assert mesh.edge.get("/a?city=").lane == "empty-q"
    assert mesh.edge.get("/a?citya").lane is None
    assert mesh.edge.get("/a", ("cookie", "blank=")).lane == "empty-c"
    assert mesh.edge.get("/a", ("empty", "")).lane == "empty-h"
    assert mesh.edge.get("/a?q-ne=").lane == "q-ne"


def test_cookies_are_raw(mesh: Mesh) -> None:
    assert mesh.edge.get("/a", ("cookie", "c-eq=%67ray")).lane is None
    assert mesh.edge.get("/a", ("cookie", "c-eq=gray=x")).lane is None
    assert mesh.edge.get("/a", ("cookie", "C-eq=gray")).lane is None
    assert mesh.edge.get("/a", ("cookie", 'c-eq="gray"')).lane is None
    assert mesh.edge.get("/a", ("cookie", "a=1;c-eq=gray;b=2")).lane == "c-eq"


def test_bytes_that_are_no_utf8(mesh: Mesh) -> None:
    assert mesh.edge.get("/a", ("h-eq", b"gray\xff")).lane is None
    assert mesh.edge.get("/a", ("h-ne", b"\xff\xfe")).lane == "h-ne"
    assert mesh.edge.get("/a", ("h-re", b"v1\xff")).lane is None


def test_percentage_only_adds_users(mesh: Mesh) -> None:
    before: set[str] = set()
    for percent in (0, 1, 10, 29, 30, 100):
        mesh.apply(lane("h-pc", "g", rule=rule(header("h-pc", percent, "percentage"))))
        expected = {u for u in USERS if share(u) < percent}
        probe = next(iter(expected - before), None)
        if probe is not None:
            until(lambda p=probe: mesh.edge.get("/a", ("h-pc", p)).lane == "h-pc", 10, f"{percent} %")
        elif not before:
            until(lambda: mesh.edge.get("/a", ("h-pc", TAKEN[0])).lane is None, 10, f"{percent} %")
        now = {u for u in USERS if mesh.edge.get("/a", ("h-pc", u)).lane == "h-pc"}
        assert now == expected
        assert before <= now
        before = now
