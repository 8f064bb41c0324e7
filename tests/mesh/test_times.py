"""Rule 16: a lane opens and closes by its times, by rule 10, whatever happens to the system's clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc

GRAY = ("canary", "gray")
BASE = ["A", "B", "C"]
LANE = ["Agray", "B", "Cgray"]
OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": ["09:00-17:00"], "time_zone": "Europe/Berlin"}
CLOCKED = Path(__file__).with_name("clocked.py")


class Clocked:
    """A mesh whose control plane has the clock of the test."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.file = mesh.directory / "clock"
        self.set("2026-03-27T08:59:59+01:00")
        mesh.laneway = (sys.executable, "-P", str(CLOCKED))
        mesh.environment["LANEWAY_TEST_CLOCK"] = str(self.file)

    def set(self, at: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(str(datetime.fromisoformat(at).timestamp()))
        new.replace(self.file)


@pytest.fixture(scope="module")
def clocked(new_mesh: Callable[..., Mesh]) -> Clocked:
    made = new_mesh(drain=0.5)
    clock = Clocked(made)
    abc(made, "Agray", "Cgray")
    made.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray", schedule=OFFICE))
    return clock


def closed(mesh: Mesh) -> Any:
    """The lanes that `explain` calls closed, with when they open."""
    asked = {"gateway": "edge", "path": "/a", "headers": [list(GRAY)]}
    told = mesh.rest.done("POST", "/v1/explain", asked)
    return told["lane"], [(one["lane"], one["opens"]) for one in told.get("resting", ())]


def revisions(mesh: Mesh) -> int:
    return len(mesh.rest.get("/v1/revisions")["items"])


def test_a_lane_follows_its_schedule_and_no_request_fails_or_is_split(clocked: Clocked) -> None:
    mesh = clocked.mesh
    mesh.wait_chain(BASE, GRAY)
    assert closed(mesh) == (None, [("gray", "2026-03-27T09:00:00+01:00")])
    before = revisions(mesh)
    requests = (("GET", "/a", [GRAY], b""), ("POST", "/a", [GRAY], b"p" * 1000), ("GET", "/a", [], b""))
    with mesh.load(*requests, rate=60.0) as load:
        # Friday morning, Friday evening, Monday in summer time, back to Friday: a clock may be set.
        for at, chain in (
            ("2026-03-27T09:00:00+01:00", LANE),
            ("2026-03-27T17:00:00+01:00", BASE),
            ("2026-03-30T09:00:00+02:00", LANE),
            ("2026-03-27T08:00:00+01:00", BASE),
            ("2026-03-27T12:00:00+01:00", LANE),
        ):
            clocked.set(at)
            mesh.wait_chain(chain, GRAY, timeout=20)
            load.wait_for(30)
    assert not load.failed(), load.failed()[:5]
    assert set(load.chains()) <= {tuple(BASE), tuple(LANE)}, load.chains()
    assert closed(mesh) == ("gray", [])
    assert revisions(mesh) == before
