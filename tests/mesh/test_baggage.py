"""Members of `baggage` that agents read as the lane's (rule 7): none of a client's gets past an edge, however
its name is spelt, and everything else arrives byte for byte.

LANEWAY_SPELLINGS is how many headers are tried at random (default: 400; with all agents twenty times that),
LANEWAY_SPELLINGS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.cli.processes import Child
from controlplane.plan.baggage import canonical_name, lane_of
from tests import spellings
from tests.agents.agents import Agent, Python, go, java, node
from tests.mesh.client import Address, Answer, Client, Header, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh, listening

NAMES = (b"lane", b"stage")
COUNT = int(os.environ.get("LANEWAY_SPELLINGS", "400"))
MANY = 20 * COUNT
SEED = int(os.environ.get("LANEWAY_SPELLINGS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CANARY: Header = ("canary", "gray")
SPELT = [
    b"%6Cane=red", b"%6cane=red", b"+lane=red", b"lane+=red", b"lane%20=red", b"%09lane=red",
    b"lane%0D%0A=red", b"\xa0lane=red", b"lane\xa0=red", b"\x85lane=red", b"lane\x85=red",
    b"\xc2\xa0lane=red", b"\xc2\x85lane=red", b"%C2%A0lane=red", b"%C2%85lane=red", b"%A0lane=red",
    b"%85lane=red", b"\xe2\x80\x8blane=red", b"%E2%80%8Blane=red", b"\xef\xbb\xbflane=red",
    b"%EF%BB%BFlane=red", b"%E3%80%80lane%E3%80%80=red", b"%256Cane=red", b"%2525256Cane=red",
    b"%%36%43ane=red", b"%6%43ane=red", b"%2Blane=red", b"%252Blane=red", b"%00lane=red",
    b"%7Flane%1F=red", b"%6C%61%6E%65=red", b";lane=red", b" ; ;lane=red", b"lane ;=red", b"lane;x=lane",
    b"lane;=red", b"%6Cane;x=1", b"%6Cane", b"%6Cane=", b"+", b"a=1=lane=red", b";=1=lane=red",
    b"a=1=%6Cane=red;p", b"+" * 300 + b"lane=red", b"%" + b"25" * 2000 + b"6Cane=red", b"stage=red",
    b"%73tage=red", b"%2573tage=red", b";stage=red",
]  # fmt: skip


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    """Two gateways with carriers of their own; A as the edges have it, B behind a sidecar."""
    made = new_mesh()
    for tag in ("", "gray", "red"):
        made.pod(f"A{tag}", "sc-A", "app-a", tag=tag, sidecar=False)
    made.pod("B", "sc-B", "app-b")
    other = made.gateway("other", carriers={"header": "x-stage", "baggage": "stage"})
    other["listeners"] = [{"port": 8080, "address": second(made)[0]}]
    made.start(
        route("a", "sc-A"),
        other,
        {**route("a", "sc-A"), "gateway": "other"},
        group("g", "app-a"),
        lane("gray", "g"),
        {**group("h", "app-a"), "gateway": "other"},
        lane("red", "h", rule=rule(header("canary", "gray"))),
    )
    made.start_other_edge("other", (second(made)[0], 15000))
    until(lambda: listening(second(made)), 20, "the other edge")
    with Client(second(made)) as client:
        until(lambda: client.get("/a", CANARY).json["name"] == "Ared", 10, "the other gateway's lane")
    until(lambda: made.edge.get("/a", CANARY).json["name"] == "Agray", 10, "the lane")
    return made


def second(mesh: Mesh) -> Address:
    return (f"{mesh.network}.252", 8080)


def lines_of(answer: Answer) -> list[bytes]:
    return [value.encode("latin-1") for value in answer.received("baggage")]


def sent(lines: Sequence[bytes]) -> list[Header]:
    return [("baggage", line) for line in lines]


def check(client: Client, lines: Sequence[bytes], own: bytes, chosen: str) -> None:
    """What the edge behind `client`, whose member is `own`, forwards of a header, in base and in its lane."""
    kept = spellings.others_of(lines, NAMES)
    what = f"seed {SEED}: {lines!r}"

    plain = client.get("/a", *sent(lines))
    assert plain.status == 200, (what, plain)
    assert plain.json["name"] == "A", what
    if kept == spellings.split(lines):
        assert lines_of(plain) == [line.strip(b" \t") for line in lines], what
    else:
        assert spellings.split(lines_of(plain)) == kept, what

    coloured = client.get("/a", CANARY, *sent(lines))
    assert coloured.json["name"] == f"A{chosen}", what
    (line,) = lines_of(coloured)
    mine, *rest = spellings.split([line])
    assert mine == own + b"=" + chosen.encode(), what
    assert rest == kept[: len(rest)], what
    if len(b",".join(kept)) < 1200:
        assert rest == kept, what


@pytest.mark.parametrize("member", SPELT)
def test_a_spelling_of_the_name(mesh: Mesh, member: bytes) -> None:
    """Alone, among others, and before and after a rightful lane, at both gateways."""
    for address, own, chosen in ((mesh.edge_address, b"lane", "gray"), (second(mesh), b"stage", "red")):
        with Client(address) as client:
            for lines in ([member], [b"a=1," + member + b",b=2"], [b"a=1", member], [member, member, b"b=2"]):
                check(client, lines, own, chosen)
    if member != b"+":
        assert spellings.others_of([member], NAMES) == []


@pytest.mark.parametrize("name", spellings.ALIKE)
def test_members_of_others(mesh: Mesh, name: bytes) -> None:
    for value in spellings.VALUES:
        lines = [name + b"=" + value]
        assert spellings.others_of(lines, NAMES) == spellings.split(lines)
        check(mesh.edge, lines, b"lane", "gray")


def test_headers_at_random(mesh: Mesh) -> None:
    pick = random.Random(SEED)
    with Client(second(mesh)) as other:
        for _ in range(COUNT):
            check(mesh.edge, spellings.header(pick, NAMES, b"red"), b"lane", "gray")
            check(other, spellings.header(pick, NAMES, b"gray"), b"stage", "red")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=12) | st.sampled_from([*SPELT, b"lane", b"=", b";", b"%6C"]), max_size=8))
def test_the_rule_in_python_and_at_the_edge(mesh: Mesh, parts: list[bytes]) -> None:
    line = b"".join(parts).translate(None, bytes([*range(9), *range(10, 32), 127])).strip(b" \t")
    check(mesh.edge, [line] if line else [], b"lane", "gray")


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"%", b"25", b"6", b"C", b"c", b"ane", b"lane", b"+", b"%2B", *spellings.SEQUENCES])
        | st.binary(max_size=1),
        max_size=8,
    )
)
def test_names_are_brought_into_one_form(parts: list[bytes]) -> None:
    name = b"".join(parts)
    assert (canonical_name(name) == b"lane") == (spellings.normal(name) == b"lane")


def test_the_lane_that_a_trusted_client_names() -> None:
    """What explain reads; that the edge reads the same is seen by the property test of explain."""
    for text, wanted in (
        (b"a=1,lane=gray", b"gray"),
        (b"lane=gray,%6Cane=red;p=1", b"red"),
        (b";lane= red", b"red"),
        (b"a=1=lane=red", b"red"),
        (b"lane=gray,lane,lane=,lane;x=lane", b"gray"),
        (b"Lane=red,stage=red", None),
        (b"stage=1=lane=red", None),
        (b"x" * 8190 + b",lane=red", None),
        (b"lane=red," + b"x" * 9000, b"red"),
    ):
        assert lane_of(text, "lane", ["stage"]) == wanted


def through(mesh: Mesh, inbound: bool, *headers: Header) -> Answer:
    """What the application of B gets through its sidecar, or what A gets of a call that B makes."""
    pod = mesh.pods["B"]
    if inbound:
        with Client((pod.address, pod.port)) as client:
            return client.get("/b", *headers)
    with Client((pod.address, 15001)) as client:
        return client.request("GET", "http://sc-A/a", headers, host="sc-A")


@pytest.mark.parametrize("inbound", [True, False])
@pytest.mark.parametrize(
    "member", [m for m in SPELT if b"red" in m and b"tage" not in m and b";=red" not in m]
)
def test_a_sidecar_reads_names_as_agents_do(mesh: Mesh, inbound: bool, member: bytes) -> None:
    alone = through(mesh, inbound, ("baggage", b"a=1," + member + b",b=2"))
    assert (alone.received("x-lane"), alone.received("baggage")) == (["red"], ["lane=red,a=1,b=2"])
    other = through(mesh, inbound, ("x-lane", "gray"), ("baggage", b"a=1," + member), ("baggage", "b=2"))
    assert (other.received("x-lane"), other.received("baggage")) == (["gray"], ["lane=gray,a=1,b=2"])
    if not inbound:
        assert (alone.json["name"], other.json["name"]) == ("Ared", "Agray")


@pytest.mark.parametrize("inbound", [True, False])
def test_sidecars_and_headers_at_random(mesh: Mesh, inbound: bool) -> None:
    pick = random.Random(SEED)
    for _ in range(COUNT // 4):
        lines = spellings.header(pick, (b"lane",), b"red")
        answer = through(mesh, inbound, ("x-lane", "gray"), *sent(lines))
        (line,) = lines_of(answer)
        mine, *rest = spellings.split([line])
        kept = [m for m in spellings.split(lines) if b"lane" not in spellings.readings(m)]
        assert (mine, rest) == (b"lane=gray", kept[: len(rest)]), f"seed {SEED}: {lines!r}"
        assert answer.received("x-lane") == ["gray"]


@pytest.mark.parametrize("inbound", [True, False])
def test_a_sidecar_makes_one_line(mesh: Mesh, inbound: bool) -> None:
    """Some agents read the first line alone, others forget members of several at random."""
    answer = through(mesh, inbound, ("x-lane", "gray"), ("baggage", "lane=gray"), ("baggage", "a=1"))
    assert answer.received("baggage") == ["lane=gray,a=1"]
    untouched = through(mesh, inbound, ("baggage", "a=1"), ("baggage", "Lane=1"))
    assert untouched.received("baggage") == ["a=1", "Lane=1"]


@pytest.mark.parametrize("byte", [*range(1, 9), 11, 12, *range(14, 32), 127])
def test_raw_controls_do_not_get_in_with_a_lane(mesh: Mesh, byte: int) -> None:
    for member in (b"%clane=red" % byte, b"lane%c=red" % byte, b"la%cne=red" % byte):
        with Client(mesh.edge_address) as client:
            answer = client.get("/a", ("baggage", b"a=1," + member + b",b=2"))
        assert answer.status == 400 or spellings.split(lines_of(answer)) == spellings.others_of(
            [b"a=1," + member + b",b=2"], NAMES
        )


def test_what_is_too_long_is_cut_between_members(mesh: Mesh) -> None:
    """W3C and agents have 8192 bytes: some drop all of a longer header, some forget its end."""
    many = [b"k%04d=%s" % (n, b"v" * 93) for n in range(500)]  # 100 bytes each, with the comma
    forged = b",".join([*many, b"%6Cane=red", b"lane=red"])
    before = mesh.stats(mesh.edge_admin, "laneway.baggage_cut")
    plain = mesh.edge.get("/a", ("baggage", forged))
    assert (plain.json["name"], lines_of(plain)) == ("A", [b",".join(many[:81])])
    coloured = mesh.edge.get("/a", CANARY, ("baggage", forged))
    (line,) = lines_of(coloured)
    assert line == b",".join([b"lane=gray", *many[: line.count(b",")]])
    assert 7900 < len(line) <= 8192
    whole = b"a=" + b"x" * 8190
    assert lines_of(mesh.edge.get("/a", ("baggage", whole))) == [whole]
    assert lines_of(mesh.edge.get("/a", ("baggage", whole + b"x"))) == []
    until(
        lambda: mesh.stats(mesh.edge_admin, "laneway.baggage_cut") == before + 3,
        10,
        "the count of cut headers",
    )
    nearly = b"a=" + b"x" * 7990
    assert lines_of(mesh.edge.get("/a", CANARY, ("baggage", nearly))) == [b"lane=gray," + nearly]
    for inbound in (True, False):
        answer = through(mesh, inbound, ("x-lane", "gray"), ("baggage", forged))
        assert lines_of(answer) == [line]


HOSTILE = (
    b"%41,",
    b"a,",
    b"lane=1,",
    b"+lane=1,",
    b"%25",
    b" ",
    b"+",
    b"=",
    b"+==+",
    b";",
    b"%20",
    b"%E2%80%8B",
    b"/",
)


def busy(child: Child | None) -> float:
    """Seconds that all threads of a process have been on a processor."""
    assert child is not None
    tasks = Path(f"/proc/{child.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_in_proportion_to_bytes(mesh: Mesh, unit: bytes) -> None:
    """At the sidecar, which reads all; the edge reads 8192 bytes."""

    def cost(size: int) -> float:
        value = b"a" + unit * (size // len(unit)) + b"b=1"
        began = busy(mesh.pods["B"].envoy)
        for _ in range(3):
            assert through(mesh, True, ("x-lane", "gray"), ("baggage", value)).status == 200
        return busy(mesh.pods["B"].envoy) - began

    cost(1000)
    rounds = [(cost(12_000), cost(48_000)) for _ in range(3)]
    assert min(large / small for small, large in rounds) < 8, rounds


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[Agent]]:
    """Python, Java, JavaScript, Go; Micrometer with Brave as Spring Boot 3 has it; an older one for Java."""
    made: list[Agent] = [Python()]
    try:
        made += [java("opentelemetry"), java("brave"), node(), go(tmp_path), java("opentelemetry", "1.60.0")]
        yield made
    finally:
        for agent in made:
            agent.close()


def travel(
    mesh: Mesh, egress: Client, agents: Sequence[Agent], pick: random.Random, lines: list[bytes]
) -> None:
    """What each agent reads of a request with these lines behind the edge; and what some of them, one behind
    the other with a sidecar after each, make of it.
    """
    for chosen, headers in ((None, []), ("gray", [CANARY])):
        received = lines_of(mesh.edge.get("/a", *headers, *sent(lines)))
        what = f"seed {SEED}: {lines!r} in lane {chosen}"
        for agent in agents:
            for charset in ("latin-1", "utf-8"):
                lane = named(agent, received, charset)
                assert lane == chosen or (lane is None and agent.forgets), (agent.name, what)
        for agent in pick.choices([agent for agent in agents if not agent.forgets], k=3):
            written = agent.read(received, "latin-1").written
            answer = egress.request(
                "GET", "http://sc-A/a", [("baggage", written)] if written else [], host="sc-A"
            )
            assert answer.json["name"] == f"A{chosen or ''}", (agent.name, what)
            assert answer.received("x-lane") == ([chosen] if chosen else []), (agent.name, what)
            received = lines_of(answer)
            assert named(agent, received, "latin-1") == chosen, (agent.name, what)


def named(agent: Agent, lines: Sequence[bytes], charset: str) -> str | None:
    return agent.read(lines, charset).members.get("lane")


def travel_at_random(mesh: Mesh, agents: Sequence[Agent], count: int) -> int:
    """How many of the headers some agent reads the forged lane in, where no edge stands before it."""
    pick = random.Random(SEED)
    made = [[b"a=1," + member, member + b",b=2"] for member in SPELT]
    for _ in range(count):
        make = spellings.heavy(pick) if pick.random() < 0.1 else spellings.header(pick, NAMES, b"red")
        made.append(make)
    fooled = 0
    with Client((mesh.pods["B"].address, 15001)) as egress:
        for lines in made:
            fooled += any(named(agent, lines, "latin-1") == "red" for agent in agents)
            travel(mesh, egress, agents, pick, lines)
    return fooled


def test_what_the_agent_for_python_reads(mesh: Mesh) -> None:
    assert travel_at_random(mesh, [Python()], COUNT) > 10 + COUNT / 100


@pytest.mark.mesh
@pytest.mark.timeout(1200)
def test_what_all_agents_read(mesh: Mesh, agents: list[Agent], capsys: pytest.CaptureFixture[str]) -> None:
    fooled = travel_at_random(mesh, agents, MANY)
    with capsys.disabled():
        names = ", ".join(agent.name for agent in agents)
        print(f"\nbaggage: seed {SEED}, {MANY + len(SPELT)} headers, {fooled} of them forge a lane;")
        print(f"none got through for {names}")
    assert fooled > 20 + MANY / 50
