"""The main tasks with the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import FLOW, Mesh, Opened
from tests.mesh.client import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.console
LANE = f"{FLOW}/lanes/gray"
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


def act(page: Page, verb: str, says: str, force: bool = False) -> None:
    """Take an action, read what it does, and confirm it."""
    press(page, page.get_by_role("button", name=verb, exact=True))
    sure(page, verb, says, force)


def sure(page: Page, verb: str, says: str, force: bool = False) -> None:
    dialog = page.get_by_role("dialog", name=verb)
    dialog.get_by_text(says).first.wait_for()
    dialog.get_by_text("curl -X").wait_for()
    button = dialog.get_by_role("button", name=verb, exact=True)
    if force:
        anyway = dialog.get_by_role("checkbox", name="Do it all the same")
        if not anyway.count():
            press(page, button)
        reach(page, anyway)
        page.keyboard.press("Space")
        dialog.get_by_text("--force").wait_for()
    press(page, button)
    dialog.wait_for(state="hidden")


def typed(page: Page, field: Locator, text: str) -> None:
    reach(page, field)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_a_whole_release(without_lanes: Mesh, opened: Opened) -> None:
    """Written, started, approved, promoted, finished; others rolled back and aborted; a change undone."""
    mesh = without_lanes
    mesh.put(f"{FLOW}/lanes/gray", {"tag": "gray", "ratio": {"percent": 100}, "enabled": False})
    page = opened(f"{mesh.admin}/")
    find(page, "Releases", "Releases")
    press(page, page.get_by_role("link", name="New release in order-flow"))
    typed(page, page.get_by_role("textbox", name="Name").first, "keys")
    press(page, page.get_by_role("button", name="Remove: Step 2"))
    press(page, page.get_by_role("button", name="Remove: Check 1"))
    first = page.get_by_role("group", name="Step 1")
    typed(page, first.get_by_label("Share in per cent"), "50")
    typed(page, first.get_by_label("Holds for"), "1s")
    reach(page, first.get_by_role("switch", name="Then waits for an approval"))
    page.keyboard.press("Space")
    typed(page, page.get_by_role("group", name="Step 2").get_by_label("Holds for"), "1s")
    typed(page, page.get_by_label("Looks at the checks every"), "1s")
    at_end = page.get_by_role("combobox", name="At the end")
    reach(page, at_end)
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name="Promote the lane").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(lambda: at_end.input_value() == "Promote the lane", 20, "the choice")
    press(page, page.get_by_role("button", name="Review and save"))
    sure(page, "Save", "Release/keys is created")
    # Started, watched, approved, promoted.
    page.get_by_role("heading", name="keys").wait_for()
    act(page, "Start", "Lane/gray ratio.percent", force=True)
    page.get_by_role("button", name="Approve").wait_for()
    page.get_by_text("1 of 1 approvals is missing").wait_for()
    act(page, "Approve", "goes on from 50 % to 100 %")
    page.get_by_text("succeeded", exact=True).first.wait_for()
    until(lambda: "Agray" in mesh.ask(), 20, "the lane is base")
    # Finished.
    find(page, "order-flow", "order-flow")
    act(page, "Finish the promotion", "Untagged instances", force=True)
    page.get_by_role("row", name="gray gray").get_by_text("disabled", exact=True).wait_for()
    until(lambda: "Agray" not in mesh.ask(), 20, "untagged instances are base")
    # Promoted by hand, and rolled back.
    press(page, page.get_by_role("button", name="More actions on gray"))
    promote = page.get_by_role("menuitem", name="Promote")
    promote.wait_for()
    for _ in range(10):
        if promote.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    sure(page, "Promote", "become base of every application")
    until(lambda: "Agray" in mesh.ask(), 20, "the lane is base")
    act(page, "Roll back", "are base again at once")
    until(lambda: "Agray" not in mesh.ask(), 20, "untagged instances are base")
    # Another run, aborted.
    find(page, "keys", "keys")
    page.get_by_role("heading", name="keys").wait_for()
    act(page, "Start", "lane gray from 0 % to 50 %", force=True)
    act(page, "Abort", "This is final")
    page.get_by_text("aborted", exact=True).first.wait_for()
    until(lambda: "Agray" not in mesh.ask(), 20, "requests in base")
    # A change of somebody else, undone.
    aborted = mesh.get(f"{FLOW}/lanes/gray")["ratio"]
    mesh.put(f"{FLOW}/lanes/gray", {"tag": "gray", "ratio": {"percent": 7}, "enabled": False})
    find(page, "History", "History")
    change = page.get_by_role("row").filter(has_text="Lane/gray").first
    press(page, change.get_by_role("button"))
    press(page, page.get_by_role("dialog").get_by_role("button", name="Undo this change"))
    sure(page, "Undo this change", "Lane/gray ratio.percent")
    until(lambda: mesh.get(f"{FLOW}/lanes/gray")["ratio"] == aborted, 20, "the share from before")
