"""What clients write into `tracestate` and the headers of traces: no agent reads a lane, no filter fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import pytest
from opentelemetry.trace import TraceState

from tests.mesh.client import Client, Header
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh
from tests.mesh.test_colour_by_trace import FORMS, new_trace, parent

PIECES = [
    *("laneway", "lane", "way", "Laneway", "%6C", "aneway", "%6caneway", "%256Caneway", "tenant@laneway"),
    *(
        "=",
        "=",
        "=",
        ";",
        " ",
        "\t",
        ",",
        ",",
        ",",
        "+",
        "%20",
        "%",
        "red",
        "a",
        "b1",
        "\xa0",
        "@",
        "\x80\xff",
    ),
]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The agent warns of each odd member."""
    caplog.set_level(logging.CRITICAL, "opentelemetry")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "spring-cloud-a")
    made.pod("Agray", "sc-A", "spring-cloud-a", tag="gray")
    made.start(
        route("a", "sc-A"), group("flow", "spring-cloud-a", colour_by_trace=True), lane("gray", "flow")
    )
    made.wait_chain(["Agray"], ("canary", "gray"))
    return made


def written(pick: random.Random) -> str:
    return "".join(pick.choices(PIECES, k=pick.randint(1, 24))).strip(" \t")


def lane_in(state: str) -> str | None:
    """As agents read it: OpenTelemetry for Python strictly, others in a loop like this."""
    strict = TraceState.from_header([state])
    for member in state.split(","):
        name, equal, value = member.strip().partition("=")
        if equal and name.strip() == "laneway":
            return value
    return strict.get("laneway")


def plain(state: str) -> list[str]:
    """Members that are certainly not the lane's, without blanks at their ends, which HTTP may drop."""
    return [m.strip(" \t") for m in state.split(",") if m.strip() and "laneway" not in m and "%" not in m]


def test_no_agent_reads_a_lane_that_a_client_wrote(mesh: Mesh) -> None:
    pick = random.Random(3)
    for _ in range(500):
        lines = [written(pick) for _ in range(pick.randint(1, 3))]
        headers: list[Header] = [("tracestate", line.encode("latin-1")) for line in lines]
        answer = mesh.edge.get("/a", ("traceparent", parent(new_trace())), *headers)
        assert answer.status == 200
        got = ",".join(answer.received("tracestate"))
        assert lane_in(got) is None, (lines, got)
        assert plain(got) == plain(",".join(lines))
        coloured = mesh.edge.get("/a", ("canary", "gray"), ("traceparent", parent(new_trace())), *headers)
        assert coloured.chain == ["Agray"]
        assert lane_in(coloured.received("tracestate")[0].partition(",")[0]) == "gray", lines
    # As an attack on the edge's time: as many members and escapes as fit.
    for member in ("laneway=,", "%6", "=" * 9, ";" * 9, "a=laneway="):
        state = member * (20_000 // len(member))
        assert mesh.edge.get("/a", ("traceparent", parent(new_trace())), ("tracestate", state)).status == 200


def test_no_filter_fails_at_headers_of_traces(mesh: Mesh) -> None:
    pick = random.Random(4)
    signs = [
        *"0aF-:=,;% ",
        "00",
        "-01",
        "%3A",
        "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "\xff",
        "\t",
        "1-",
    ]
    pods = mesh.pods["A"]
    with Client((pods.address, 20001)) as inward, Client((pods.address, 15001)) as outward:
        for _ in range(500):
            headers: list[Header] = [("x-lane", "gray")] * pick.randint(0, 1)
            for kind in pick.sample([*FORMS, "tracestate", "baggage"], pick.randint(1, 5)):
                text = "".join(pick.choices(signs, k=pick.randint(0, 40))).strip(" \t")
                headers += [(kind, text.encode("latin-1"))] * pick.randint(1, 2)
            assert inward.get("/", *headers).status == 200, headers
            assert outward.request("GET", "http://sc-A/", headers, host="sc-A").status == 200, headers
    assert "script log" not in mesh.logs()
