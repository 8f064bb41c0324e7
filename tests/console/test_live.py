"""A change shows by itself, in every browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.console.conftest import Mesh, Opened
from tests.mesh.client import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.console
LANE = "/v1/lane-groups/order-flow/lanes/gray"
NOTES_WHEN = """text => {
  window.shownAt = 0;
  const look = () => {
    if (!window.shownAt && document.body.innerText.includes(text)) window.shownAt = Date.now();
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def shown_after(page: Page, since: float) -> float:
    """Seconds from `since` until the page showed what it waits for."""
    until(lambda: page.evaluate("window.shownAt") > 0, 20, "the change on the page")
    return float(page.evaluate("window.shownAt")) / 1000 - since


def test_a_change_shows_in_two_browsers(mesh: Mesh, opened: Opened) -> None:
    pages = [opened(f"{mesh.admin}/"), opened(f"{mesh.admin}/#/groups/order-flow", scheme="dark")]
    for page in pages:
        page.get_by_role("row", name="gray").first.get_by_text("enabled", exact=True).wait_for()
        page.locator("[data-state=live]").wait_for()
        page.evaluate(NOTES_WHEN, "disabled")
    try:
        since = time.time()
        assert mesh.http.post(f"{mesh.admin}{LANE}/disable").status_code == 200
        took = [shown_after(page, since) for page in pages]
        print("a change over REST was shown after", ", ".join(f"{one:.2f} s" for one in took))
        assert max(took) < 10, "it takes less than a second"
        # What one browser changes the other one shows.
        pages[0].evaluate(NOTES_WHEN, "enabled")
        pages[1].get_by_role("button", name="Enable").click()
        pages[1].get_by_role("dialog", name="Enable").get_by_role("button", name="Enable").click()
        pages[0].get_by_role("row", name="gray").first.get_by_text("enabled", exact=True).wait_for()
    finally:
        mesh.http.post(f"{mesh.admin}{LANE}/enable")
