"""The main tasks with the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import Mesh, Opened
from tests.mesh.client import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.console
LANE = "/v1/lane-groups/order-flow/lanes/gray"
MOST = 120
"""Presses of Tab within which everything of a page is reached."""


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until what is wanted has the focus."""
    wanted.first.wait_for()
    for _ in range(MOST):
        if wanted.first.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.outerHTML.slice(0, 300)")
    pytest.fail(f"{wanted} is not reached by Tab; the focus is on {focused}")


def press(page: Page, wanted: Locator) -> None:
    reach(page, wanted)
    page.keyboard.press("Enter")


def find(page: Page, text: str, option: str) -> None:
    """Search with `/`, and take an option."""
    page.locator("[data-state=live]").wait_for()
    page.keyboard.press("/")
    dialog = page.get_by_role("dialog", name="Search")
    dialog.get_by_role("combobox").wait_for()
    until(lambda: page.evaluate("document.activeElement.getAttribute('role')") == "combobox", 20, "the focus")
    page.keyboard.type(text)
    page.get_by_role("option", name=option).first.wait_for()
    page.keyboard.press("Enter")
    dialog.wait_for(state="hidden")


def test_a_lane_is_found_disabled_and_enabled(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/")
    try:
        find(page, "gray", "gray")
        page.get_by_role("heading", name="order-flow").wait_for()
        for verb, state in (("Disable", "disabled"), ("Enable", "enabled")):
            press(page, page.get_by_role("button", name=verb, exact=True))
            dialog = page.get_by_role("dialog", name=verb)
            dialog.get_by_text(f"laneway lane {verb.lower()} gray").wait_for()
            press(page, dialog.get_by_role("button", name=verb, exact=True))
            page.get_by_role("row", name="gray gray").get_by_text(state, exact=True).wait_for()
            dialog.wait_for(state="hidden")
    finally:
        mesh.http.post(f"{mesh.admin}{LANE}/enable")


def test_a_request_is_explained(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/")
    find(page, "Explain", "Explain")
    reach(page, page.get_by_label("Path with its query"))
    page.keyboard.press("Control+A")
    page.keyboard.type("/a")
    reach(page, page.get_by_label("Headers"))
    page.keyboard.type("canary: gray")
    page.get_by_role("region", name="Its way", exact=True).get_by_text("lane gray").first.wait_for()


def test_what_a_proxy_was_sent_is_read(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/")
    node = next(
        one["node"]
        for one in mesh.http.get(f"{mesh.admin}/v1/proxies").json()["items"]
        if one["role"] == "edge"
    )
    find(page, node, node)
    table = page.get_by_role("table", name="Configuration that it was sent")
    press(page, table.get_by_role("button").first)
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("The proxy has this.").wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    until(lambda: page.evaluate("document.activeElement.tagName") == "BUTTON", 20, "the focus where it was")
