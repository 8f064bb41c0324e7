"""Rule 13: a lane is promoted, rolled back, finished under load; no request fails or meets two versions."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.mesh.client import Client, Load, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, LANEWAY, Mesh, abc

GRAY = ("canary", "gray")
BLUE = ("canary", "blue")
OLD = ("A", "B", "C")
NEW = ("Agray", "Bgray", "Cgray")
LONG = int(os.environ.get("LANEWAY_TEST_PROMOTION", "0"))
"""Requests of a long run; some two thousand are sent without it."""
GROUP = "/v1/lane-groups/order-flow"


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh(drain=0.5)
    abc(made, "Agray", "Bgray", "Cgray", "Bblue")
    made.pod("D", "sc-D", "spring-cloud-d", next="sc-B")
    made.pod("Dgray", "sc-D", "spring-cloud-d", tag="gray", next="sc-B")
    made.start(
        route("a", "sc-A"), route("d", "sc-D"), group("order-flow", *APPLICATIONS), lane("gray"), lane("blue")
    )
    made.wait_chain(["Agray", "Bgray", "Cgray"], GRAY)
    made.wait_chain(["A", "Bblue", "C"], BLUE)
    return made


def load(mesh: Mesh, rate: float = 100.0) -> Load:
    requests = (("GET", [GRAY]), ("POST", []), ("GET", [BLUE]), ("GET", []))
    return mesh.load(
        *((method, "/a", headers, b"p" * 500 if method == "POST" else b"") for method, headers in requests),
        rate=rate,
    )


def check(sent: Load) -> None:
    failed = sent.failed()
    assert failed == [], f"{len(failed)} of {len(sent.sent)} failed, the first: {failed[:3]}"
    # A lane of its own falls back to either version meanwhile, hop by hop.
    mixed = {c: n for c, n in sent.chains().items() if c not in (OLD, NEW) and c[1:2] != ("Bblue",)}
    assert mixed == {}, f"{mixed} of {sent.chains()}"


def settled(mesh: Mesh, chain: tuple[str, ...]) -> None:
    """Until base requests take this way, and no edge colours them any more."""

    def met() -> bool:
        answer = mesh.edge.get("/a")
        return answer.status == 200 and tuple(answer.chain) == chain and answer.lane is None

    until(met, 20, f"base to be {chain}")


def called(mesh: Mesh, pod: str, service: str) -> list[str]:
    """The way of a call of this pod's own, which has no lane."""
    with Client((mesh.pods[pod].address, 15001)) as client:
        answer = client.request("GET", f"http://{service}/", host=service)
        assert answer.status == 200, answer.body
        return answer.chain


def command(mesh: Mesh, *arguments: str) -> subprocess.CompletedProcess[str]:
    server = f"http://{mesh.admin[0]}:{mesh.admin[1]}"
    return subprocess.run(
        [str(LANEWAY), *arguments, "--server", server], check=False, capture_output=True, text=True
    )


def done(mesh: Mesh, *arguments: str) -> str:
    result = command(mesh, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.mesh
def test_base_is_the_promoted_version_for_every_request_that_goes_to_base(mesh: Mesh) -> None:
    with load(mesh) as sent:
        tried = command(mesh, "promote", "order-flow", "gray", "--dry-run")
        assert (tried.returncode, mesh.chain("/a")) == (0, list(OLD))
        assert "1 of no version" in tried.stdout
        assert "lane gray is promoted" in done(mesh, "promote", "order-flow", "gray")
        settled(mesh, NEW)
        begun = len(sent.sent)
        sent.wait_for(150)
        assert {s.chain for s in sent.sent[begun + 10 :]} == {NEW, ("Agray", "Bblue", "Cgray")}
        # Calls without a lane, of the new version and of others; an application out of the group stays.
        assert called(mesh, "Agray", "sc-B") == ["Bgray", "Cgray"]
        assert called(mesh, "D", "sc-B") == ["Bgray", "Cgray"]
        assert mesh.chain("/d") == ["D", "Bgray", "Cgray"]
        refused = command(mesh, "finish", "order-flow")
        assert refused.returncode == 1
        assert "say no version" in refused.stderr
        shown = mesh.rest.done("POST", "/v1/explain", {"gateway": "edge", "path": "/a"})
        assert (shown["lane"], [one["tag"] for one in shown["hops"]]) == (None, ["gray"])
        assert "lane gray is rolled back" in done(mesh, "rollback", "order-flow")
        settled(mesh, OLD)
        assert called(mesh, "D", "sc-B") == ["B", "C"]
        sent.wait_for(50)
    check(sent)
    mesh.check_accepted()


def test_promoted_instances_that_cannot_be_reached_leave_base_to_the_untagged(mesh: Mesh) -> None:
    """Also as the fallback of another lane, and before the registry knows of it."""
    mesh.apply(lane("gray", enabled=True))
    done(mesh, "promote", "order-flow", "gray")
    settled(mesh, NEW)
    with mesh.load(("GET", "/a", [], b""), ("GET", "/a", [BLUE], b""), rate=100.0) as sent:
        mesh.kill(mesh.pods["Cgray"].app)
        sent.wait_for(100)
        until(lambda: mesh.chain("/a") == ["Agray", "Bgray", "C"], 20, "C to be base")
        assert mesh.chain("/a", BLUE) == ["Agray", "Bblue", "C"]
        mesh.start_apps([mesh.pods["Cgray"]])
        until(lambda: mesh.chain("/a") == list(NEW), 20, "Cgray to be base again")
    assert sent.failed() == [], sent.failed()[:3]
    done(mesh, "rollback", "order-flow")
    settled(mesh, OLD)


def test_there_and_back_before_a_drain_has_ended(mesh: Mesh) -> None:
    mesh.apply(lane("gray", enabled=True))
    with load(mesh) as sent:
        for _ in range(3):
            mesh.rest.done("POST", f"{GROUP}/promote", {"lane": "gray"})
            until(lambda: mesh.chain("/a")[0] == "Agray", 20, "edges to choose the new base")
            mesh.rest.done("POST", f"{GROUP}/rollback")
            until(lambda: mesh.chain("/a")[0] == "A", 20, "edges to choose the old base")
        settled(mesh, OLD)
        sent.wait_for(50)
    check(sent)


@dataclass
class Actions:
    """How many requests each action of a run had, and how many of them failed."""

    load: Load
    begun: list[tuple[str, int, float]] = field(default_factory=list)

    def begin(self, what: str) -> None:
        self.begun.append((what, len(self.load.sent), time.monotonic()))

    def __str__(self) -> str:
        ends = [*self.begun[1:], ("", len(self.load.sent), self.load.sent[-1].ended)]
        rows = [f"{'action':<40}{'requests':>9}{'failures':>9}{'seconds':>9}{'slowest':>9}"]
        for (what, first, began), (_, last, ended) in zip(self.begun, ends, strict=True):
            sent = self.load.sent[first:last]
            failed = sum(one.status != 200 for one in sent)
            slowest = max((one.ended - one.began for one in sent), default=0.0)
            rows.append(f"{what:<40}{len(sent):>9}{failed:>9}{ended - began:>9.1f}{slowest:>9.3f}")
        return "\n".join(rows)


def failures(mesh: Mesh, address: str) -> int:
    return mesh.stats((address, 15000), "http.*downstream_rq_5xx$")


@pytest.mark.mesh
@pytest.mark.timeout(300 + LONG / 20)
def test_a_whole_promotion_under_load(mesh: Mesh) -> None:
    """Promote, roll back, promote, replace base by the new version, finish, and take the canaries away."""
    version = {"metadata": {"version": "1"}}
    for name in ("A", "B", "C"):
        mesh.pods[name].metadata = dict(version["metadata"])
    for name in ("Agray", "Bgray", "Cgray"):
        mesh.pods[name].metadata = {"version": "2"}
    mesh.write_services()
    mesh.apply(lane("gray", enabled=True))
    until(lambda: '"2"' in mesh.rest.call("GET", "/v1/services/sc-C").body.decode(), 20, "the versions")
    calls = {"A": "sc-B", "B": "sc-C", "C": ""}
    poller = mesh.pod("poller", "sc-P", "spring-cloud-p", next="sc-B", behaviour={"polls": 0.05})
    mesh.start_sidecars([poller])
    mesh.write_services()
    mesh.wait_ready("poller")
    mesh.start_apps([poller])
    until(lambda: called(mesh, "poller", "sc-B") == ["B", "C"], 20, "the poller to reach base")
    before = failures(mesh, poller.address)  # calls of its own, before its sidecar knew where to
    with load(mesh, 150.0) as sent:
        actions = Actions(sent)

        def stay() -> None:
            """A seventh of the requests of a long run: LANEWAY_TEST_PROMOTION=20000 make test-mesh."""
            sent.wait_for(LONG // 7, timeout=600)

        actions.begin("before")
        stay()
        actions.begin("promote")
        done(mesh, "promote", "order-flow", "gray")
        settled(mesh, NEW)
        stay()
        actions.begin("roll back")
        done(mesh, "rollback", "order-flow")
        settled(mesh, OLD)
        stay()
        actions.begin("enable, promote again")
        mesh.apply(lane("gray", enabled=True))
        done(mesh, "promote", "order-flow", "gray")
        settled(mesh, NEW)
        stay()
        assert command(mesh, "finish", "order-flow", "--dry-run").returncode == 1
        begun = len(sent.sent)
        actions.begin("replace base, one service after another")
        for letter in ("C", "B", "A"):
            after = mesh.pod(
                f"{letter}2",
                f"sc-{letter}",
                f"spring-cloud-{letter.lower()}",
                next=calls[letter],
                metadata={"version": "2"},
            )
            mesh.start_apps([after])
            mesh.start_sidecars([after])
            mesh.wait_ready(after.name)
            mesh.register(after.name)
            mesh.register(letter, registered=False)
        stay()
        sent.wait_for(100)
        assert {s.chain for s in sent.sent[begun:]} <= {NEW, ("Agray", "Bblue", "Cgray")}
        actions.begin("finish")
        done(mesh, "finish", "order-flow")
        settled(mesh, ("A2", "B2", "C2"))
        stay()
        actions.begin("take canaries and old base away")
        for name in ("Agray", "Bgray", "Cgray"):
            mesh.register(name, registered=False)
        for name in ("Agray", "Bgray", "Cgray", "A", "B", "C"):
            mesh.kill(mesh.pods[name].envoy)
            mesh.kill(mesh.pods[name].app)
        stay()
        sent.wait_for(100)
    print(actions)
    failed = sent.failed()
    assert failed == [], f"{len(failed)} of {len(sent.sent)} failed, the first: {failed[:3]}"
    whole = {OLD, NEW, ("A2", "B2", "C2")}
    mixed = {c: n for c, n in sent.chains().items() if c not in whole and c[1:2] != ("Bblue",)}
    assert mixed == {}, f"{mixed} of {sent.chains()}"
    assert len(sent.sent) >= LONG
    assert failures(mesh, poller.address) == before, "calls without a lane failed"
    assert mesh.stats((poller.address, 15000), "http.*downstream_rq_2xx$") > 100
    mesh.check_accepted()
    print(f"{len(sent.sent)} requests, none failed: {dict(sent.chains())}")
