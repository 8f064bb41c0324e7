"""20,000 requests with lanes, errors, kills and switches: every count is what client and applications saw."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mesh.client import Answer
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(900)]

REQUESTS = 20_000
RETRIES = "laneway_retries_total"
FALLBACKS = "laneway_fallbacks_total"
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


Count = tuple[str, str, str, str]
"""Who counted (edge, callers, receivers), the service, the lane, the tag of who answered."""


class Seen:
    """What the client sent and got, and what the applications say that they got, from one answer each."""

    def __init__(self) -> None:
        self.requests: Counter[Count] = Counter()
        self.failed: Counter[Count] = Counter()
        self.sent = self.failures = 0

    def take(self, answer: Answer) -> None:
        """Each application of the chain says in its part of the answer who it is and which lane it got."""
        self.sent += 1
        self.failures += answer.status >= 500
        one = answer.json
        counted_by = "edge"
        while one is not None:
            letter, tag = one["name"][0], one["name"][1:].rstrip("0123456789")
            lane = next((value for name, value in one["headers"] if name == "x-lane"), "")
            for who in (counted_by, "receivers"):
                of = (who, f"sc-{letter}", lane, tag or "base")
                self.requests[of] += 1
                self.failed[of] += answer.status >= 500
            counted_by, one = "callers", one.get("next")


def counted(mesh: Mesh) -> tuple[Counter[Count], Counter[Count], Counter[Count], Counter[Count]]:
    """Requests, failed ones, fallbacks and retries, as /metrics has them."""
    requests, failed, fallbacks, retries = (Counter[Count]() for _ in range(4))
    text = mesh.rest.call("GET", "/metrics").body.decode()
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        received = sample.name == "laneway_received_requests_total"
        if not received and sample.name not in ("laneway_requests_total", FALLBACKS, RETRIES):
            continue
        labels = sample.labels
        who = "receivers" if received else "edge" if labels["gateway"] else "callers"
        of = (who, labels["service"].removeprefix("file///"), labels["lane"], labels["tag"])
        if sample.name in (FALLBACKS, RETRIES):
            (fallbacks if sample.name == FALLBACKS else retries)[of] += int(sample.value)
            continue
        requests[of] += int(sample.value)
        failed[of] += int(sample.value) * (labels["result"] in ("server_error", "reset"))
    return +requests, +failed, +fallbacks, +retries


def table(seen: Seen, found: Counter[Count], failed: Counter[Count], retries: Counter[Count]) -> str:
    """Every kind of request beside what the control plane says of it."""
    lines = [
        "| counted by | service | lane | tag | applications: requests, failed | control plane | retries |",
        "| --- | --- | --- | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {' | '.join(of)} | {seen.requests[of]}, {seen.failed[of]} "
        f"| {found[of]}, {failed[of]} | {retries[of]} |"
        for of in sorted({*seen.requests, *found})
    ]
    return "\n".join(lines)


def test_counts_of_twenty_thousand_requests(mesh: Mesh) -> None:
    chance = random.Random(3)
    seen = Seen()
    while seen.sent < REQUESTS:
        number = seen.sent // BATCH
        if number % 8 == 3:
            mesh.kill(mesh.pods["Cgray1"].app)
        elif number % 8 == 5:
            mesh.start_apps([mesh.pods["Cgray1"]])
        elif number % 8 in (6, 7):
            switch = "disable" if number % 8 == 6 else "enable"
            mesh.rest.call("POST", f"/v1/lane-groups/order-flow/lanes/gray/{switch}")
        for _ in range(BATCH):
            path = chance.choice(("/a", "/a", "/b"))
            headers: list[Any] = [("canary", "gray")] if chance.random() < 0.4 else []
            if chance.random() < 0.05:
                headers += [("x-fail", "C=503 a:b"), ("x-fail", "Cgray1=503 a:b")]
            seen.take(mesh.edge.get(path, *headers))

    def of(counts: Counter[Count], who: str) -> dict[Count, int]:
        return {kind: count for kind, count in counts.items() if kind[0] == who and count}

    def sums(who: str) -> int:
        return sum(of(counted(mesh)[0], who).values())

    for who in ("edge", "callers", "receivers"):
        until(lambda w=who: sums(w) >= sum(of(seen.requests, w).values()), 30, f"the reports of {who}")
    time.sleep(11)  # the last reports: there is nothing else to wait for if one counted too much
    found, failed, fallbacks, retries = counted(mesh)
    print(f"\nclient: {seen.sent} requests, {seen.failures} failed\n{table(seen, found, failed, retries)}")
    for who in ("edge", "callers"):
        assert of(found, who) == of(seen.requests, who)
        assert of(failed, who) == of(seen.failed, who)
    answered_by_base = {
        kind for kind in seen.requests if kind[0] != "receivers" and kind[2] and kind[3] == "base"
    }
    assert fallbacks == {kind: seen.requests[kind] for kind in answered_by_base}
    # A sidecar whose application is dead counts each try that it had to refuse.
    dead = {
        kind: found[kind] - seen.requests[kind]
        for kind in {*of(found, "receivers"), *of(seen.requests, "receivers")}
        if found[kind] != seen.requests[kind]
    }
    assert dead == {("receivers", *kind[1:]): count for kind, count in retries.items()}
    assert {kind[1:2] + kind[3:] for kind in dead} == {("sc-C", "gray")}
    whole = asked(mesh, "gateways/edge")
    assert (whole["total"]["requests"], whole["total"]["exceptions"]) == (seen.sent, seen.failures)
    assert whole["gaps"] == []


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
