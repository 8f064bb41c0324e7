"""`laneway lane status` and `laneway top` on a real mesh, also when an application of the lane dies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.cli.run import laneway
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until

GRAY = ("canary", "gray")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray")
    mesh.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
    return mesh


def server(mesh: Mesh) -> str:
    return "http://{}:{}".format(*mesh.admin)


@pytest.mark.mesh
def test_a_dead_canary_shows(mesh: Mesh) -> None:
    def status() -> str:
        return laneway("lane", "status", "gray", "--server", server(mesh))

    mesh.wait_chain(["Agray", "B", "Cgray"], GRAY)
    for _ in range(10):
        mesh.chain("/a", GRAY)
        mesh.chain("/a")
    until(lambda: "seen -" not in status(), 30, "a share")
    said = status()
    assert "sc-B: the lane has no instance; base answers" in said
    assert "sc-C: base answered" not in said
    mesh.kill(mesh.pods["Cgray"].app)
    mesh.wait_chain(["Agray", "B", "C"], GRAY)
    dead = f"although the lane has {mesh.pods['Cgray'].address}:{mesh.pods['Cgray'].port}"
    until(lambda: dead in status(), 30, "the dead canary")
    check_everywhere(mesh)


def check_everywhere(mesh: Mesh) -> None:
    """Where the registry knows nothing of it, commands say what was observed."""
    gone = f"{mesh.pods['Cgray'].address}:{mesh.pods['Cgray'].port}"

    def lanes() -> str:
        for _ in range(5):
            mesh.chain("/a", GRAY)
        return laneway("get", "lanes", "--server", server(mesh))

    until(lambda: f"base answered for file///sc-C, although {gone} is registered" in lanes(), 30, "the lanes")
    assert "base answered for file///sc-B" not in lanes()  # which has no instance
    (item,) = json.loads(laneway("get", "lanes", "-o", "json", "--server", server(mesh)))["items"]
    assert len(item["status"]["warnings"]) == 1

    said = laneway("matches", "gray", "--server", server(mesh))
    assert re.search(r"sc-C .*lane; base answered \d+ of \d+ in the last minute", said), said
    assert re.search(r"sc-B .*base \(fallback\)", said), said
    gray = ("--gateway", "edge", "--path", "/a", "-H", "canary: gray", "--server", server(mesh))
    said = laneway("explain", *gray)
    assert re.search(r"sc-C .*base answered \d+ of \d+ in the last minute", said), said
    assert "base answered" not in laneway("explain", *gray[:4], "--server", server(mesh))
    hops = {one["service"]: one for one in json.loads(laneway("explain", *gray, "-o", "json"))["hops"]}
    assert hops["file///sc-C"]["observed"]["fallbacks"] > 0
    assert hops["file///sc-A"]["observed"]["fallbacks"] == 0
    assert hops["file///sc-C"]["fallback"] is False


def test_one_dead_of_two_shows(mesh: Mesh) -> None:
    """The other one answers, nothing falls back: only proxies know."""
    one, other = mesh.pod("Agray2", "sc-A", "spring-cloud-a", tag="gray", next="sc-B"), mesh.pods["Agray"]
    mesh.start_apps([one])
    mesh.start_sidecars([one])
    mesh.register("Agray2")
    who = f"{other.address}:{other.port}, {one.address}:{one.port}"
    until(lambda: who in laneway("matches", "gray", "--server", server(mesh)), 30, "the second instance")
    seen: set[str] = set()

    def both() -> bool:
        seen.add(mesh.edge.get("/a", GRAY).chain[0])
        return seen == {"Agray", "Agray2"}

    until(both, 30, "both to answer")
    mesh.kill(one.app)

    def said(*command: str) -> bool:
        assert mesh.edge.get("/a", GRAY).chain[0] == "Agray"
        return "left out by 1 proxy" in laneway(*command, "--server", server(mesh))

    for command in (("matches", "gray"), ("lane", "status", "gray"), EXPLAIN):
        until(lambda c=command: said(*c), 30, f"the dead instance in {command[0]}")
    whole = f"1 proxy leaves out 1 of 2 instances of the lane for file///sc-A ({who}), which failed"
    until(lambda: whole in lanes_json(mesh), 30, "the dead instance in the lanes")


EXPLAIN = ("explain", "--gateway", "edge", "--path", "/a", "-H", "canary: gray")


def lanes_json(mesh: Mesh) -> str:
    mesh.chain("/a", GRAY)
    return laneway("get", "lanes", "-o", "json", "--server", server(mesh))


def test_top_has_lanes_and_applications(mesh: Mesh) -> None:
    mesh.chain("/a", GRAY)
    until(lambda: json.loads(top(mesh, "-o", "json"))["lanes"][0]["qps"] > 0, 30, "traffic")
    said = top(mesh)
    assert "LANE" in said
    for name in ("gray", "edge", *APPLICATIONS):
        assert name in said


def test_the_stream_says_the_same_every_second(mesh: Mesh) -> None:
    said: list[dict[str, Any]] = []
    with httpx.stream("GET", f"{server(mesh)}/v1/metrics/stream", timeout=20, trust_env=False) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event = ""
        for text in answer.iter_lines():
            if text.startswith("event: "):
                event = text.removeprefix("event: ")
            elif text.startswith("data: ") and event == "summary":
                said.append(json.loads(text.removeprefix("data: ")))
            if len(said) == 2:
                break
    assert [one["lanes"][0]["lane"] for one in said] == ["gray", "gray"]


def top(mesh: Mesh, *options: str) -> str:
    mesh.chain("/a", GRAY)
    return laneway("top", "--once", *options, "--server", server(mesh))
