"""What the control plane says of traffic is what the client and the applications saw, on real Envoys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until

GRAY = ("canary", "gray")
FULL = ("Agray", "B", "Cgray")
BASE = ("A", "B", "C")
FAILS = ("x-fail", "C=503 a:b")
STRICT = ("canary", "strict")


class Sent:
    """Requests of the test, by lane, chain of applications and status."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.seen: Counter[tuple[str, tuple[str, ...], int]] = Counter()

    def send(self, lane: str, *headers: Any) -> tuple[str, ...]:
        answer = self.mesh.edge.get("/a", *headers)
        chain = tuple(answer.chain) if answer.status == 200 else ()
        self.seen[lane, chain, answer.status] += 1
        return chain

    def where(self, lane: str | None = None, last: str | None = None, failed: bool | None = None) -> int:
        """How many requests were in that lane, ended at that instance of C, failed."""
        return sum(
            count
            for (one, chain, status), count in self.seen.items()
            if lane in (None, one)
            and (last is None or (chain and chain[-1] == last))
            and failed in (None, status >= 500)
        )


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Iterator[Mesh]:
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray")
    mesh.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        lane("strict", tag="nobody", fallback={"spring-cloud-a": "none"}),
    )
    return mesh


def asked(mesh: Mesh, what: str) -> Any:
    return mesh.rest.get(f"/v1/metrics/{what}?window=10m&step=1m")


def by(items: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    return {item[name]: item for item in items}


def test_counts_are_what_client_and_applications_saw(mesh: Mesh) -> None:
    sent = Sent(mesh)
    until(lambda: sent.send("gray", GRAY) == FULL, 10, "the lane")
    for number in range(120):
        sent.send("gray" if number % 3 else "", *([GRAY] if number % 3 else []))
    for _ in range(5):
        sent.send("gray", GRAY, FAILS, ("x-fail", "Cgray=503 a:b"))
        sent.send("", FAILS)
        sent.send("strict", STRICT)
    assert sent.where("strict", failed=True) == 5
    whole = Counter(sent.seen)
    mesh.kill(mesh.pods["Cgray"].app)
    for _ in range(20):
        assert sent.send("gray", GRAY) == ("Agray", "B", "C")
    fell_back = sum((sent.seen - whole).values())

    until(lambda: asked(mesh, "gateways/edge")["total"]["requests"] == sent.where(), 20, "the edge's report")
    until(
        lambda: asked(mesh, "applications/spring-cloud-c")["total"]["requests"] == sent.where() - 5, 20, "B's"
    )

    edge = asked(mesh, "gateways/edge")
    lanes = by(edge["lanes"], "lane")
    assert {name: one["requests"] for name, one in lanes.items()} == {
        name: sent.where(name) for name in ("", "gray", "strict")
    }
    assert edge["total"]["exceptions"] == sent.where(failed=True)
    assert edge["total"]["latency"]["p99"] > 0
    assert lanes["strict"]["refusals"] == 5
    assert by(edge["routes"], "route")["a"]["requests"] == sent.where()
    assert asked(mesh, "gateways/edge/routes/a")["total"]["requests"] == sent.where()

    c = asked(mesh, "applications/spring-cloud-c")
    tags = by(c["tags"], "tag")
    failed = sent.where("gray", failed=True)
    assert tags["gray"]["requests"] == c["gray"]["requests"] == sent.where(last="Cgray") + failed
    assert tags["base"]["requests"] == sent.where(last="C") + sent.where("", failed=True)
    assert c["total"]["exceptions"] == sent.where(failed=True) - 5
    assert by(c["lanes"], "lane")["gray"]["fallbacks"] == fell_back

    found = asked(mesh, "lanes/gray")
    services = by(found["services"], "service")
    assert found["edge"]["requests"] == sent.where("gray")
    assert found["share"] == round(sent.where("gray") / sent.where(), 6)
    assert services["file///sc-A"]["lane"]["fallbacks"] == 0
    assert services["file///sc-B"]["lane"]["fallbacks"] == sent.where("gray")
    assert services["file///sc-C"]["base"]["requests"] == sent.where("")
    received = asked(mesh, "services/sc-B")["received"]["requests"]
    assert received == sent.where() - 5
    check_metrics(mesh, sent, fell_back)
    assert found["gaps"] == []
    assert found["proxies"] == {"connected": 6, "reporting": 6}


def check_metrics(mesh: Mesh, sent: Sent, fell_back: int) -> None:
    """/metrics is what Prometheus reads, by its conventions, with the same numbers."""
    families = list(text_string_to_metric_families(mesh.rest.call("GET", "/metrics").body.decode()))
    assert len({one.name for one in families}) == len(families)
    found: Counter[tuple[str, ...]] = Counter()
    for family in families:
        if family.name.startswith("laneway_"):
            assert family.documentation
            assert re.fullmatch("[a-z][a-z_]*[a-z]", family.name)
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total")
            found[sample.name, sample.labels.get("service", ""), sample.labels.get("lane", "")] += int(
                sample.value if sample.labels.get("le", "+Inf") == "+Inf" else 0
            )
    of_edge = sum(v for k, v in found.items() if k[:2] == ("laneway_requests_total", "file///sc-A"))
    assert of_edge == sent.where()
    assert found["laneway_fallbacks_total", "file///sc-C", "gray"] == fell_back
    assert found["laneway_fallbacks_total", "file///sc-B", "gray"] == sent.where("gray")
    c = sum(v for k, v in found.items() if k[:2] == ("laneway_request_duration_seconds_count", "file///sc-C"))
    assert c == sent.where() - 5
    assert found["laneway_proxies", "", ""] == 6
