"""Access logs and spans of real Envoys, in a file and at a real OTLP receiver; routing stays as it is."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.client import Client, fetch, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, listening

OTLP = str(Path(__file__).with_name("otlp.py"))

GRAY = ("canary", "gray")
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")
SECRET = "s3cret"


class Receiver:
    """What the collector has received."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _lines(self) -> list[dict[str, Any]]:
        whole = self._path.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [one for one in self._lines() if "trace" in one]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [one for one in self._lines() if "body" in one]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray")
    address = f"{mesh.network}.240"
    command = [sys.executable, OTLP, f"{address}:4317", str(mesh.directory / "otlp.json")]
    mesh.start_command("otlp", command)
    until(lambda: listening((address, 4317)), 20, "the collector")
    collector = {"host": address}
    logged = [
        {"kind": "Application", "name": name, "access_log": {"path": str(mesh.directory / "b.json")}}
        if name == "spring-cloud-b"
        else {"kind": "Application", "name": name, "access_log": {"otlp": collector}}
        for name in APPLICATIONS
    ]
    sticky = {"percent": 30, "sticky": {"cookie": "stay"}}
    mesh.start(
        route("a", "sc-A"),
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        group("sale", "spring-cloud-c"),
        lane("share", "sale", tag="gray", ratio=sticky),
        *logged,
        gateway(mesh, 100),
    )
    for admin in mesh.envoys():
        until(lambda a=admin: b"laneway.lane" in fetch(a, "/config_dump").body, 10, f"tracing at {admin[0]}")
    return mesh


@pytest.fixture
def receiver(mesh: Mesh) -> Receiver:
    return Receiver(mesh.directory / "otlp.json")


def gateway(mesh: Mesh, percent: float) -> dict[str, Any]:
    collector = {"host": f"{mesh.network}.240"}
    tracing = {"collector": collector, "percent": percent}
    return mesh.gateway(tracing=tracing, access_log={"otlp": collector})


def send(mesh: Mesh, *headers: Any) -> None:
    secrets = [("cookie", f"session={SECRET}"), ("authorization", f"Bearer {SECRET}")]
    assert mesh.edge.request("GET", f"/a?token={SECRET}", [*secrets, *headers]).status == 200


def of(found: list[dict[str, Any]], **wanted: str) -> list[dict[str, Any]]:
    return [one for one in found if wanted.items() <= one.items()]


def test_spans_of_one_trace_with_lane_and_tag(mesh: Mesh, receiver: Receiver) -> None:
    send(mesh, GRAY, PARENT)

    def spans() -> list[dict[str, Any]]:
        return of(receiver.spans, trace=TRACE)

    until(lambda: len(spans()) >= 6, 15, "the spans of edge, sidecars in and out")
    seen = Counter((x["owner"], x["laneway.lane"], x.get("laneway.tag", "")) for x in spans())
    assert seen == {
        ("edge", "gray", "gray"): 1,
        ("spring-cloud-a", "gray", ""): 1,
        ("spring-cloud-a", "gray", "base"): 1,
        ("spring-cloud-b", "gray", ""): 1,
        ("spring-cloud-b", "gray", "gray"): 1,
        ("spring-cloud-c", "gray", ""): 1,
    }
    ids = {x["id"] for x in spans()}
    assert sum(x["parent"] in ids for x in spans()) >= 3  # sidecars' spans are below those of their callers
    assert SECRET not in repr(receiver.spans)


def test_a_sticky_share_stays_with_tracing_on(mesh: Mesh) -> None:
    """Envoy's tracing rewrites request ids, which the first choice is made by."""
    moved = lanes = 0
    for number in range(120):
        sampled = ("traceparent", f"00-{number:032x}-b7ad6b7169203331-01")
        with Client(mesh.edge_address) as client:
            first = client.get("/a", sampled)
            cookie = (first.header("set-cookie") or "").partition(";")[0]
            assert cookie.startswith("stay=")
            lanes += first.lane == "share"
            moved += client.get("/a", ("cookie", cookie), sampled).lane != first.lane
    assert moved == 0
    assert 15 < lanes < 65


def test_access_logs_in_one_shape(mesh: Mesh, receiver: Receiver) -> None:
    send(mesh, GRAY, ("x-seen", "1"))
    path = mesh.directory / "b.json"

    def of_gray() -> list[dict[str, Any]]:
        return of(receiver.records, lane="gray")

    until(lambda: len({x["owner"] for x in of_gray()}) == 3, 15, "records of edge, A and C")
    until(lambda: len(_lines(path, "gray")) >= 2, 15, "lines of B")
    edge = of(of_gray(), owner="edge")[-1]
    shown = edge["tag"], edge["fallback"], edge["route"], edge["service"]
    assert shown == ("gray", "false", "a/gray", "file///sc-A")
    assert edge["path"] == "/a"
    called = of(of_gray(), owner="spring-cloud-a", service="file///sc-B")[-1]
    assert (called["tag"], called["fallback"], called["lane_header"]) == ("base", "true", "gray")
    assert called["request_id"]
    inbound = [x for x in _lines(path, "gray") if x["route"].startswith("inbound")][-1]
    shape = set(inbound)
    assert shape >= {
        "request_id",
        "trace_id",
        "lane",
        "lane_baggage",
        "tag",
        "fallback",
        "upstream",
        "duration_ms",
    }
    assert {*edge} - {"owner", "body"} <= shape
    assert SECRET not in path.read_text() + repr(receiver.records)


def _lines(path: Path, lane: str) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]
    return [one for one in lines if one["lane"] == lane]


def test_a_client_cannot_ask_for_spans(mesh: Mesh, receiver: Receiver) -> None:
    def sampled(digit: str) -> tuple[str, str]:
        return "traceparent", f"00-{digit * 32}-b7ad6b7169203331-01"

    def applied() -> bool:
        return '"random_sampling": {},' in fetch(mesh.edge_admin, "/config_dump").body.decode()

    mesh.apply(gateway(mesh, 0))
    until(applied, 10, "the edge to sample nothing")
    with Client(mesh.edge_address) as client:
        client.get("/a", GRAY, sampled("1"))
    mesh.apply(gateway(mesh, 100))
    until(lambda: not applied(), 10, "the edge to sample everything")
    with Client(mesh.edge_address) as client:
        client.get("/a", GRAY, sampled("2"))
    until(lambda: len(of(receiver.spans, trace="2" * 32)) >= 6, 15, "the spans of what is sampled")
    assert of(receiver.spans, trace="1" * 32) == []


def test_explain_says_where_proxies_write(mesh: Mesh) -> None:
    asked = {"gateway": "edge", "method": "GET", "host": "x", "path": "/a", "headers": [GRAY]}
    found = mesh.rest.done("POST", "/v1/explain", asked)
    collector = f"{mesh.network}.240:4317 by OTLP"
    assert found["access_log"] == f"{collector}; of 100 % of the requests"
    assert found["tracing"] == f"{collector}; of 100 % of the requests"
    written = {hop["application"]: (hop["access_log"], hop["tracing"]) for hop in found["hops"]}
    spans = f"{collector}; of 100 % of the requests without a decision of their own"
    lines = dict.fromkeys(APPLICATIONS, f"{collector}; of 100 % of the requests")
    lines["spring-cloud-b"] = f"{mesh.directory / 'b.json'} as json; of 100 % of the requests"
    assert written == {name: (text, spans) for name, text in lines.items()}
