"""Rule 9: when a lane's instance cannot serve, the same request goes to base, in the proxy.

Pods have inbound sidecars. Each test repairs what it broke, so that they share one mesh.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from tests.mesh.client import Load, fetch, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import APPLICATIONS, Mesh, abc, seen_anew

GRAY = ("canary", "gray")
FULL = ["Agray", "B", "Cgray1"]
GET = ("GET", "/a", [GRAY], b"")
PUT = ("PUT", "/a", [GRAY], b"x" * 60_000)
POST = ("POST", "/a", [GRAY], b"x" * 500)
LANE, BASE = {("Agray", "B", "Cgray1"), ("Agray", "B", "Cgray2")}, ("Agray", "B", "C")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    abc(made, "Agray", "Cgray1", "Cgray2", "Cred")
    made.pods["Cgray2"].registered = False
    made.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        lane("red", rule=rule(header("canary", "red"))),
        lane("strict", tag="gray", fallback="none", rule=rule(header("canary", "strict"))),
        lane(
            "partly", tag="gray", fallback={"spring-cloud-c": "none"}, rule=rule(header("canary", "partly"))
        ),
        lane("nobody", tag="nobody", rule=rule(header("canary", "nobody"))),
        lane("nobody-strict", tag="nobody", fallback="none", rule=rule(header("canary", "nobody-strict"))),
    )
    made.wait_chain(FULL, GRAY)
    made.wait_chain(["A", "B", "Cred"], ("canary", "red"))
    return made


def restart(mesh: Mesh, name: str) -> None:
    """Bring a pod back, and wait until no caller holds it for dead: to them it is a new instance."""
    pod = mesh.pods[name]
    if pod.app is not None and not pod.app.alive:
        mesh.start_apps([pod])
    if pod.envoy is not None and not pod.envoy.alive:
        mesh.start_sidecars([pod])
        mesh.wait_ready(name)
    seen_anew(mesh, pod)
    recover(mesh, name)


def recover(mesh: Mesh, name: str, chain: list[str] | None = None) -> None:
    mark = f"{mesh.pods[name].address}:{mesh.pods[name].port}::health_flags::"
    mesh.wait_everywhere(
        lambda page: not [x for x in page.splitlines() if mark in x and not x.endswith("::healthy")],
        f"{name} to be healthy",
        20,
    )
    mesh.wait_chain(chain or FULL, GRAY)


def idempotent_failures(load: Load) -> list[object]:
    return [s for s in load.failed() if s.method != "POST"]


@pytest.mark.parametrize("what", ["application", "sidecar", "both"])
def test_the_only_instance_is_killed(mesh: Mesh, what: str) -> None:
    pod = mesh.pods["Cgray1"]
    try:
        with mesh.load(GET, PUT, POST, rate=150) as load:
            load.wait_for(60)
            began = time.monotonic()
            if what in ("application", "both"):
                mesh.kill(pod.app)
            if what in ("sidecar", "both"):
                mesh.kill(pod.envoy)
            killed = time.monotonic()
            load.wait_for(200)
        assert idempotent_failures(load) == []
        # Others are covered where no connection was made: only those in flight at the kill may fail.
        late = [s for s in load.failed() if s.began > killed]
        assert late == []
        assert len(load.failed()) <= 8
        assert set(load.chains()) <= {tuple(FULL), BASE}
        after = [s for s in load.sent if s.began > killed]
        assert {s.chain for s in after} == {BASE}
        assert max(s.ended - s.began for s in after) < 1.0
        assert began < killed
        assert mesh.stats((mesh.pods["B"].address, 15000), "cluster.*gray.base.upstream_rq_retry$") >= 0
    finally:
        restart(mesh, "Cgray1")


def test_in_flight_on_the_killed_instance(mesh: Mesh) -> None:
    """GET, PUT and DELETE that wait for an answer of the killed application are answered by base."""
    pod = mesh.pods["Cgray1"]
    slow = ("x-delay", "Cgray1=0.4")
    requests = [(m, "/a", [GRAY, slow], b"y" * n) for m, n in (("GET", 0), ("PUT", 60_000), ("DELETE", 0))]
    inbound = (pod.address, 15000)
    try:
        with mesh.load(*requests, rate=60, clients=12) as load:
            until(
                lambda: mesh.stats(inbound, "http.inbound.downstream_rq_active$") >= 4,
                10,
                "requests in flight",
            )
            mesh.kill(pod.app)
            load.wait_for(24)
        assert load.failed() == []
        assert {s.chain for s in load.sent} <= {tuple(FULL), BASE}
        assert BASE in load.chains()
    finally:
        restart(mesh, "Cgray1")


def test_one_of_two_is_unhealthy_no_spill(mesh: Mesh) -> None:
    mesh.register("Cgray2")
    try:
        until(lambda: mesh.chain("/a", GRAY)[-1] == "Cgray2", 10, "the second instance")
        mesh.register("Cgray1", health="unhealthy")
        until(lambda: {mesh.chain("/a", GRAY)[-1] for _ in range(6)} == {"Cgray2"}, 10, "the registry's word")
        with mesh.load(GET, POST, rate=300) as load:
            load.wait_for(300)
        assert load.failed() == []
        assert set(load.chains()) == {("Agray", "B", "Cgray2")}
    finally:
        mesh.register("Cgray1")
        recover(mesh, "Cgray1")
        mesh.register("Cgray2", registered=False)
        until(lambda: {mesh.chain("/a", GRAY)[-1] for _ in range(6)} == {"Cgray1"}, 10, "one instance")


def test_one_of_two_is_killed_stays_in_the_lane(mesh: Mesh) -> None:
    mesh.register("Cgray2")
    try:
        until(lambda: mesh.chain("/a", GRAY)[-1] == "Cgray2", 10, "the second instance")
        with mesh.load(GET, rate=150) as load:
            load.wait_for(50)
            mesh.kill(mesh.pods["Cgray1"].app)
            load.wait_for(150)
        assert load.failed() == []
        assert set(load.chains()) <= LANE
    finally:
        restart(mesh, "Cgray1")
        mesh.register("Cgray2", registered=False)
        until(lambda: {mesh.chain("/a", GRAY)[-1] for _ in range(6)} == {"Cgray1"}, 10, "one instance")


@pytest.mark.parametrize("change", [{"health": "unhealthy"}, {"registered": False}])
def test_gray_unhealthy_or_gone_in_the_registry(mesh: Mesh, change: dict) -> None:
    try:
        with mesh.load(GET, POST, rate=150) as load:
            load.wait_for(50)
            mesh.register("Cgray1", **change)
            until(lambda: mesh.chain("/a", GRAY)[-1] == "C", 10, "the fallback")
            load.wait_for(50)
            mesh.register("Cgray1")
            until(lambda: mesh.chain("/a", GRAY) == FULL, 10, "the lane")
        assert load.failed() == []
        assert set(load.chains()) <= {tuple(FULL), BASE}
    finally:
        mesh.register("Cgray1")
        mesh.wait_chain(FULL, GRAY)


def test_colour_is_kept_for_later_hops(mesh: Mesh) -> None:
    mesh.register("Agray", health="unhealthy")
    try:
        mesh.wait_chain(["A", "B", "Cgray1"], GRAY)
    finally:
        mesh.register("Agray")
        mesh.wait_chain(FULL, GRAY)


def test_a_tag_that_nobody_has_is_base(mesh: Mesh) -> None:
    answer = mesh.edge.get("/a", ("canary", "nobody"))
    assert (answer.chain, answer.lane) == (["A", "B", "C"], "nobody")


def counted(admin: tuple[str, int]) -> dict[tuple[str, str], int]:
    """The counter of fallbacks by service and lane, as Prometheus reads it from an Envoy."""
    found: dict[tuple[str, str], int] = {}
    for line in fetch(admin, "/stats/prometheus?filter=laneway").body.decode().splitlines():
        if line.startswith("envoy_laneway_fallback{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[labels["laneway_service"], labels["laneway_lane"]] = int(line.rpartition(" ")[2])
    return found


def test_fallbacks_are_counted(mesh: Mesh) -> None:
    """Each request that base answered in place of the lane, once, at the caller; and no other request."""
    edge, caller = mesh.edge_admin, (mesh.pods["B"].address, 15000)
    key = ("file///sc-C", "gray")
    before, before_edge = counted(caller).get(key, 0), counted(edge)
    for _ in range(5):
        assert mesh.chain("/a", GRAY) == FULL
        assert mesh.chain() == ["A", "B", "C"]
    assert counted(caller).get(key, 0) == before
    mesh.kill(mesh.pods["Cgray1"].app)  # the first requests are retried: counted once all the same
    try:
        for _ in range(7):
            assert mesh.chain("/a", GRAY) == list(BASE)
            assert mesh.chain() == ["A", "B", "C"]
        assert counted(caller)[key] == before + 7
    finally:
        restart(mesh, "Cgray1")
    assert counted(edge) == before_edge
    for _ in range(3):
        mesh.chain("/a", ("canary", "nobody"))
    assert counted(edge)["file///sc-A", "nobody"] == before_edge.get(("file///sc-A", "nobody"), 0) + 3
    answer = mesh.edge.get("/a", GRAY)
    assert not [n for n, _ in answer.headers if n.startswith("x-laneway-")]


def check_unavailable(status: int, reason: str | None, body: bytes, lane_name: str) -> None:
    assert status == 503
    assert reason == "lane-unavailable"
    assert lane_name.encode() in body
    assert b'"status":503' in body or b'"status": 503' in body


def test_fallback_none_at_the_edge(mesh: Mesh) -> None:
    answer = mesh.edge.get("/a", ("canary", "nobody-strict"))
    check_unavailable(answer.status, answer.header("x-laneway-reason"), answer.body, "nobody-strict")
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json["status"] == 503
    head = mesh.edge.request("HEAD", "/a", [("canary", "nobody-strict")])
    assert (head.status, head.header("x-laneway-reason")) == (503, "lane-unavailable")


def test_fallback_none_further_on(mesh: Mesh) -> None:
    """B has no gray instance: for a strict lane that is the end, for a partly strict one C decides."""
    answer = mesh.edge.get("/a", ("canary", "strict"))
    assert answer.status == 503
    assert answer.json["chain"] == ["Agray", "503"]
    assert answer.json["next"]["title"] == "Lane unavailable"
    assert mesh.chain("/a", ("canary", "partly")) == FULL
    mesh.register("Cgray1", registered=False)
    try:
        until(lambda: mesh.edge.get("/a", ("canary", "partly")).status == 503, 10, "C to be missed")
        assert mesh.edge.get("/a", ("canary", "partly")).json["next"]["chain"] == ["B", "503"]
        assert mesh.chain("/a", GRAY) == list(BASE)
    finally:
        mesh.register("Cgray1")
        mesh.wait_chain(FULL, GRAY)
        mesh.wait_chain(FULL, ("canary", "partly"))


def test_fallback_none_with_a_dead_application(mesh: Mesh) -> None:
    """The inbound sidecar's refusal is told as the lane's, too."""
    mesh.kill(mesh.pods["Cgray1"].app)
    try:
        answer = mesh.edge.get("/a", ("canary", "partly"))
        assert answer.status == 503
        assert answer.json["next"]["next"].get("title") == "Lane unavailable", answer.json
    finally:
        restart(mesh, "Cgray1")


def test_an_application_s_own_answer_is_passed_as_it_is(mesh: Mesh) -> None:
    """Only replies of proxies count as unreachable: an application's 503 is neither retried nor replaced."""
    for name in ("gray", "partly"):
        fail = ("x-fail", "Cgray1=503 x-laneway-unreached:refused")
        answer = mesh.edge.request("POST", "/a", [("canary", name), fail], b"x")
        assert answer.status == 503
        assert answer.chain == FULL
        assert answer.header("x-laneway-unreached") is None
        assert answer.header("x-laneway-reason") is None


@pytest.mark.parametrize("what", ["application", "sidecar"])
def test_the_first_hop_is_killed(mesh: Mesh, what: str) -> None:
    """At the edge: base of A serves, and the colour goes on to C."""
    pod = mesh.pods["Agray"]
    try:
        with mesh.load(GET, GET, POST, rate=150) as load:
            load.wait_for(60)
            mesh.kill(pod.app if what == "application" else pod.envoy)
            killed = time.monotonic()
            load.wait_for(150)
        assert idempotent_failures(load) == []
        assert [s for s in load.failed() if s.began > killed] == []
        assert {s.chain for s in load.sent if s.began > killed} == {("A", "B", "Cgray1")}
    finally:
        restart(mesh, "Agray")


def test_base_all_unhealthy_fails_open(mesh: Mesh) -> None:
    mesh.register("C", health="unhealthy")
    try:
        with mesh.load(("GET", "/a", [], b""), rate=200) as load:
            load.wait_for(200)
        assert load.failed() == []
        assert set(load.chains()) == {("A", "B", "C")}
        assert mesh.chain("/a", GRAY) == FULL
    finally:
        mesh.register("C")


def test_base_that_vanishes_from_the_registry_is_held(mesh: Mesh) -> None:
    """Rule 11: a base set that had healthy instances and is said to have none stays as it was."""
    mesh.register("C", registered=False)
    try:
        for _ in range(20):
            assert mesh.chain() == ["A", "B", "C"]
        held = mesh.rest.get("/v1/services/sc-C")
        assert [i["held"] for i in held["instances"] if i["tag"] is None] == [True]
    finally:
        mesh.register("C")
        mesh.wait_chain(["A", "B", "C"])


def test_a_broken_services_file_changes_nothing(mesh: Mesh) -> None:
    path = mesh.directory / "services.yaml"
    good = path.read_text()

    def says(number: str) -> bool:
        metrics = mesh.rest.call("GET", "/metrics").body.decode()
        return f'laneway_source_problem{{source="file"}} {number}\n' in metrics

    assert says("0.0")
    try:
        with mesh.load(GET, ("GET", "/a", [], b""), rate=150) as load:
            path.write_text(good[: len(good) // 2])
            load.wait_for(60)
            until(lambda: says("1.0"), 10, "the metric that tells of it")
            path.unlink()
            load.wait_for(60)
        assert load.failed() == []
        assert set(load.chains()) == {tuple(FULL), ("A", "B", "C")}
    finally:
        mesh.write_services()
    until(lambda: says("0.0"), 10, "the problem to be over")


def test_base_is_served_at_once_after_an_outage(mesh: Mesh) -> None:
    pod = mesh.pods["C"]
    with mesh.load(("GET", "/a", [], b""), rate=100) as load:
        load.wait_for(30)
        mesh.kill(pod.app)
        mesh.kill(pod.envoy)
        until(lambda: len([s for s in load.sent if s.status == 503]) > 150, 30, "the outage")
        mesh.start_apps([pod])
        mesh.start_sidecars([pod])
        until(
            lambda: (
                mesh.stats((pod.address, 15000), "listener_manager.workers_started$") == 1
                if Mesh._is_ready((pod.address, 15000))
                else 0
            ),
            20,
            "C's sidecar",
        )
        back = time.monotonic()
        until(lambda: load.sent[-1].status == 200 and load.sent[-1].began > back, 10, "base to be served")
        load.wait_for(100)
    first = min(s.ended for s in load.sent if s.status == 200 and s.began > back)
    assert first - back < 1.0
    assert not [s for s in load.failed() if "x-laneway" in s.text], "marks of proxies stay between them"
    settled = [s for s in load.sent if s.began > back + 1.0]
    assert [s for s in settled if s.status != 200] == []


def test_never_another_lane(mesh: Mesh) -> None:
    """Whatever failed above: red's instance of C was never used by gray, nor by base."""
    mesh.register("Cgray1", registered=False)
    try:
        until(lambda: mesh.chain("/a", GRAY)[-1] == "C", 10, "the fallback")
        mesh.register("C", health="unhealthy")
        for headers in ([GRAY], []):
            for _ in range(30):
                answer = mesh.edge.request("GET", "/a", headers)
                assert "Cred" not in answer.chain
        assert mesh.chain("/a", ("canary", "red")) == ["A", "B", "Cred"]
    finally:
        mesh.register("C", "Cgray1")
        mesh.wait_chain(FULL, GRAY)
