"""20,000 requests with lanes, errors, kills and switches: every count is what client and applications saw."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(900)]

REQUESTS = 20_000
BATCH = 500


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Iterator[Mesh]:
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray1", "Cgray2")
    mesh.start(
        route("a", "sc-A"),
        route("b", "sc-B"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        group("shares", *APPLICATIONS),
        lane("tenth", of="shares", tag="gray", ratio={"percent": 10}),
    )
    return mesh


def asked(mesh: Mesh, what: str) -> Any:
    return mesh.rest.get(f"/v1/metrics/{what}?window=14m&step=1m")


def by(items: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    return {item[name]: item for item in items}


def test_counts_of_twenty_thousand_requests(mesh: Mesh) -> None:
    chance = random.Random(3)
    edge: Counter[tuple[str, str, int]] = Counter()  # route, lane that A or B was told, status
    last: Counter[str] = Counter()
    while sum(edge.values()) < REQUESTS:
        number = sum(edge.values()) // BATCH
        if number % 8 == 3:
            mesh.kill(mesh.pods["Cgray1"].app)
        elif number % 8 == 5:
            mesh.start_apps([mesh.pods["Cgray1"]])
        elif number % 8 in (6, 7):
            switch = "disable" if number % 8 == 6 else "enable"
            mesh.rest.call("POST", f"/v1/lane-groups/order-flow/lanes/gray/{switch}")
        for _ in range(BATCH):
            path = chance.choice(("a", "a", "b"))
            headers: list[Any] = [("canary", "gray")] if chance.random() < 0.4 else []
            if chance.random() < 0.05:
                headers += [("x-fail", "C=503 a:b"), ("x-fail", "Cgray1=503 a:b")]
            answer = mesh.edge.get(f"/{path}", *headers)
            told = answer.lane or "" if answer.status == 200 else "?"
            edge[path, told, answer.status] += 1
            last[answer.chain[-1] if answer.status == 200 else f"failed {answer.status}"] += 1
    whole = sum(edge.values())
    until(lambda: asked(mesh, "gateways/edge")["total"]["requests"] >= whole, 30, "the edge's report")
    until(lambda: asked(mesh, "services/sc-C")["total"]["requests"] >= whole, 30, "the reports of B")
    time.sleep(11)  # the receivers' last reports: there is nothing else to wait for if one counted too much
    found = asked(mesh, "gateways/edge")
    failed = sum(count for key, count in edge.items() if key[2] >= 500)
    print({"edge": dict(edge), "last": dict(last)})
    print([(one["lane"], one["requests"], one["fallbacks"], one["exceptions"]) for one in found["lanes"]])
    assert found["total"]["requests"] == whole
    assert found["total"]["exceptions"] == failed
    routes = by(found["routes"], "route")
    for path in ("a", "b"):
        assert routes[path]["requests"] == sum(count for key, count in edge.items() if key[0] == path)
    lanes = by(found["lanes"], "lane")
    for name in ("", "gray", "tenth"):
        # The client does not see the lane of requests that failed.
        seen = sum(count for key, count in edge.items() if key[1] == name)
        assert seen <= lanes[name]["requests"]
        assert lanes[name]["requests"] - lanes[name]["exceptions"] == seen
    c = asked(mesh, "services/sc-C")
    tags = by(c["tags"], "tag")
    print([(one["tag"], one["requests"], one["exceptions"], one["retries"]) for one in c["tags"]])
    assert tags["gray"]["requests"] - tags["gray"]["exceptions"] == last["Cgray1"] + last["Cgray2"]
    assert tags["base"]["requests"] - tags["base"]["exceptions"] == last["C"]
    assert c["total"]["requests"] == whole
    assert asked(mesh, "services/sc-A")["received"]["requests"] == routes["a"]["requests"]
    assert asked(mesh, "services/sc-B")["received"]["requests"] == whole
    assert found["gaps"] == []


def test_a_sidecar_that_is_killed_loses_at_most_its_last_interval(mesh: Mesh) -> None:
    before = asked(mesh, "services/sc-C")["total"]["requests"]
    for _ in range(200):
        mesh.edge.get("/b")
    until(lambda: asked(mesh, "services/sc-C")["total"]["requests"] == before + 200, 30, "the reports of B")
    pod = mesh.pods["B"]
    mesh.kill(pod.envoy)
    mesh.start_sidecars([pod])
    mesh.wait_ready("B")
    until(lambda: mesh.edge.get("/b").status == 200, 10, "B behind its new sidecar")
    sent = 100
    for _ in range(sent):
        mesh.edge.get("/b")
    until(lambda: asked(mesh, "services/sc-C")["total"]["requests"] >= before + 200 + sent, 30, "reports")
    time.sleep(11)
    after = asked(mesh, "services/sc-C")
    assert before + 200 + sent <= after["total"]["requests"] <= before + 200 + sent + 20
    assert [gap["why"] for gap in after["gaps"] if gap["node"] == "sidecar~B"] == ["restarted"]


def test_a_lane_that_is_deleted_takes_its_series_along(mesh: Mesh) -> None:
    mesh.edge.get("/b", ("canary", "gray"))
    until(lambda: "gray" in by(asked(mesh, "gateways/edge")["lanes"], "lane"), 20, "the series")
    mesh.rest.call("DELETE", "/v1/lane-groups/order-flow/lanes/gray")
    until(
        lambda: "gray" not in by(asked(mesh, "gateways/edge")["lanes"], "lane"), 15, "the end of the series"
    )
