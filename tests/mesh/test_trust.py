"""What clients send does not steer lanes, and everything else of theirs arrives untouched (rule 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.mesh.client import Header, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh

MANY = ",".join(f"k{n}=v{n}" for n in range(100))
FORGED: list[Sequence[Header]] = [
    [("x-lane", "red")],
    [("X-Lane", "red"), ("x-lane", "blue")],
    [("x-lane", "")],
    [("x-lane", ""), ("baggage", "a=1")],
    [("baggage", "lane=red")],
    [("baggage", "lane=red,a=1")],
    [("baggage", "a=1,lane=red")],
    [("baggage", "a=1,lane=red,b=2")],
    [("baggage", "lane=red,lane=blue,lane=red")],
    [("baggage", "a=1"), ("baggage", "lane=red"), ("baggage", "b=2")],
    [("baggage", "lane=red"), ("baggage", "lane=red")],
    [("baggage", "  lane  =  red  ,a=1")],
    [("baggage", "a=1 ,\tlane\t=red")],
    [("baggage", "lane=red;ttl=1;x")],
    [("baggage", "lane")],
    [("baggage", "lane=")],
    [("baggage", "lane,a=1,lane=")],
    [("baggage", "lane=%72ed")],
    [("baggage", MANY + ",lane=red")],
    [("baggage", "lane=red," + MANY)],
    [("x-lane", "red"), ("baggage", "lane=red")],
    [("x-laneway-lane", "red")],
    [("x-laneway-rest", ",lane=red")],
    [("x-laneway-path", "/red")],
    [("x-laneway-h-63616e617279", "red"), ("x-laneway-q-63616e617279", "red")],
    [("x-laneway-c-63616e617279", "red")],
    [("X-Laneway-Destination", "1.2.3.4:5"), ("x-laneway-unreached", "refused")],
    [("x-envoy-original-path", "/red"), ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "9")],
    [("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-internal", "true")],
    [("x-envoy-decorator-operation", "x"), ("x-envoy-force-trace", "1")],
]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "app", sidecar=False)
    for tag in ("red", "blue", "gray"):
        made.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    rules = [{"source": s, "name": "canary", "operator": "==", "value": "red"} for s in ("query", "cookie")]
    made.start(
        route("a", "sc-A"),
        group("g", "app"),
        lane("gray", "g"),
        lane("blue", "g"),
        lane("red", "g", rule={"match": "any", "conditions": rules}),
    )
    until(lambda: made.edge.get("/a?canary=red").json["name"] == "Ared", 10, "the lanes")
    return made


def members(headers: Sequence[Header]) -> list[str]:
    lines = [str(v) for n, v in headers if n.lower() == "baggage"]
    return [m for line in lines for m in line.split(",") if m.strip()]


def own(member: str) -> bool:
    return member.partition(";")[0].partition("=")[0].strip() == "lane"


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_forged(mesh: Mesh, number: int) -> None:
    forged = FORGED[number]
    kept = [m for m in members(forged) if not own(m)]

    answer = mesh.edge.get("/a", *forged)
    assert (answer.json["name"], answer.lane) == ("A", None)
    assert answer.received("x-lane") == []
    assert _members(answer.received("baggage")) == [m.strip(" \t") for m in kept]
    steering = [n for n, _ in answer.json["headers"] if n.startswith(("x-laneway-", "x-envoy-"))]
    assert steering == []

    chosen = mesh.edge.get("/a", ("canary", "gray"), *forged)
    assert (chosen.json["name"], chosen.lane) == ("Agray", "gray")
    assert chosen.received("x-lane") == ["gray"]
    assert _members(chosen.received("baggage")) == ["lane=gray", *[m.strip(" \t") for m in kept]]
    assert not [n for n, _ in chosen.json["headers"] if n.startswith(("x-laneway-", "x-envoy-"))]


def _members(lines: list[str]) -> list[str]:
    return [m.strip(" \t") for line in lines for m in line.split(",")]


@pytest.mark.parametrize(
    "value",
    [
        "Lane=red",
        "LANE=red,a=1",
        "xlane=red",
        "lane2=red",
        "user=lane=red",
        "a=1;lane=red",
        'a="lane"',
        "k=%20v%2C,z=%C3%A9;p=1",
        MANY,
    ],
)
def test_other_members_arrive_untouched(mesh: Mesh, value: str) -> None:
    plain = mesh.edge.get("/a", ("baggage", value))
    assert (plain.json["name"], plain.received("baggage")) == ("A", [value])
    chosen = mesh.edge.get("/a", ("baggage", value), ("canary", "gray"))
    assert (chosen.json["name"], chosen.received("baggage")) == ("Agray", [f"lane=gray,{value}"])


def test_other_headers_arrive_untouched(mesh: Mesh) -> None:
    given = [
        ("x-user", 'ü,"x"'),
        ("cookie", "a=1; b=2"),
        ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    ]
    answer = mesh.edge.get("/a?canary=red", *given)
    assert answer.json["name"] == "Ared"
    for name, value in given:
        assert [v.encode("latin-1").decode() for v in answer.received(name)] == [value]


def test_a_gateway_that_trusts_its_clients(mesh: Mesh) -> None:
    mesh.apply(mesh.gateway(trust_client_lane=True))
    try:
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).json["name"] == "Ared", 10, "the trust")
        assert mesh.edge.get("/a", ("baggage", "a=1,lane=red")).json["name"] == "Ared"
        assert mesh.edge.get("/a", ("x-lane", "nobody")).json["name"] == "A"
        assert mesh.edge.get("/a", ("x-lane", "nobody"), ("canary", "gray")).json["name"] == "A"
        assert mesh.edge.get("/a", ("canary", "gray")).lane == "gray"
        both = mesh.edge.get("/a", ("x-lane", "red"), ("baggage", "lane=blue,a=1"))
        assert (both.json["name"], both.received("x-lane"), both.received("baggage")) == (
            "Ared",
            ["red"],
            ["lane=red,a=1"],
        )
    finally:
        mesh.apply(mesh.gateway())
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).json["name"] == "A", 10, "no trust")
