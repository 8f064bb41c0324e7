"""What a mesh can be like, on real Envoys: each state is shown as what it is, and unlike the others."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controlplane.cli.envoy_config import bootstrap, edge_metadata
from tests.cli.served import served
from tests.console.conftest import Opened, accessible
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc
from tests.mesh.test_envoy_patches import BROKEN, edges, put, settled, started
from tests.mesh.test_propagation import drive, hands_on

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.console, pytest.mark.timeout(400)]  # a mesh is started within the time of a test
GRAY = ("canary", "gray")
SOON_S = 10
MOVING = ".react-flow__edge.animated"
NOTES_WHEN_IT_MOVES = """moving => {
  window.movedAt = 0;
  const look = () => { if (!window.movedAt && document.querySelector(moving)) window.movedAt = Date.now(); };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A -> B -> C; the lane gray has instances of A and C, and of C two."""
    folder = tmp_path_factory.mktemp("chain")
    mesh = Mesh(folder, store=f"sqlite:{folder / 'laneway.db'}")
    abc(mesh, "Agray", "Cgray", "Cgray2")
    try:
        yield mesh.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
    finally:
        mesh.stop()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Four edges of a control plane that tries changes on two of them first."""
    mesh = Mesh(tmp_path_factory.mktemp("four"))
    try:
        started(mesh, LANEWAY_TRIAL_WAIT="2")
        for number in range(3):
            address = (f"{mesh.network}.{240 + number}", 15000)
            config = bootstrap(f"other-{number}", "edge", edge_metadata(), mesh.xds, address)
            mesh.start_envoy(f"other-{number}", config)
        until(lambda: len(edges(mesh)) == 4 and settled(mesh, "listener"), 20, "four edges")
        yield mesh
    finally:
        mesh.stop()


def url(mesh: Mesh, view: str) -> str:
    address, port = mesh.admin
    return f"http://{address}:{port}/#{view}"


def box(page: Page, application: str, track: str) -> Locator:
    return page.locator(".react-flow__node", has_text=application).filter(has_text=track)


def test_idle_one_request_and_stale(chain: Mesh, opened: Opened) -> None:
    """And a control plane that is restarted: what was seen last is marked as old, and goes on by itself."""
    page = opened(url(chain, "/groups/order-flow"))
    labels = page.locator("[data-picture] .react-flow__edge-text")
    labels.filter(has_text=re.compile("^idle$")).nth(5).wait_for()
    assert page.locator(MOVING).count() == 0
    page.evaluate(NOTES_WHEN_IT_MOVES, MOVING)
    since = time.time()
    assert chain.edge.get("/a", GRAY).status == 200
    until(lambda: page.evaluate("window.movedAt"), 30, "the request on the page")
    took = page.evaluate("window.movedAt") / 1000 - since
    print(f"a single request was shown after {took:.1f} s")
    assert took < 2 * SOON_S, f"it takes less than {SOON_S} s"
    chain.kill(chain.serving)
    page.get_by_text("The connection to the control plane is lost").wait_for()
    page.get_by_text("stale").wait_for()
    assert page.locator(MOVING).count() == 0, "nothing moves of which nobody knows"
    accessible(page)
    chain.start_laneway()
    page.locator("[data-state=live]").wait_for()
    page.get_by_text("stale").wait_for(state="detached")
    labels.filter(has_text=re.compile("^idle$")).nth(5).wait_for()


def test_no_data_where_nobody_counts(opened: Opened, tmp_path: Path) -> None:
    """A control plane to which no proxy reports says so, and not that there are no requests."""
    with served(tmp_path) as one:
        for document in (
            {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]},
            group("order-flow", *APPLICATIONS),
            lane("gray"),
        ):
            assert one.http.post("/v1/apply", json=[document]).status_code == 200
        page = opened(f"http://127.0.0.1:{one.admin}/")
        row = page.get_by_role("row", name="order-flow gray")
        row.get_by_text("no data").first.wait_for()
        assert "idle" not in row.inner_text()
        page.get_by_role("link", name="order-flow").click()
        page.locator("[data-picture] .react-flow__edge-text", has_text="no data").nth(5).wait_for()


def test_a_fallback_and_dead_instances(chain: Mesh, opened: Opened) -> None:
    page = opened(url(chain, "/groups/order-flow"), scheme="dark")
    fallen = box(page, "spring-cloud-b", "gray")
    fallen.get_by_text("base, by fallback").wait_for()
    assert fallen.locator("[data-own=false]").count() == 1, "it is drawn with a dashed line"
    page.locator(".react-flow__edge-text", has_text="falls back").first.wait_for()
    whole = box(page, "spring-cloud-c", "gray")
    whole.get_by_text("2 instances").wait_for()
    chain.register("Cgray2", health="unhealthy")
    try:
        whole.get_by_text("1 unhealthy").wait_for()
        accessible(page)
        page.get_by_role("tab", name="Table").click()
        page.get_by_role("row", name="gray spring-cloud-c 2 instances ▲ 1").wait_for()
    finally:
        chain.register("Cgray2")
    page.get_by_role("tab", name="Picture").click()
    whole.get_by_text("unhealthy").wait_for(state="detached")


def test_an_application_that_loses_the_lane(chain: Mesh, opened: Opened) -> None:
    assert chain.rest.call("POST", "/v1/propagation", {"seconds": 60}).status == 202
    drive(chain, 300, hands_on("x-request-id,traceparent"))
    assert chain.rest.call("DELETE", "/v1/propagation").status == 204

    def verdicts() -> dict[str, str]:
        found = chain.rest.get("/v1/propagation")
        return {} if found["running"] else {one["application"]: one["verdict"] for one in found["items"]}

    until(lambda: verdicts().get("spring-cloud-b") == "loses", 20, "the verdict")
    page = opened(url(chain, "/groups/order-flow"))
    box(page, "spring-cloud-b", "base").get_by_text("loses the lane").wait_for()
    assert box(page, "spring-cloud-a", "base").get_by_text("loses the lane").count() == 0
    accessible(page)


def test_a_rejected_change_and_whom_it_is_held_from(four: Mesh, opened: Opened) -> None:
    """Two real Envoys reject it; the other two never get it, and say why."""
    page = opened(url(four, "/"))
    page.get_by_text("4 of 4 in sync").wait_for()
    answer = put(four, BROKEN)
    assert answer.status == 200, answer.body
    try:
        until(lambda: any(one["held"] for one in edges(four)), 20, "the trial to end")
        page.get_by_text(re.compile("fill timer must be")).first.wait_for()
        page.get_by_text("2 of 4 in sync").or_(page.get_by_text("0 of 4 in sync")).wait_for()
        accessible(page)
        page.get_by_role("link", name="Proxies", exact=True).click()
        rows = page.get_by_role("table", name="Proxies").locator("tbody").get_by_role("row")
        rows.first.get_by_text(re.compile("fill timer must be")).wait_for()
        held = rows.filter(has_text="1 change held back").first
        held.wait_for()
        accessible(page)
        held.get_by_role("link").click()
        page.get_by_text(re.compile("fill timer must be")).first.wait_for()
        accessible(page)
    finally:
        assert put(four).status == 200
    until(lambda: settled(four, "listener"), 20, "the good one everywhere")
