"""The query beside each figure gives data in a real Prometheus that reads the control plane."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.ports import free_port
from tests.console.conftest import Mesh, Opened
from tests.mesh.client import until
from tests.monitoring.prometheus import Prometheus

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.console


@pytest.fixture
def prometheus(mesh: Mesh, tmp_path: Path) -> Iterator[Prometheus]:
    made = Prometheus(("127.0.0.1", free_port()), tmp_path / "files")
    target = mesh.admin.removeprefix("http://")
    made.write({"laneway-control-plane": [target], "laneway-proxies": []})
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(made.command(), stdout=log, stderr=log)
    try:
        until(made.targets_up, 30, "Prometheus to read the control plane")
        yield made
    finally:
        process.terminate()
        process.wait(timeout=30)


def shown(page: Page) -> dict[str, str]:
    """The queries of the page, by figure."""
    found: dict[str, str] = {}
    marks = page.get_by_role("button", name="the query in Prometheus")
    marks.first.wait_for()
    for index in range(marks.count()):
        name = marks.nth(index).get_attribute("aria-label") or ""
        marks.nth(index).click()
        dialog = page.get_by_role("dialog")
        found[f"{page.url} {index} {name}"] = dialog.locator("pre").inner_text()
        page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")
    return found


def test_every_query_gives_data(mesh: Mesh, prometheus: Prometheus, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/")
    queries = shown(page)
    page.goto(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("heading", name="order-flow", level=1).wait_for()
    queries |= shown(page)
    page.get_by_role("tab", name="Table").click()
    page.get_by_role("columnheader", name="Fallbacks/min").wait_for()
    queries |= shown(page)
    charts = page.get_by_text("In Prometheus:").locator("code")
    charts.first.wait_for()
    queries |= {f"chart {index}": text for index, text in enumerate(charts.all_inner_texts())}
    mesh.put("/v1/lane-groups/order-flow/releases/shown", {"lane": "gray", "steps": [{"percent": 5}]})
    page.goto(f"{mesh.admin}/#/releases/order-flow/shown")
    queries |= shown(page)
    mesh.http.delete(f"{mesh.admin}/v1/lane-groups/order-flow/releases/shown")
    assert len(queries) >= 16

    def traffic() -> None:
        mesh.ask()
        mesh.ask(canary="gray")

    prometheus.wait_data(queries.items(), traffic)
    share = next(query for name, query in queries.items() if "Share seen" in name)

    def half() -> bool:
        traffic()
        return any(
            0.2 < value < 0.8 for labels, value in prometheus.query(share) if labels.get("lane") == "gray"
        )

    until(half, 60, "half of the requests in the lane")
