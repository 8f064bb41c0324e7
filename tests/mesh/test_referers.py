"""Rules on the Referer are met by what the client sent, also where Envoy finds it odd and removes it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route, rule
from tests.mesh.harness import Mesh

TEST = "http://test_ui.example.com/y"
PARTS = ("http", "://", "test", "_", "a.b", "/", "?", "#", "@", ":80", ":99999", "%", "é", '"', "[", "|", " ")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    mesh = new_mesh(drain=0.0)
    mesh.pod("A", "sc-A", "app", sidecar=False)
    mesh.pod("Agray", "sc-A", "app", tag="gray", sidecar=False)
    odd = {"source": "header", "name": "Referer", "operator": "regex", "value": "https?://test[^/]*/.*"}
    mesh.start(
        route("a", "sc-A"),
        {**route("own", "sc-A", {"prefix": "/own"}), "headers": {"request": {"set": {"referer": "mine"}}}},
        {**route("none", "sc-A", {"prefix": "/none"}), "headers": {"request": {"remove": ["Referer"]}}},
        group("g", "app"),
        lane("gray", "g", rule=rule(odd)),
    )
    with Client(mesh.edge_address) as client:
        until(lambda: client.get("/a", ("referer", "http://test/")).lane == "gray", 20, "the lane")
    return mesh


def explained(mesh: Mesh, path: str, headers: list[tuple[str, str]]) -> str | None:
    question = {"gateway": "edge", "host": "x", "path": path, "headers": headers}
    answer = mesh.rest.done("POST", "/v1/explain", question)
    return answer["lane"]


def test_what_the_client_sent_counts_and_arrives(mesh: Mesh) -> None:
    with Client(mesh.edge_address) as client:
        for lines, expected, arrives in (
            ([("referer", TEST)], "gray", TEST),
            ([("referer", TEST + "#x")], "gray", TEST + "#x"),
            ([("referer", "http://other_ui/")], None, "http://other_ui/"),
            ([("referer", TEST), ("referer", "http://other/")], "gray", f"{TEST},http://other/"),
            ([("referer", "http://other/"), ("referer", TEST)], None, f"http://other/,{TEST}"),
            ([("referer", "")], None, ""),
            ([("x-laneway-referer", TEST)], None, None),
            ([("x-laneway-referer", "http://other/"), ("referer", TEST)], "gray", TEST),
        ):
            answer = client.request("GET", "/a", lines)
            assert (answer.lane, explained(mesh, "/a", lines)) == (expected, expected), lines
            assert answer.received("referer") == ([] if arrives is None else [arrives]), lines
            assert answer.received("x-laneway-referer") == []
        assert client.get("/own", ("referer", TEST)).received("referer") == ["mine"]
        assert client.get("/none", ("referer", TEST)).received("referer") == []
        assert client.get("/none", ("referer", TEST)).lane == "gray"


def test_explain_and_the_edge_agree_on_odd_ones(mesh: Mesh) -> None:
    pick = random.Random(7)
    with Client(mesh.edge_address) as client:
        for _ in range(200):
            begin = pick.choice(["", "http://", "http://test", "https://test_", "x://h/"])
            text = (begin + "".join(pick.choice(PARTS) for _ in range(pick.randint(0, 5)))).strip()
            lines = [("referer", text)]
            if nominated := pick.random() < 0.2:
                lines.append(("connection", "referer"))
            answer = client.request("GET", "/a", lines)
            assert answer.lane == explained(mesh, "/a", lines), lines
            raw = text.encode().decode("latin-1")
            assert answer.received("referer") == ([] if nominated else [raw]), lines
