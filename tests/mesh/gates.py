"""Requests made of everything that filters look at, and pairs of real Envoys that get them.

A pair are two copies of what an Envoy has got: as it is, and with every filter on for every request.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from tests.mesh.client import Address, Answer, Client, Header, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.frozen import frozen, switched_off, ungated
from tests.mesh.harness import Mesh, listening

SEED = int(os.environ.get("GATES_SEED", "") or random.randrange(1 << 32))
COUNT = int(os.environ.get("GATES_COUNT", "") or 400)
"""Requests to each kind of proxy."""
COUNTERS = r"laneway\.(fallback|requests)"
VARYING = {"date", "x-envoy-upstream-service-time", "x-request-id"}

CARRIED: list[Sequence[Header]] = [
    [],
    [("x-lane", "gray")],
    [("x-lane", "red")],
    [("x-lane", "nobody")],
    [("x-lane", "strict")],
    [("x-lane", "")],
    [("x-lane", "gray"), ("x-lane", "red")],
    [("x-stage", "gray")],
]
MEMBERS: list[Sequence[Header]] = [
    [],
    [("baggage", "lane=gray")],
    [("baggage", "lane=gray,a=b")],
    [("baggage", "a=b")],
    [("baggage", "a=b, lane = red ;x=1,c=d")],
    [("baggage", "lane=gray"), ("baggage", "lane=red,k=v")],
    [("baggage", "lane=gray"), ("baggage", "a=b")],
    [("baggage", "lane=")],
    [("baggage", "%6Cane=red")],
    [("baggage", "lane=strict")],
    [("baggage", "stage=gray")],
]
OTHERS: list[Sequence[Header]] = [
    [],
    [("x-fail", "Agray=503 x-laneway-unreached: terminated")],
    [("x-fail", "A=200 x-laneway-served: sc-A"), ("x-fail", "Agray=200 x-laneway-foo: 1")],
    [
        ("x-laneway-foo", "1"),
        ("x-laneway-lane", "gray"),
        ("x-laneway-phase", "lifted"),
        ("x-laneway-path", "/q"),
    ],
    [("x-laneway-phase", "open"), ("x-laneway-rest", ",lane=red"), ("x-laneway-path", "/q")],
    [("x-laneway-c-63", "red"), ("x-laneway-q-63", "red"), ("x-envoy-foo", "2"), ("x-envoy-retry-on", "5xx")],
    [("cookie", "a=b"), ("cookie", "c=red")],
    [("cookie", "c=red")],
    [("cookie", "a=b,c; c=red")],
    [("user_id", "7")],
]
RULES: list[Sequence[Header]] = [
    [],
    [("canary", "gray")],
    [("canary", "red")],
    [("canary", "strict")],
    [("canary", "nobody")],
    [("canary", "none")],
    [("canary", "gray"), ("canary", "red")],
    [("user_id", "red")],
]
LINES = [
    ("GET", "/a", b""),
    ("GET", "/a?c=red&c=gray", b""),
    ("POST", "/a/b?x=/ab", b"x" * 900),
    ("HEAD", "/a", b""),
    ("DELETE", "/a//c", b""),
    ("PUT", "/a", b"y" * 70_000),
    ("GET", "/ab", b""),
    ("GET", "/a/%2e%2e;/a", b""),
    ("GET", "/a;x", b""),
    ("GET", "/exact?y", b""),
    ("POST", "/r/12?a=/r", b""),
    ("GET", "/r/x?c=red", b""),
]


EDGE = {"edge-request", "receive", "reply", "draws"}
OUTBOUND = {"outbound-request", "reply", "elsewhere", "on-demand", "forward-proxy"}
INBOUND = {"inbound-request"}
"""The filters that routes of each kind of proxy turn off."""
HOSTS = {"edge": "shop.example.com", "outbound": "sc-A", "inbound": "sc-B"}
LISTENERS = {"edge": "edge/", "outbound": "outbound", "inbound": "inbound"}

Request = tuple[str, str, bytes, list[Header]]


class Asking(Protocol):
    """A client with one connection."""

    def request(
        self, method: str, path: str, headers: Sequence[Header] = (), body: bytes = b"", host: str = ""
    ) -> Answer: ...

    def close(self) -> None: ...


def started(made: Mesh) -> Mesh:
    for tag in ("", "gray", "red"):
        made.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    made.pod("B", "sc-B", "other")
    made.pod("Bgray", "sc-B", "other", tag="gray")
    made.start(
        route("a", "sc-A"),
        route("exact", "sc-A", {"exact": "/exact"}),
        route("r", "sc-A", {"regex": "/r/[0-9]+"}),
        *groups(),
    )
    until(lambda: made.edge.get("/a", ("canary", "gray")).json["name"] == "Agray", 10, "the lanes")
    return made


def groups() -> list[dict[str, Any]]:
    """Lanes with instances and without, with the tag of another one, with and without fallback."""
    return [
        group("g", "app", "other"),
        lane("gray", "g"),
        lane("red", "g", rule=rule(header("canary", "red"), header("user_id", "red"), match="any")),
        lane("strict", "g", tag="red", fallback="none", rule=rule(header("canary", "strict"))),
        lane("nobody", "g", rule=rule(header("canary", "nobody"))),
        lane("none", "g", tag="nobody", fallback="none", rule=rule(header("canary", "none"))),
    ]


def requests(kind: str, count: int = COUNT) -> list[Request]:
    pick = random.Random(SEED)
    rules = RULES if kind == "edge" else [()]
    every = list(itertools.product(rules, CARRIED, MEMBERS, OTHERS, LINES))
    return [
        (*line, [*chosen, *carried, *members, *others, ("user", str(pick.randrange(100)))])
        for chosen, carried, members, others, line in pick.sample(every, min(count, len(every)))
    ]


def asked(client: Asking, host: str, method: str, path: str, body: bytes, headers: Sequence[Header]) -> Any:
    answer = client.request(method, path, headers, body, host)
    try:
        got = answer.json
        got["headers"] = sorted(h for h in got["headers"] if h[0] not in VARYING)
    except (ValueError, KeyError):
        got = answer.body
    return answer.status, sorted(h for h in answer.headers if h[0] not in VARYING), got


@contextlib.contextmanager
def copies(mesh: Mesh, kind: str, admin: Address, off: set[str]) -> Iterator[tuple[Address, Address]]:
    """Where two copies of the Envoy at `admin` listen: as it is, whose routes turn the filters `off` off, and
    with every filter on. What both have counted in the end is compared.
    """
    net = mesh.network
    ends: tuple[Address, Address] = ((f"{net}.240", 21000), (f"{net}.241", 21000))
    admins: list[Address] = [(f"{net}.240", 21001), (f"{net}.241", 21001)]
    source = frozen(admin, LISTENERS[kind], ends[0], admins[0])
    assert switched_off(source) == off
    other = ungated(frozen(admin, LISTENERS[kind], ends[1], admins[1]))
    children = [mesh.start_envoy(f"{kind}-{n}", config) for n, config in enumerate((source, other))]
    try:
        for end in ends:
            until(lambda e=end: listening(e), 20, f"the {kind} Envoy at {end[0]}")
        yield ends
        assert mesh.stats(admins[0], COUNTERS) == mesh.stats(admins[1], COUNTERS)
    finally:
        for child in children:
            mesh.kill(child)


def compare(
    mesh: Mesh,
    kind: str,
    admin: Address,
    off: set[str],
    connect: Callable[[Address], Asking] = Client,
    count: int = COUNT,
) -> None:
    """Both copies answer the same, over connections that `connect` makes."""
    with copies(mesh, kind, admin, off) as ends:
        same(requests(kind, count), HOSTS[kind], *(connect(end) for end in ends))


def same(asking: Sequence[Request], host: str, gated: Asking, plain: Asking) -> None:
    differ: list[str] = []
    statuses = set[int]()
    with contextlib.closing(gated), contextlib.closing(plain):
        for request in asking:
            ours, theirs = asked(gated, host, *request), asked(plain, host, *request)
            statuses.add(ours[0])
            if ours != theirs:
                differ.append(f"{request}\n  gated {ours}\n  all on {theirs}")
    assert not differ, f"seed {SEED}: {len(differ)} of {len(asking)} differ\n" + "\n".join(differ[:5])
    assert 200 in statuses, statuses
