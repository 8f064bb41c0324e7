"""Paths in every spelling: the edge matches what it forwards, and explain says both."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.mesh.client import until
from tests.mesh.documents import route
from tests.mesh.harness import Mesh

SLASHES = (
    "%2F",
    "%2f",
    "%5C",
    "%5c",
    "\\",
    "//",
    "/./",
    "%2F%2F",
    "%2f./",
    "%252F",
    "%252f",
    "%255C",
    "%25%32%46",
)
STEPS = ("..", "%2e%2e", ".%2E", "%2E.", ".", "%2e", "...", "..;", "..;x=1", "%2e%2e;", "%2E.;y", "a")
TAILS = ("b", "b/", "b%2f", "b?x=%2F..%2Fa", "b%00", "b%zz", "b#/a", "b%c0%afa", "b%EF%BC%8Fa", "b;/a")
PATHS = [
    f"/a{one}{step}{two}{tail}"
    for one, step, two, tail in itertools.product(SLASHES, STEPS, SLASHES, TAILS[:1])
]
PATHS += [f"/a{one}..{one}{tail}" for one, tail in itertools.product(SLASHES, TAILS)]
PATHS += [
    f"{one}{step}{two}b"
    for one, step, two in itertools.product(SLASHES, STEPS, ("/", "%2F"))
    if one[0] == "/"
]
PATHS += ["/%2e%2e%2fb", "/a/%2e%2e%2f%2e%2e%2fb", "/%2Fa", "/%2F%2Fb", "/a%2F", "/a%5Cx", "/%5C%5Cb/a"]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for name in ("A", "B", "Other"):
        made.pod(name, f"sc-{name}", name.lower(), sidecar=False)
    made.start(
        route("a", "sc-A"),
        route("b", "sc-B"),
        route("other", "sc-Other", {"prefix": "/"}),
    )
    until(lambda: made.edge.get("/a").status == 200, 10, "the routes")
    return made


def of(path: str) -> str:
    """Who serves `path` as its bytes stand."""
    bare = path.partition("?")[0]
    return next((n.upper() for n in "ab" if bare == f"/{n}" or bare.startswith(f"/{n}/")), "Other")


def decoded_once(path: str) -> str:
    """What an application makes of it that undoes escapes of slashes once, and then dot segments."""
    bare = path.partition("?")[0]
    for escaped, plain in (("%2f", "/"), ("%5c", "/"), ("\\", "/")):
        bare = bare.replace(escaped, plain).replace(escaped.upper(), plain)
    stack: list[str] = []
    for segment in bare.split("/"):
        if segment == "..":
            del stack[-1:]
        elif segment not in ("", "."):
            stack.append(segment)
    return "/" + "/".join(stack)


def test_what_is_matched_is_what_is_forwarded(mesh: Mesh) -> None:
    """And no spelling of a slash leads an application to a path of another route."""
    answered = refused = 0
    for path in dict.fromkeys(PATHS):
        answer = mesh.edge.get(path)
        body = {"gateway": "edge", "method": "GET", "host": "x", "path": path, "headers": []}
        explained = mesh.rest.done("POST", "/v1/explain", body)
        what = f"{path!r}: {answer.status} {answer.body[:200]!r} {explained}"
        if explained["route"] is None:
            assert answer.status == 400, what
            refused += 1
            continue
        assert answer.status == 200, what
        answered += 1
        forwarded = answer.json["path"]
        assert answer.json["name"] == of(forwarded) == of(decoded_once(forwarded)), what
        assert explained["route"] == answer.json["name"].lower(), what
        assert explained["path"] == forwarded.partition("?")[0], what
        assert forwarded.partition("?")[2] == path.partition("#")[0].partition("?")[2], what
    assert answered > 500
    assert refused > 0
