"""POST /v1/explain and a real edge Envoy agree, for random definitions and random requests.

LANEWAY_EXPLAIN_SEED repeats a run, LANEWAY_EXPLAIN_ROUNDS makes a longer one (default: 24 rounds of 100
requests).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.mesh.client import Answer, Header, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh

ROUNDS = int(os.environ.get("LANEWAY_EXPLAIN_ROUNDS", "24"))
REQUESTS = 100
SEED = int(os.environ.get("LANEWAY_EXPLAIN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SERVICES = ("s0", "s1", "s2", "s3")
KEYS = ("k1", "k2", "Uid")
VALUES = (
    "a",
    "b",
    "gray",
    "v1",
    "v22",
    "x,y",
    "ü",
    "a b",
    "1",
    "",
    "lane=red",
    "%61",
    "a+b",
    '"q"',
    "=",
    "Z",
)
REGEXES = ("v[0-9]+", "[a-z]+", ".*", "a|b", "gray|", "(?i)z", "x,.", "[^a]*", "a b?", "v.{1,2}")
HOSTS = ("shop.test", "*.test", "*.shop.test", "a.shop.test", "other.example")
SENT_HOSTS = (
    *(h.replace("*", "b") for h in HOSTS),
    "Shop.Test:8080",
    "c.b.shop.test",
    "nowhere",
    "127.0.0.1:80",
)
PATHS: tuple[dict[str, str], ...] = (
    {"prefix": "/"},
    {"prefix": "/p"},
    {"prefix": "/p/"},
    {"prefix": "/p/q"},
    {"exact": "/p"},
    {"exact": "/p/q"},
    {"exact": "/p/q/"},
    {"regex": "/p/[a-z]+"},
    {"regex": "/.*"},
    {"regex": "/p(/q)?"},
    {"regex": "/r/[0-9]{1,3}"},
)
SENT_PATHS = (
    "/", "/p", "/p/", "/pq", "/p/q", "/p/q/", "/p/q/r", "/p//q", "/x/../p", "/p/./q", "/p/%2e%2e/p", "/r/1",
    "/r/1234", "/r/1/", "/p/Q", "/P", "/p/..", "//p", "/p/q%2Fr", "/p;a=1", "/%70", "/p/...",
    "/p%2Fq", "/x%5C..%5cp", "/p%2f..%2Fr/1", "/p/..;x=1/r/1", "/p/%252F", "/%2Fp",
)  # fmt: skip


class Generator:
    """Random definitions of one round; every name ends in the round's number."""

    def __init__(self, random_: random.Random, number: int) -> None:
        self.random = random_
        self.number = number
        self.routes: list[dict[str, Any]] = []
        self.groups: list[str] = []
        self.documents: list[dict[str, Any]] = []
        self.trusting = random_.random() < 0.25
        self.lanes: list[str] = []
        self._make()

    def _make(self) -> None:
        pick = self.random
        for index in range(pick.randint(1, 6)):
            more: dict[str, Any] = {"priority": pick.randint(1, 3)}
            if pick.random() < 0.6:
                more["hosts"] = pick.sample(HOSTS, pick.randint(1, 2))
            self.routes.append(
                route(f"r{index}-{self.number}", pick.choice(SERVICES), pick.choice(PATHS), **more)
            )
        names = [r["name"] for r in self.routes]
        sticky = pick.choice([None, {"header": "k1"}, {"cookie": "sid"}])
        left = dict.fromkeys(names, 100.0)
        lanes: list[dict[str, Any]] = []
        for index in range(pick.randint(1, 3)):
            of = f"g{index}-{self.number}"
            self.groups.append(of)
            self.documents.append(group(of, *pick.sample(SERVICES, pick.randint(1, 4))))
            ratio = pick.random() < 0.3
            for _ in range(pick.randint(1, 5)):
                more = {"priority": pick.randint(1, 3), "enabled": pick.random() < 0.9}
                if pick.random() < 0.3:
                    more["routes"] = pick.sample(names, pick.randint(1, len(names)))
                name = f"{pick.choice('abcdefgh')}{len(lanes)}-{self.number}"
                if ratio:
                    share = round(pick.uniform(0, 30), 2)
                    covered = more.get("routes", names)
                    if any(left[r] < share for r in covered):
                        continue
                    for covered_route in covered:
                        left[covered_route] -= share
                    more["ratio"] = {"percent": share, **({"sticky": sticky} if sticky else {})}
                else:
                    conditions = [self._condition() for _ in range(pick.randint(1, 3))]
                    more["rule"] = rule(*conditions, match=pick.choice(["all", "any"]))
                lanes.append(lane(name, of, pick.choice(["t1", "t2"]), **more))
        # What tells that the edge has this round: a route and a lane of its own.
        probe = f"probe-{self.number}"
        self.routes.append(route(probe, "s0", {"exact": f"/{probe}"}, hosts=[f"{probe}.test"]))
        self.groups.append(probe)
        self.documents.append(group(probe, "s0"))
        lanes.append(lane(probe, probe, "t1", routes=[probe], rule=rule(header("probe", "1")), priority=0))
        self.documents = [*self.routes, *self.documents, *lanes]
        self.lanes = [document["name"] for document in lanes]

    def _condition(self) -> dict[str, Any]:
        pick = self.random
        operator = pick.choice(["==", "==", "!=", "in", "percentage", "regex"])
        value: Any = pick.choice(VALUES)
        source = pick.choice(["header", "query", "cookie"])
        if operator == "in":
            value = pick.sample(VALUES, pick.randint(1, 3))
        elif operator == "percentage":
            value = pick.choice([0, 1, 30, 50, 99, 100])
        elif operator == "regex":
            value = pick.choice(REGEXES)
        return {"source": source, "name": pick.choice(KEYS), "operator": operator, "value": value}

    def request(self) -> tuple[str, str, str, list[Header]]:
        pick = self.random
        headers: list[Header] = []
        for key in KEYS:
            for _ in range(pick.choice([0, 0, 1, 1, 2])):
                headers.append((pick.choice([key, key.upper()]), pick.choice(VALUES)))
        for _ in range(pick.choice([0, 1, 1, 2])):
            cookies = [
                f"{pick.choice((*KEYS, 'sid'))}={pick.choice(VALUES)}" for _ in range(pick.randint(1, 3))
            ]
            headers.append(("cookie", pick.choice(["; ", ";"]).join(cookies)))
        if pick.random() < 0.15:
            headers.append(
                pick.choice([("x-lane", "a0-1"), ("baggage", "z=1,lane=b0-1"), ("x-laneway-h-1", "a")])
            )
        if pick.random() < 0.3:
            name = pick.choice([*self.lanes, "nobody", ""])
            lines = [
                f"lane={name}",
                f"a=1, lane = {name};p=1",
                f"lane={name},lane",
                f"Lane={name}",
                f"b=2,lane={name},c",
                f"%6Cane={name}",
                f"lane={name},+l%2561ne={self.lanes[0]};p",
                f"a=1=lane%C2%A0={name},;lane",
                f"lane={name},{'x' * 8192},lane=nobody",
                f"; lane ={name},lane;x=lane",
            ]
            headers.append(pick.choice([("x-lane", name), ("baggage", pick.choice(lines))]))
        path = pick.choice(SENT_PATHS)
        pairs = []
        for _ in range(pick.choice([0, 1, 2, 3])):
            value = pick.choice(VALUES)
            encoded = pick.choice([quote(value, safe=""), quote(value, safe="").replace("%20", "+")])
            pairs.append(pick.choice([f"{pick.choice(KEYS)}={encoded}", pick.choice(KEYS)]))
        if pairs:
            path += "?" + "&".join(pairs)
        return pick.choice(["GET", "POST"]), pick.choice(SENT_HOSTS), path, headers


def started(mesh: Mesh) -> Mesh:
    for number, service in enumerate(SERVICES):
        for tag in ("", "t1", "t2"):
            mesh.pod(f"{service}{tag}", service, service, tag=tag, sidecar=False, port=20001 + number)
    return mesh.start()


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    return started(new_mesh(drain=0.0))


@pytest.fixture(scope="module")
def draining(new_mesh: Callable[..., Mesh]) -> Mesh:
    """No drain of its lanes ends while a test runs."""
    return started(new_mesh(drain=3600.0))


def compare(mesh: Mesh, request: tuple[str, str, str, list[Header]], made: Generator) -> bool | None:
    """Fails where they differ. None where chance decides, else whether a lane was chosen."""
    routes = {r["name"]: r["service"] for r in made.routes}
    method, host, path, headers = request
    body = {"gateway": "edge", "method": method, "host": host, "path": path, "headers": headers}
    explained = mesh.rest.done("POST", "/v1/explain", body)
    answer: Answer = mesh.edge.request(method, path, headers, host=host)
    what = f"seed {SEED}: {request}\nexplained: {explained}\nanswer: {answer.status} {answer.body[:400]!r}"
    if explained["route"] is None:
        assert answer.status == 404, what
        return False
    assert answer.status == 200, what
    service = answer.json["name"].removesuffix("t1").removesuffix("t2")
    assert service == routes[explained["route"]], what
    got = answer.received("x-lane")
    if "candidates" in explained:
        likely = [c["lane"] for c in explained["candidates"] if c["share"] > 0]
        assert (got[0] if got else None) in likely, what
        return None
    if not (made.trusting and explained["lane"] is None):  # a lane that is not known stays on the request
        assert (got[0] if got else None) == explained["lane"], what
    served = [i for hop in explained["hops"] if hop["service"].endswith(service) for i in hop["instances"]]
    if explained["lane"] is None or served:
        name = answer.json["name"]
        pod = mesh.pods[name]
        assert f"{pod.address}:{pod.port}" in served, what
    return explained["lane"] is not None


def served(mesh: Mesh, made: Generator, before: Generator | None) -> None:
    """Replace what the round `before` defined by what `made` defines, and wait until the edge has it."""
    if before is not None:
        for name in before.groups:
            mesh.rest.done("DELETE", f"/v1/lane-groups/{name}")
        for old in before.routes:
            mesh.rest.done("DELETE", f"/v1/gateways/edge/routes/{old['name']}")
    mesh.apply(mesh.gateway(trust_client_lane=made.trusting), *made.documents)
    probe = f"probe-{made.number}"

    def arrived() -> bool:
        answer = mesh.edge.request("GET", f"/{probe}", [("probe", "1")], host=f"{probe}.test")
        return answer.status == 200 and answer.received("x-lane") == [probe]

    try:
        until(arrived, 10, f"round {made.number} of seed {SEED}")
    except AssertionError:
        mesh.check_accepted()
        raise


@pytest.mark.timeout(60 + ROUNDS * 10)
def test_explain_is_what_the_edge_does(mesh: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    random_ = random.Random(SEED)
    compared = chosen = by_chance = 0
    before: Generator | None = None
    for number in range(1, ROUNDS + 1):
        made = Generator(random_, number)
        served(mesh, made, before)
        before = made
        for _ in range(REQUESTS):
            outcome = compare(mesh, made.request(), made)
            compared += 1
            chosen += outcome is True
            by_chance += outcome is None
    with capsys.disabled():
        print(f"\nexplain: seed {SEED}, {compared} compared, {chosen} in a lane, {by_chance} by chance")
    assert compared >= 2000 or ROUNDS < 20
    assert chosen > compared / 20


@pytest.mark.timeout(60 + ROUNDS * 5)
def test_explain_is_what_the_edge_does_while_lanes_drain(draining: Mesh) -> None:
    """Half of the lanes get another tag: until their colour has drained, the edge gives it to nobody."""
    random_ = random.Random(SEED + 1)
    before: Generator | None = None
    for number in range(1, max(2, ROUNDS // 4) + 1):
        made = Generator(random_, number)
        served(draining, made, before)
        before = made
        moved = [one for one in made.documents if one["kind"] == "Lane" and random_.random() < 0.5]
        moved = [one | {"tag": "t1" if one["tag"] == "t2" else "t2"} for one in moved]
        # What tells that the edge has it: a lane of a name of its own, which has nothing to drain.
        mark = lane(
            f"mark-{number}",
            f"probe-{number}",
            "t1",
            routes=[f"probe-{number}"],
            rule=rule(header("probe", "2")),
            priority=0,
        )
        draining.apply(*moved, mark)

        def arrived(name: str = f"mark-{number}", path: str = f"probe-{number}") -> bool:
            answer = draining.edge.request("GET", f"/{path}", [("probe", "2")], host=f"{path}.test")
            return answer.status == 200 and answer.received("x-lane") == [name]

        until(arrived, 10, f"the drain of round {number} of seed {SEED}")
        for _ in range(REQUESTS // 2):
            compare(draining, made.request(), made)
