"""What an Application says of calls to it, on real edges and sidecars: load balancing, timeouts, bounds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.mesh.client import Answer, Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh

GRAY = ("canary", "gray")
CARRIERS = ("x-lane", "baggage", "x-user", "cookie")
USERS = [f"user-{n}" for n in range(24)]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    """X calls B from behind its sidecar; the edge calls B directly. B has four instances, and three gray."""
    made = new_mesh()
    made.pod("X", "sc-X", "x", next="sc-B", carriers=CARRIERS)
    made.pod("Y", "sc-Y", "x", next="sc-C", carriers=CARRIERS)
    for number in range(4):
        made.pod(f"B{number}", "sc-B", "b", sidecar=False)
    for number in range(3):
        made.pod(f"Bgray{number}", "sc-B", "b", tag="gray", sidecar=False)
    made.pod("C", "sc-C", "c", sidecar=False)
    made.pod("Cgray", "sc-C", "c", tag="gray", sidecar=False)
    return made.start(
        route("x", "sc-X"),
        route("y", "sc-Y"),
        route("b", "sc-B"),
        route("c", "sc-C"),
        route("patient", "sc-C", timeout="20s"),
        group("flow", "b", "c", "x"),
        lane("gray", "flow"),
    )


def says(mesh: Mesh, name: str, **what: Any) -> None:
    """Apply the definition of an application, and wait until edge and sidecars have it."""
    mesh.apply({"kind": "Application", "name": name, "services": [f"sc-{name.upper()}"], **what})

    def acknowledged() -> bool:
        states = [one["types"] for one in mesh.rest.get("/v1/proxies")["items"]]
        assert all(state["nack"] is None for types in states for state in types.values())
        return all(state["sent"] == state["acked"] for types in states for state in types.values())

    until(acknowledged, 10, "the proxies to have it")


def last(mesh: Mesh, path: str, *headers: Any) -> str:
    answer = mesh.edge.get(path, *headers)
    assert answer.status == 200, answer.body
    return answer.chain[-1]


def spread(mesh: Mesh, path: str, *headers: Any, by: str = "header") -> dict[str, str]:
    """The one instance that serves each user, once proxies have warmed the clusters of a change."""

    def steady() -> dict[str, str]:
        found: dict[str, str] = {}
        for user in USERS * 3:
            key = ("x-user", user) if by == "header" else ("cookie", f"a=1; uid={user}")
            name = last(mesh, path, key, *headers)
            if found.setdefault(user, name) != name:
                return {}
        return found

    return until(steady, 20, "each user to stay at one instance")


@pytest.mark.parametrize("policy", ["ring_hash", "maglev"])
def test_one_user_stays_at_one_instance(mesh: Mesh, policy: str) -> None:
    """At the edge and at a sidecar, in the lane among its own; where the lane has none left, in base."""
    says(mesh, "b", load_balancing={"policy": policy, "hash_by": {"header": "X-User"}})
    explained = mesh.rest.done("POST", "/v1/explain", question("/b"))
    assert explained["hops"][0]["calls"] == {"load_balancing": f"{policy} by header X-User"}
    base = spread(mesh, "/b")
    assert len(set(base.values())) > 1
    assert spread(mesh, "/x") == base
    gray = spread(mesh, "/b", GRAY)
    assert {name[:-1] for name in gray.values()} == {"Bgray"}
    assert len(set(gray.values())) > 1
    assert spread(mesh, "/x", GRAY) == gray
    left = ["Bgray0", "Bgray1", "Bgray2"]
    try:
        mesh.register(left[0], registered=False)
        gone = f"{mesh.pods[left[0]].address}:"
        mesh.wait_everywhere(lambda page: gone not in page, "one gray instance less")
        fewer = spread(mesh, "/b", GRAY)
        assert set(fewer.values()) == set(left[1:])
        mesh.register(*left[1:], registered=False)
        mesh.wait_everywhere(lambda page: f"{mesh.pods[left[2]].address}:" not in page, "no gray instance")
        assert spread(mesh, "/b", GRAY) == spread(mesh, "/x", GRAY) == base
    finally:
        mesh.register(*left)
        mesh.wait_everywhere(lambda page: f"{mesh.pods[left[2]].address}:" in page, "all gray instances")


def test_a_cookie_chooses(mesh: Mesh) -> None:
    says(mesh, "b", load_balancing={"policy": "maglev", "hash_by": {"cookie": "uid"}})
    assert len(set(spread(mesh, "/b", by="cookie").values())) > 1
    assert spread(mesh, "/x", by="cookie") == spread(mesh, "/b", by="cookie")


@pytest.mark.parametrize("policy", ["round_robin", "least_request", "random"])
def test_requests_are_spread(mesh: Mesh, policy: str) -> None:
    says(mesh, "b", load_balancing={"policy": policy})
    for path in ("/b", "/x"):
        seen = Counter(last(mesh, path) for _ in range(60))
        assert set(seen) == {"B0", "B1", "B2", "B3"}
        if policy == "round_robin":
            assert max(seen.values()) - min(seen.values()) <= 4  # each worker and cluster begins anew
        assert {last(mesh, path, GRAY)[:-1] for _ in range(20)} == {"Bgray"}


def test_fewest_requests_first(mesh: Mesh) -> None:
    """The instance that is busy gets less: with round robin it would get a quarter."""
    says(mesh, "b", load_balancing={"policy": "least_request"})
    with ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            busy = [pool.submit(asked, mesh, "/b", ("x-delay", "B0=3")) for _ in range(16)]
            until(lambda busy=busy: sum(one.done() for one in busy) >= 8, 10, "the others to answer")
            names = Counter(last(mesh, "/b") for _ in range(60))
            waiting = sum(not one.done() for one in busy)
            assert {one.result().status for one in busy} == {200}
            if waiting:  # else none came to B0 by chance, or the machine was slow
                break
        assert waiting
        assert names["B0"] < 12, (names, waiting)


def asked(mesh: Mesh, path: str, *headers: Any) -> Answer:
    with Client(mesh.edge_address) as client:
        return client.get(path, *headers)


def test_timeouts(mesh: Mesh) -> None:
    """A route's own goes before the application's; sidecars have the application's."""
    says(mesh, "c", timeouts={"request": "300ms"})
    slow = ("x-delay", "C=1.5")
    assert asked(mesh, "/c").status == asked(mesh, "/y").status == 200
    began = time.monotonic()
    assert asked(mesh, "/c", slow).status == 504
    assert asked(mesh, "/y", slow).status == 504
    assert time.monotonic() - began < 2.5, "each ended before the application answered"
    assert asked(mesh, "/patient", slow).status == 200
    explained = mesh.rest.done("POST", "/v1/explain", question("/c"))
    assert explained["request_timeout"] == explained["hops"][0]["calls"]["request_timeout"] == 0.3
    assert mesh.rest.done("POST", "/v1/explain", question("/patient"))["request_timeout"] == 20
    says(mesh, "c", timeouts={"idle": "300ms"})
    explained = mesh.rest.done("POST", "/v1/explain", question("/c"))
    assert explained["idle_timeout"] == explained["hops"][0]["calls"]["idle_timeout"] == 0.3
    assert asked(mesh, "/c", slow).status == 504
    assert asked(mesh, "/y", slow).status == 504
    says(mesh, "c")
    assert asked(mesh, "/c", slow).status == 200


def question(path: str) -> dict[str, Any]:
    return {"gateway": "edge", "method": "GET", "host": "a", "path": path, "headers": []}


def test_bounds_of_what_is_open(mesh: Mesh) -> None:
    """Base is full, and the lane is not; a full lane is answered 503 and does not fill base."""
    says(mesh, "c", circuit_breaking={"requests": 2, "retries": 5})
    explained = mesh.rest.done("POST", "/v1/explain", question("/c"))
    assert explained["hops"][0]["calls"]["circuit_breaking"] == {"requests": 2, "retries": 5}
    for name, more in (("C", ()), ("Cgray", (GRAY,))):
        slow = ("x-delay", f"{name}=2")
        with ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(asked, mesh, "/c", slow, *more) for _ in range(6)]
            until(lambda a=answers: sum(one.done() for one in a) == 4, 10, "four that are refused")
            refused = [one.result() for one in answers if one.done()]
            assert {one.status for one in refused} == {503}
            other = asked(mesh, "/c") if more else asked(mesh, "/c", GRAY)
            assert (other.status, other.chain) == (200, ["C"] if more else ["Cgray"])
            served = [one.result() for one in answers if one.result().status == 200]
            assert [one.chain for one in served] == [[name]] * 2
    assert asked(mesh, "/c").status == asked(mesh, "/c", GRAY).status == 200
    says(mesh, "c", circuit_breaking={"connections": 1, "pending": 1})
    explained = mesh.rest.done("POST", "/v1/explain", question("/c"))
    assert explained["hops"][0]["calls"]["circuit_breaking"]["connections"] == 1
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda _: asked(mesh, "/y", ("x-delay", "C=1")).status, range(5)))
    assert Counter(found) == Counter({503: 3, 200: 2})
    says(mesh, "c")
