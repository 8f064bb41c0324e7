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
