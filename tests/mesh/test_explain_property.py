"""POST /v1/explain and a real edge Envoy agree, for random definitions and random requests.

LANEWAY_EXPLAIN_SEED repeats a run, LANEWAY_EXPLAIN_ROUNDS makes a longer one (default: 24 rounds of 100
requests).
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

import pytest

from tests.mesh.client import Answer, Client, Header, until
from tests.mesh.documents import header, lane, rule
from tests.mesh.harness import Mesh
from tests.mesh.random_definitions import PROBE, SERVICES, SOURCES, Generator

ROUNDS = int(os.environ.get("LANEWAY_EXPLAIN_ROUNDS", "24"))
REQUESTS = 100
SEED = int(os.environ.get("LANEWAY_EXPLAIN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


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
    routes = {r["name"]: r.get("service") for r in made.routes}
    method, host, path, headers = request
    body = {"gateway": "edge", "method": method, "host": host, "path": path, "headers": headers}
    source = made.random.choice(SOURCES)
    explained = mesh.rest.done("POST", "/v1/explain", body | {"client_address": source})
    with Client(mesh.edge_address, source) as client:
        answer: Answer = client.request(method, path, headers, host=host)
    what = f"seed {SEED}: {source} {request}\nexplained: {explained}\n"
    what += f"answer: {answer.status} {answer.body[:400]!r}"
    if explained["route"] is None:
        refused = re.search("the edge answers ([0-9]+)", explained["reason"])
        assert answer.status == (int(refused[1]) if refused else 404), what
        return False
    if routes[explained["route"]] is None:
        assert (answer.status, answer.body.decode()) == (418, explained["route"]), what
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
    gateway = mesh.gateway(trust_client_lane=made.trusting, trusted_hops=made.hops)
    mesh.apply(gateway, *made.documents)
    probe = f"probe-{made.number}"

    def arrived() -> bool:
        lines = [("probe", "1"), ("x-forwarded-for", PROBE)]
        with Client(mesh.edge_address, SOURCES[0]) as client:  # an open connection keeps its old listener
            answer = client.request("GET", f"/{probe}", lines, host=f"{probe}.test")
        return answer.status == 200 and answer.received("x-lane") == [probe]

    try:
        until(arrived, 10, f"round {made.number} of seed {SEED}")
    except AssertionError:
        mesh.check_accepted()
        raise


@pytest.mark.mesh
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
