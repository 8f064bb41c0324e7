"""Colour by trace (rule 7): applications that hand on only an identifier of the trace keep their lane."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.mesh.client import Address, Client, Header, until
from tests.mesh.documents import group, lane
from tests.mesh.harness import APPLICATIONS, Mesh, abc

CHAINS = {"gray": ["Agray", "B", "Cgray"], "red": ["Ared", "B", "Cred"], "": ["A", "B", "C"]}
SPAN = "00f067aa0ba902b7"


def parent(trace: str) -> str:
    return f"00-{trace}-{SPAN}-01"


FORMS: dict[str, Callable[[str], str]] = {
    "traceparent": parent,
    "b3": lambda trace: f"{trace}-{SPAN}-1",
    "x-b3-traceid": lambda trace: trace[16:],
    "sw8": lambda trace: f"1-{trace}LjEuMQ==-bXlzZWc=-3-YXBw-aW5zdA==-L2I=-YTox",
    "uber-trace-id": lambda trace: f"{trace.lstrip('0')}:{SPAN}:0:1",
    "x-request-id": lambda trace: trace,  # the edge's own takes its place
}


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.workers = 2  # requests in and out of an application meet different ones
    abc(made, "Agray", "Cgray", "Ared", "Cred")
    made.start(*definitions(True))
    for name, chain in CHAINS.items():
        made.wait_chain(chain, *lost("traceparent", new_trace(), name))
    return made


def definitions(by_trace: bool) -> list[dict[str, object]]:
    return [
        {
            "kind": "Route",
            "gateway": "edge",
            "name": "a",
            "match": {"path": {"prefix": "/a"}},
            "service": "sc-A",
        },
        group("order-flow", *APPLICATIONS, colour_by_trace=by_trace),
        lane("gray"),
        lane("red"),
    ]


def new_trace() -> str:
    return f"{random.getrandbits(128):032x}"


def lost(kind: str, trace: str, lane: str) -> list[Header]:
    """A request of which B hands on the header `kind` alone."""
    canary: list[Header] = [("canary", lane)] if lane else []
    return [*canary, (kind, FORMS[kind](trace)), ("x-hand-on", f"B={kind}")]


def call(mesh: Mesh, name: str, *headers: Header) -> list[str]:
    """A call of this pod's application, through its own egress proxy."""
    with Client((mesh.pods[name].address, 15001)) as client:
        return client.request("GET", "http://sc-C/c", headers, host="sc-C").chain


def arrive(mesh: Mesh, name: str, *headers: Header) -> list[Header]:
    """A request at this pod; what its application got."""
    with Client((mesh.pods[name].address, 20001)) as client:
        return [(n, v) for n, v in client.get("/", *headers).json["headers"]]


def wrong(address: Address, kind: str, lanes: Iterable[str]) -> list[object]:
    """Requests that did not take the way of their lane, one after the other over one connection."""
    found: list[object] = []
    with Client(address) as client:
        for name in lanes:
            answer = client.get("/a", *lost(kind, new_trace(), name))
            if answer.status != 200 or answer.chain != CHAINS[name]:
                found.append((name, answer.status, answer.body[:300]))
    return found


def all_wrong(mesh: Mesh, kind: str, requests: int) -> list[object]:
    """Of requests in mixed lanes, over eight connections at a time."""
    mixed = random.Random(7).choices(list(CHAINS), k=requests)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda n: wrong(mesh.edge_address, kind, mixed[n::8]), range(8))
        return [one for some in found for one in some]


@pytest.mark.parametrize("kind", FORMS)
def test_one_identifier_of_the_trace_is_enough(mesh: Mesh, kind: str) -> None:
    assert all_wrong(mesh, kind, 120) == []


@pytest.mark.mesh
@pytest.mark.parametrize("kind", FORMS)
def test_a_thousand_requests_of_each_kind(mesh: Mesh, kind: str) -> None:
    assert all_wrong(mesh, kind, 1000) == []


def test_explain_says_so(mesh: Mesh) -> None:
    question = {
        "gateway": "edge",
        "method": "GET",
        "host": "x",
        "path": "/a",
        "headers": [["canary", "gray"]],
    }
    assert [hop["by_trace"] for hop in mesh.rest.done("POST", "/v1/explain", question)["hops"]] == [True] * 3


def test_tracestate_carries_the_lane_beside_traceparent(mesh: Mesh) -> None:
    trace = new_trace()
    got = arrive(mesh, "C", ("x-lane", "gray"), ("traceparent", parent(trace)), ("tracestate", "a=1 , b=2"))
    assert [v for n, v in got if n == "tracestate"] == ["laneway=gray,a=1 , b=2"]
    assert "tracestate" not in dict(arrive(mesh, "C", ("x-lane", "gray")))
    # An agent hands on traceparent and tracestate, under a trace that this sidecar has not seen.
    state = ("tracestate", "b=2,laneway=red,a=1")
    assert call(mesh, "B", ("traceparent", parent(new_trace())), state) == ["Cred"]
    assert call(mesh, "B", ("traceparent", parent(new_trace())), state, ("x-lane", "gray")) == ["Cgray"]
    assert call(mesh, "B", ("traceparent", parent(new_trace())), state, ("baggage", "lane=gray")) == ["Cgray"]
    assert call(mesh, "B", state) == ["C"]
    until(lambda: mesh.stats((mesh.pods["B"].address, 15000), "laneway_lanes_by_trace") > 0, 10, "the count")
    got = arrive(mesh, "C", ("traceparent", parent(new_trace())), state)
    assert dict(got)["x-lane"] == "red"
    assert dict(got)["tracestate"] == "laneway=red,b=2,a=1"


def test_tracestate_has_no_more_members_than_agents_read(mesh: Mesh) -> None:
    members = ",".join(f"k{n}=v" for n in range(32))
    got = arrive(mesh, "C", ("x-lane", "gray"), ("traceparent", parent(new_trace())), ("tracestate", members))
    assert dict(got)["tracestate"] == "laneway=gray," + ",".join(f"k{n}=v" for n in range(31))


def test_a_trace_with_two_lanes_heals_nothing(mesh: Mesh) -> None:
    """Nor does one that is seen with a lane and without one, in either order, nor disagreeing identifiers."""
    for lanes in (["gray", "red"], ["gray", ""], ["", "gray"], ["gray", "red", "gray"]):
        trace = new_trace()
        for name in lanes:
            arrive(mesh, "B", *[("x-lane", name)] * bool(name), ("traceparent", parent(trace)))
        assert call(mesh, "B", ("traceparent", parent(trace))) == ["C"], lanes
    one, other = new_trace(), new_trace()
    arrive(mesh, "B", ("x-lane", "gray"), ("traceparent", parent(one)))
    arrive(mesh, "B", ("x-lane", "red"), ("sw8", FORMS["sw8"](other)))
    assert call(mesh, "B", ("traceparent", parent(one))) == ["Cgray"]
    assert call(mesh, "B", ("traceparent", parent(one)), ("sw8", FORMS["sw8"](other))) == ["C"]
    assert call(mesh, "B", ("traceparent", parent(one)), ("sw8", FORMS["sw8"](new_trace()))) == ["Cgray"]


def test_one_trace_in_the_form_of_another_agent(mesh: Mesh) -> None:
    """W3C, B3 and Jaeger write one number, B3 also its lower half alone."""
    trace = new_trace()
    arrive(mesh, "B", ("x-lane", "gray"), ("traceparent", parent(trace)))
    for kind in ("b3", "x-b3-traceid", "uber-trace-id"):
        assert call(mesh, "B", (kind, FORMS[kind](trace))) == ["Cgray"]
    assert call(mesh, "B", ("b3", f"{trace[16:].upper()}-{SPAN}")) == ["Cgray"]
    assert call(mesh, "B", ("uber-trace-id", f"{trace}%3A{SPAN}%3A0%3A1")) == ["Cgray"]


@pytest.mark.parametrize(
    "header",
    [
        ("traceparent", ""),
        ("traceparent", f"00-{'0' * 32}-{SPAN}-01"),
        ("traceparent", "00-abc"),
        ("traceparent", f"{parent('a' * 32)},{parent('b' * 32)}"),
        ("b3", "0"),
        ("b3", f"{'0' * 32}-{SPAN}"),
        ("b3", f"{'a' * 33}-{SPAN}"),
        ("sw8", "1-"),
        ("sw8", f"1-{'a' * 300}-"),
        ("uber-trace-id", "::::"),
        ("uber-trace-id", "%3a" * 5000),
        ("x-request-id", "r" * 5000),
        ("x-b3-traceid", b"\xff\x00a"[:1] * 40),
    ],
)
def test_what_is_no_identifier_is_not_remembered(mesh: Mesh, header: Header) -> None:
    more: list[Header] = [] if header[0] == "x-request-id" else [("x-request-id", "one," + new_trace())]
    arrive(mesh, "B", ("x-lane", "gray"), header, *more)
    assert call(mesh, "B", header, *more) == ["C"]


def test_the_order_of_belief_ends_with_the_instance_s_own_tag(mesh: Mesh) -> None:
    trace = new_trace()
    arrive(mesh, "Agray", ("x-lane", "red"), ("b3", FORMS["b3"](trace)))
    assert call(mesh, "Agray", ("b3", FORMS["b3"](trace))) == ["Cred"]
    assert call(mesh, "Agray", ("b3", FORMS["b3"](new_trace()))) == ["Cgray"]


@pytest.mark.parametrize(
    "member",
    [
        "laneway=red",
        " laneway = red",
        "laneway",
        "laneway=",
        "%6Caneway=red",
        "laneway%20=red",
        ";laneway=red",
        "a=1=laneway=red",
        "a=1;laneway=red",
    ],
)
def test_no_client_names_a_lane_in_tracestate(mesh: Mesh, member: str) -> None:
    headers: list[Header] = [("traceparent", parent(new_trace())), ("x-hand-on", "A=traceparent,tracestate")]
    answer = mesh.edge.get(
        "/a", *headers, ("tracestate", f"a=1,{member}"), ("tracestate", "laneways=x,b=laneway")
    )
    assert answer.chain == ["A", "B", "C"]
    assert ",".join(answer.received("tracestate")) == "a=1,laneways=x,b=laneway"
    canary = mesh.edge.get("/a", ("canary", "gray"), *headers, ("tracestate", f"{member},a=1"))
    assert canary.received("tracestate") == ["laneway=gray,a=1"]
    assert canary.chain == CHAINS["gray"]


def test_no_client_colours_by_a_trace_that_it_repeats(mesh: Mesh) -> None:
    """Its own request in a lane, then one without: the second stays base to the end, and so does a third."""
    trace = new_trace()
    assert mesh.edge.get("/a", *lost("traceparent", trace, "gray")).chain == CHAINS["gray"]
    for _ in range(2):
        assert mesh.edge.get("/a", *lost("traceparent", trace, "")).chain == CHAINS[""]


def test_new_code_of_the_filters_finds_what_the_old_one_remembered(mesh: Mesh) -> None:
    """Another gateway's carriers are constants of the filters: Envoy makes new Lua states for them."""
    trace = new_trace()
    arrive(mesh, "B", ("x-lane", "gray"), ("b3", FORMS["b3"](trace)))
    other = mesh.gateway("other", carriers={"header": "x-stage", "baggage": "stage"})
    other["listeners"] = [{"port": 8081, "address": mesh.edge_address[0]}]
    mesh.apply(other)
    try:
        until(lambda: call(mesh, "B", ("x-stage", "red")) == ["Cred"], 10, "the other gateway's carriers")
        assert call(mesh, "B", ("b3", FORMS["b3"](trace))) == ["Cgray"]
    finally:
        mesh.rest.done("DELETE", "/v1/gateways/other")
        until(lambda: call(mesh, "B", ("x-stage", "red")) == ["C"], 10, "the usual carriers alone")
    assert call(mesh, "B", ("b3", FORMS["b3"](trace))) == ["Cgray"]


def test_it_is_off_unless_a_group_asks_for_it(mesh: Mesh) -> None:
    forged: list[Header] = [("traceparent", parent(new_trace())), ("tracestate", "laneway=red")]
    mesh.apply(*definitions(False))
    try:
        chain = ["Agray", "B", "C"]
        until(lambda: mesh.edge.get("/a", *lost("b3", new_trace(), "gray")).chain == chain, 10, "no memory")
        until(lambda: call(mesh, "B", *forged) == ["C"], 10, "no tracestate")
    finally:
        mesh.apply(*definitions(True))
        until(lambda: call(mesh, "B", *forged) == ["Cred"], 10, "tracestate again")
    for name, chain in CHAINS.items():
        mesh.wait_chain(chain, *lost("b3", new_trace(), name))
