"""A hostile application or client adds no statistic, and marks of proxies reach nobody."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.mesh.client import Address, Answer, Client, Header, fetch, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh, seen_anew

VALUES = 300
KINDS = 60
MARKS = (
    "x-laneway-served: gray svc-{n}",
    "x-laneway-served: lane-{n} file///sc-A",
    "X-Laneway-Served: {n} {n}",
    "x-laneway-unreached: refused",
    "x-laneway-unreached: terminated",
    "x-laneway-unreached: value-{n}",
    "x-laneway-reason: lane-unavailable",
    "x-laneway-reason: value-{n}",
    "x-laneway-lane: value-{n}",
    "x-laneway-u: value-{n}",
    "x-laneway-unreached2: value-{n}",
    "x-laneway-: value-{n}",
    "x-laneway-any-{n}: value",
)
GRAY, STRICT = ("canary", "gray"), ("canary", "strict")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "app", next="sc-B")
    made.pod("Agray", "sc-A", "app", tag="gray", sidecar=False)
    made.pod("Astrict", "sc-A", "app", tag="strict", sidecar=False)
    made.pod("B", "sc-B", "b", sidecar=False)
    made.pod("Bgray", "sc-B", "b", tag="gray", sidecar=False)
    made.start(
        route("a", "sc-A"),
        group("g", "app", "b"),
        lane("gray", "g"),
        lane("strict", "g", fallback="none"),
        lane("nobody", "g", rule=rule(header("canary", "nobody"))),
    )
    until(lambda: made.chain("/a", GRAY)[:1] == ["Agray"], 10, "the lanes")
    return made


def names(admin: Address) -> set[str]:
    text = fetch(admin, "/stats?usedonly").body.decode()
    return {line.partition(":")[0] for line in text.splitlines() if "laneway" in line or "cluster." in line}


def says(name: str, text: str) -> Header:
    return ("x-fail", f"{name}=200 {text}")


def served(name: str, said: str) -> list[str]:
    """Who may answer. An instance without a sidecar that says that it was not reached loses the request."""
    return [name, name[0]] if said.startswith("x-laneway-unreached:") else [name]


def marks(answer: Answer) -> list[str]:
    return [name for name, _ in answer.headers if name.startswith("x-laneway-")]


@pytest.mark.parametrize("text", MARKS)
def test_an_applications_marks_end_where_they_enter(mesh: Mesh, text: str) -> None:
    """At the edge, for base, a lane, a lane without fallback and one without instances; and between hops."""
    egress = (mesh.pods["A"].address, 15001)
    admins = [mesh.edge_admin, (mesh.pods["A"].address, 15000)]
    for chosen in ((), (GRAY,), (STRICT,)):
        assert mesh.edge.get("/a", *chosen).status == 200
    before = [names(admin) for admin in admins]
    with Client(egress) as sidecar:
        assert sidecar.request("GET", "http://sc-B/", [("x-lane", "gray")], host="sc-B").chain == ["Bgray"]
        before[1] = names(admins[1])
        for number in range(VALUES if "served" in text else VALUES // 10):
            said = text.format(n=number)
            for name, chosen in (("A", ()), ("Agray", (GRAY,)), ("Astrict", (STRICT,))):
                answer = mesh.edge.get("/a", says(name, said), *chosen)
                assert (answer.chain[0] in served(name, said), marks(answer)) == (True, []), (said, answer)
            for name, chosen in (("B", ()), ("Bgray", (("x-lane", "gray"),))):
                heard = sidecar.request("GET", "http://sc-B/", [says(name, said), *chosen], host="sc-B")
                assert (heard.chain[0] in served(name, said), marks(heard)) == (True, []), (said, heard)
    new = [names(admin) - known for admin, known in zip(admins, before, strict=True)]
    true = re.compile(r"laneway\.fallback\.laneway\.service\.file///sc-[AB]\.laneway\.lane\.gray")
    added = [n for found in new for n in found if not n.startswith(("cluster.", "http.", "listener."))]
    traffic = {name for name in added if name.startswith(("laneway.requests.", "laneway.duration."))}
    assert len(traffic) < KINDS  # by route, lane, tag, status and number of tries: none by what was said
    assert not [name for name in added if not (name in traffic or true.fullmatch(name))]
    if text.startswith("x-laneway-unreached:"):
        for name in ("Agray", "Astrict", "Bgray"):
            seen_anew(mesh, mesh.pods[name])  # what an instance says of itself may have ejected it


UNDERSCORES: list[Header] = [
    ("x_lane", "gray"),
    ("X_Laneway_Lane", "gray"),
    ("x-laneway_lane", "gray"),
    ("x_envoy_max_retries", "9"),
    ("x_forwarded_for", "1.2.3.4"),
    ("x-forwarded_for", "1.2.3.4"),
    ("x_request-id", "1"),
    ("Transfer_Encoding", "chunked"),
    ("content_length", "5"),
]
HARMLESS: list[Header] = [("user_id", "7"), ("_", "x"), ("a_b-c", "1")]


def test_names_with_underscores(mesh: Mesh) -> None:
    """A rule reads them; no application gets them, unless the gateway keeps them."""

    def received(*given: Header) -> list[str]:
        answer = fetch(mesh.edge_address, "/a", *given)
        assert answer.status == 200
        return sorted(name for name, _ in answer.json["headers"] if "_" in name)

    explained = {"gateway": "edge", "method": "GET", "host": "x", "path": "/a"}
    given = [*UNDERSCORES, *HARMLESS]
    sent = sorted(name.lower() for name, _ in given)
    kept = sorted(name for name, _ in HARMLESS)
    user = lane("nobody", "g", tag="gray", rule=rule(header("user_id", "7")))
    assert received(*given) == []
    try:
        mesh.apply(mesh.gateway(), user)
        until(lambda: mesh.chain("/a", *HARMLESS)[:1] == ["Agray"], 10, "the rule on user_id")
        assert received(*given) == []
        answer = mesh.rest.done("POST", "/v1/explain", {**explained, "headers": given})
        assert (answer["lane"], answer["removed_headers"]) == ("nobody", sent)

        mesh.apply(mesh.gateway(headers_with_underscores="keep"))
        until(lambda: received(*given) == kept, 10, "underscores to be kept")
        assert fetch(mesh.edge_address, "/a", *given).chain[:1] == ["Agray"]
        answer = mesh.rest.done("POST", "/v1/explain", {**explained, "headers": given})
        assert answer["removed_headers"] == sorted(name.lower() for name, _ in UNDERSCORES)
    finally:
        mesh.apply(mesh.gateway(), lane("nobody", "g", rule=rule(header("canary", "nobody"))))
        until(lambda: mesh.chain("/a", *HARMLESS)[:1] == ["A"], 10, "the rule to be gone")


def test_a_route_may_set_a_header_with_an_underscore(mesh: Mesh) -> None:
    """What the edge itself sets gets through, and nothing that a client sends by such a name."""

    def received() -> list[list[str]]:
        answer = fetch(mesh.edge_address, "/a", ("user_id", "7"), ("own_name", "client"))
        return sorted([name, value] for name, value in answer.json["headers"] if "_" in name)

    try:
        mesh.apply(route("a", "sc-A", headers={"request": {"set": {"own_name": "edge"}}}))
        until(lambda: received() == [["own_name", "edge"]], 10, "the route's header")
    finally:
        mesh.apply(route("a", "sc-A"))
        until(lambda: received() == [], 10, "no such header")


def test_a_sticky_header_may_have_an_underscore(mesh: Mesh) -> None:
    half = lane("half", "ratio", tag="gray", ratio={"percent": 50, "sticky": {"header": "user_id"}})
    mesh.apply(group("ratio", "app"), half)
    try:
        until(lambda: any(mesh.chain("/a")[:1] == ["Agray"] for _ in range(20)), 10, "the ratio")
        for user in range(20):
            chosen = {mesh.chain("/a", ("user_id", str(user)))[0] for _ in range(5)}
            assert len(chosen) == 1, (user, chosen)
    finally:
        assert mesh.rest.call("DELETE", "/v1/lane-groups/ratio").status == 204
