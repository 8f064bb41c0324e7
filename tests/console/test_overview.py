"""The overview, on a real mesh."""

from __future__ import annotations

import pytest

from tests.console.conftest import Mesh, Opened, accessible, demo
from tests.mesh.client import until

pytestmark = pytest.mark.console
LANE = "/v1/lane-groups/order-flow/lanes/gray"


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark"), (3840, "light")])
def test_it_says_that_all_is_well(mesh: Mesh, opened: Opened, width: int, scheme: str) -> None:
    page = opened(f"{mesh.admin}/", width=width, scheme=scheme)
    page.get_by_text("All is well").wait_for()
    page.get_by_text("6 of 6 in sync").wait_for()
    page.get_by_role("row", name="order-flow gray").wait_for()
    accessible(page)


def test_a_demo_that_has_just_started_has_no_failed_requests(opened: Opened) -> None:
    with demo() as fresh:
        page = opened(f"{fresh.admin}/")
        page.get_by_text("All is well").wait_for()
        edge = "/v1/metrics/gateways/edge?window=1m"
        until(lambda: fresh.get(edge)["total"]["requests"] >= 2, 30, "the first requests to be counted")
        assert fresh.get(edge)["total"]["exceptions"] == 0


def test_a_request_and_a_change_show_without_a_reload(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/")
    row = page.get_by_role("row", name="order-flow gray")
    row.get_by_text("enabled").wait_for()

    def traffic() -> bool:
        mesh.ask(canary="gray")
        return "idle" not in row.inner_text()

    until(traffic, 30, "the traffic of the lane")
    try:
        mesh.http.post(f"{mesh.admin}{LANE}/disable")
        row.get_by_text("disabled").wait_for()
    finally:
        mesh.http.post(f"{mesh.admin}{LANE}/enable")
    row.get_by_text("enabled", exact=True).wait_for()


def test_chinese(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/")
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitem", name="中文").click()
    page.get_by_role("heading", name="总览").wait_for()
    page.locator("[data-menu-dropdown]").wait_for(state="hidden")  # it fades, already without its items
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    accessible(page)
    page.reload()
    page.get_by_role("heading", name="总览").wait_for()
