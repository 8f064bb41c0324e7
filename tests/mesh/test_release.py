"""Releases on real Envoys: a good canary gets its share step by step, a bad one is taken out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.callouts.server import Asked, serving
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(240)]

PATH = "/v1/lane-groups/order-flow/releases/rollout"
PATCHED = "application/merge-patch+json"
LANEWAY = str(Path(sys.executable).with_name("laneway"))


@pytest.fixture
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    """Reports of every 5 s, a store on disk, and a release in four steps."""
    mesh = new_mesh()
    mesh.store = f"sqlite:{mesh.directory / 'store.db'}"
    abc(mesh, "Agray", "Bgray", "Cgray")
    return mesh.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray", enabled=False, ratio={"percent": 100}),
        {
            "kind": "Release",
            "group": "order-flow",
            "name": "rollout",
            "lane": "gray",
            "steps": [
                {"percent": 5, "hold": "10s"},
                {"percent": 25},
                {"percent": 50, "approval": True},
                {"percent": 100},
            ],
            "interval": "1s",
            "at_end": "promote",
            "checks": [
                {"measure": "error_rate", "max": 5, "window": "10s", "requests": 20},
                {"measure": "fallbacks", "max": 1, "window": "10s", "requests": 20},
            ],
        },
    )


def status(mesh: Mesh) -> dict[str, Any]:
    return mesh.rest.get(f"{PATH}/status")


def progress(mesh: Mesh) -> dict[str, Any]:
    return status(mesh)["release"]["progress"]


def percent(mesh: Mesh) -> float:
    return mesh.rest.get("/v1/lane-groups/order-flow/lanes/gray")["ratio"]["percent"]


def reached(mesh: Mesh, phase: str, step: int, timeout: float = 60) -> dict[str, Any]:
    def there() -> bool:
        now = progress(mesh)
        return (now["phase"], now["step"]) == (phase, step)

    try:
        until(there, timeout, f"the release to be {phase} in step {step}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {status(mesh)}") from None
    return progress(mesh)


def released(mesh: Mesh, *arguments: str) -> list[str]:
    """The `laneway release` command with these arguments."""
    return [LANEWAY, "release", *arguments, "--server", f"http://{mesh.admin[0]}:{mesh.admin[1]}"]


def test_a_good_release_over_a_restart(mesh: Mesh) -> None:
    with mesh.load(("GET", "/a", [], b""), rate=120) as load:
        mesh.rest.done("POST", f"{PATH}/start")
        assert percent(mesh) == 5
        mesh.kill(mesh.serving)  # in the middle of a step
        mesh.start_laneway()
        reached(mesh, "waiting", 2)
        assert percent(mesh) == 50
        answer = mesh.rest.call("POST", f"{PATH}/start")
        assert answer.status == 409
        mesh.apply(lane("gray", ratio={"percent": 3}))
        assert percent(mesh) == 50
        mesh.rest.done("POST", f"{PATH}/approve")
        end = reached(mesh, "succeeded", 3)
        load.wait_for(200)
    assert load.failed() == []
    assert set(load.chains()) <= {("A", "B", "C"), ("Agray", "Bgray", "Cgray")}
    assert percent(mesh) == 100
    assert mesh.rest.get("/v1/lane-groups/order-flow")["promoted"] == "gray"
    until(
        lambda: {tuple(mesh.chain()) for _ in range(20)} == {("Agray", "Bgray", "Cgray")}, 20, "gray as base"
    )
    steps = [(one["step"], one["what"]) for one in end["decisions"]]
    assert [step for step, _ in steps] == [1, 2, 3, 3, 3, 4, 4], steps
    shares = [what.removesuffix(" %").rpartition(" ")[2] for _, what in steps if what.endswith(" %")]
    assert shares == ["5", "25", "50", "100"], steps
    judged = [one for one in end["decisions"] if one["findings"]]
    assert judged
    assert all(found["verdict"] == "passed" for one in judged for found in one["findings"])
    command = released(mesh, "status", "rollout", "--watch")
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (shown.returncode, "succeeded, step 4 of 4 (100 %)" in shown.stdout) == (0, True), shown


def test_a_canary_that_fails_is_taken_out(mesh: Mesh) -> None:
    """C's canary fails one request in ten: the release ends within two intervals, in its first step."""
    broken = mesh.pods["Cgray"]
    mesh.kill(broken.app)
    broken.behaviour = {"fails": 10}
    mesh.start_apps([broken])
    interval = 10.0
    checks = [{"measure": "error_rate", "max": 2, "window": "10s", "requests": 20}]
    changed(mesh, interval="10s", checks=checks)
    with mesh.load(("GET", "/a", [], b""), rate=200) as load:
        started = subprocess.run(
            released(mesh, "start", "rollout"), capture_output=True, text=True, timeout=30
        )
        assert started.returncode == 0, started
        command = released(mesh, "status", "rollout", "--watch")
        watched = subprocess.run(command, capture_output=True, text=True, timeout=60)
        end = reached(mesh, "aborted", 0)
        assert percent(mesh) == 0
        until(lambda: {tuple(mesh.chain()) for _ in range(20)} == {("A", "B", "C")}, 10, "all to be base")
        over = len(load.sent)
        load.wait_for(200)
    begun, last = end["decisions"][0], end["decisions"][-1]
    assert begun["what"] == "started with 5 %"
    assert last["what"].startswith("error_rate at file///sc-"), last
    assert 5 < last["findings"][0]["value"] < 20
    assert last["at"] - begun["at"] < 2 * interval + 2  # each look is up to a second late
    assert load.failed(), "nothing of the lane failed"
    assert all(one.status == 200 for one in load.sent[over:])
    assert (watched.returncode, "aborted, step 1 of 4 (5 %)" in watched.stdout) == (1, True), watched
    shown = subprocess.run(released(mesh, "status", "rollout"), capture_output=True, text=True, timeout=30)
    assert last["what"] in shown.stdout, shown
    print(started.stdout, watched.stdout, shown.stdout, sep="\n")  # the transcript in docs/how-to/release.md


def test_a_canary_that_falls_back_is_taken_out(mesh: Mesh) -> None:
    with mesh.load(("GET", "/a", [], b""), rate=100):
        mesh.rest.done("POST", f"{PATH}/start")
        mesh.kill(mesh.pods["Bgray"].app)
        end = reached(mesh, "aborted", 0)
    assert end["decisions"][-1]["what"].startswith("fallbacks at file///sc-B")


def test_somebody_else_takes_over(mesh: Mesh) -> None:
    mesh.rest.done("POST", f"{PATH}/start")
    until(lambda: status(mesh)["look"], 20, "the release to be looked at")
    look = status(mesh)["look"]
    assert (look["did"], "not enough requests" in look["why"]) == ("hold", True), look
    body = {"tag": "gray", "ratio": {"percent": 7}}
    path = "/v1/lane-groups/order-flow/lanes/gray"
    kept = mesh.rest.done("PUT", path, body)
    assert kept["ratio"]["percent"] == 5
    assert "a release moves its shares" in kept["status"]["warnings"][0]
    mesh.rest.done("PUT", f"{path}?take_over=true", body)
    assert (percent(mesh), progress(mesh)["phase"]) == (7, "stopped")


def test_a_switch_by_hand_stops_it(mesh: Mesh) -> None:
    mesh.rest.done("POST", f"{PATH}/start")
    mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/gray/disable")
    assert "disabled by hand" in reached(mesh, "stopped", 0)["decisions"][-1]["what"]


def test_the_preflight(mesh: Mesh) -> None:
    for name in ("Agray", "Bgray", "Cgray"):
        mesh.register(name, health="unhealthy")
    answer = mesh.rest.call("POST", f"{PATH}/start")
    assert answer.status == 409
    assert "can be reached" in answer.json["detail"]
    assert mesh.rest.call("POST", f"{PATH}/start?force=true").status == 200


def changed(mesh: Mesh, **fields: Any) -> None:
    """Another plan for the release."""
    answer = mesh.rest.call("PATCH", PATH, json.dumps(fields).encode(), ("content-type", PATCHED))
    assert answer.status == 200, answer.body.decode()


def test_a_slow_canary_is_taken_out(mesh: Mesh) -> None:
    """B answers in the lane 300 ms later than at once, and no request fails."""
    check = {"measure": "latency", "quantile": 0.99, "window": "10s", "requests": 20, "above_base": 100}
    changed(mesh, steps=[{"percent": 50, "hold": "5m"}], checks=[check])
    slow = ("x-delay", "Bgray=0.3")
    with mesh.load(("GET", "/a", [slow], b""), rate=60) as load:
        mesh.rest.done("POST", f"{PATH}/start")
        end = reached(mesh, "aborted", 0)
    assert load.failed() == []
    assert percent(mesh) == 0
    last = end["decisions"][-1]
    assert last["what"].startswith("latency p99 at file///sc-"), last
    found = last["findings"][0]
    assert found["service"] in ("file///sc-A", "file///sc-B")
    assert found["value"] > found["limit"] >= 100
    shown = mesh.rest.get(f"{PATH}/events")["items"]
    assert [one["what"] for one in shown] == [one["what"] for one in end["decisions"]]
    assert shown[-1]["findings"] == last["findings"]


def test_hooks_a_query_and_no_data(new_mesh: Callable[..., Mesh]) -> None:
    """On the served control plane: what it asks, what it refuses to ask, and what a missing metric does."""
    values: list[str] = []

    def answer(asked: Asked) -> tuple[int, bytes]:
        if asked.path != "/prometheus/api/v1/query":
            return 200, b"go on"
        result = [{"metric": {}, "value": [1, value]} for value in values]
        return 200, json.dumps(
            {"status": "success", "data": {"resultType": "vector", "result": result}}
        ).encode()

    with serving(answer) as server:
        mesh = new_mesh()
        mesh.environment = {"LANEWAY_RELEASE_URLS": f"{server.url}/hooks/,{server.url}/prometheus"}
        abc(mesh, "Agray")
        release = {
            "kind": "Release", "group": "order-flow", "name": "rollout", "lane": "gray",
            "steps": [{"percent": 20}], "interval": "1s", "patience": "5s",
            "checks": [
                {"measure": "query", "prometheus": f"{server.url}/prometheus", "query": "x", "max": 5}
            ],
            "hooks": [{"name": "smoke", "when": "before", "url": f"{server.url}/secret"}],
        }  # fmt: skip
        documents = [group("order-flow", *APPLICATIONS), lane("gray", enabled=False, ratio={"percent": 100})]
        mesh.start(route("a", "sc-A"), *documents, release, envoys=False)
        refused = mesh.rest.call("POST", f"{PATH}/start")
        assert refused.status == 409
        assert (
            "/secret is not allowed: an administrator has to add it to --release-urls"
            in refused.json["detail"]
        )
        hooks = [
            {"name": when, "when": when, "url": f"{server.url}/hooks/{when}"}
            for when in ("before", "during", "after")
        ]
        changed(mesh, hooks=hooks)
        mesh.rest.done("POST", f"{PATH}/start")
        end = reached(mesh, "aborted", 0)
        assert end["decisions"][-1]["what"] == "query x: it gives no series for 5s"
        until(lambda: "after" in progress(mesh)["told"], 30, "the hook to know the end")
        values.append("3")
        mesh.rest.done("POST", f"{PATH}/start")
        end = reached(mesh, "succeeded", 0)
        assert [one["note"] for one in end["decisions"][-1]["findings"]] == [
            "it is 3",
            "it answered 200: go on",
        ]
        until(lambda: "after" in progress(mesh)["told"], 30, "the hook to know the end")
        told = [one.json["phase"] for one in server.asked if one.path == "/hooks/after"]
        assert (told[0], told[-1], "/secret" in {one.path for one in server.asked}) == (
            "aborted",
            "succeeded",
            False,
        )
        assert (
            'laneway_release_requests_total{result="failed"} 0.0'
            in mesh.rest.call("GET", "/metrics").body.decode()
        )


def test_a_freeze_holds_the_next_step_up_and_no_abort(mesh: Mesh) -> None:
    changed(mesh, steps=[{"percent": 20}, {"percent": 60}], checks=[])
    mesh.apply({"kind": "Freeze", "name": "now", "reason": "an incident"})
    mesh.rest.done("POST", f"{PATH}/start")
    assert progress(mesh)["phase"] == "starting"
    assert percent(mesh) == 100
    assert not mesh.rest.get("/v1/lane-groups/order-flow/lanes/gray")["enabled"]
    until(lambda: status(mesh)["look"], 20, "the release to be looked at")
    assert status(mesh)["look"]["why"] == "freeze now holds it up: an incident"
    mesh.rest.done("DELETE", "/v1/freezes/now")
    reached(mesh, "succeeded", 1)
    assert percent(mesh) == 60
