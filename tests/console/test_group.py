"""A group: its picture, the table that says the same, and switching a lane."""

from __future__ import annotations

import pytest

from tests.console.conftest import Mesh, Opened, accessible
from tests.mesh.client import until

pytestmark = pytest.mark.console
LANE = "/v1/lane-groups/order-flow/lanes/gray"


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_picture_and_table_say_the_same(mesh: Mesh, opened: Opened, width: int, scheme: str) -> None:
    page = opened(f"{mesh.admin}/#/groups/order-flow", width=width, scheme=scheme)
    picture = page.locator("[data-picture]")
    fallback = picture.locator(".react-flow__node", has_text="spring-cloud-b").filter(has_text="gray")
    fallback.get_by_text("base, by fallback").wait_for()
    before = fallback.evaluate("one => one.style.transform")

    def traffic() -> bool:
        mesh.ask(canary="gray")
        return picture.locator(".react-flow__edge.animated").count() >= 3

    until(traffic, 60, "requests on the edges of the picture")
    assert fallback.evaluate("one => one.style.transform") == before, "nothing moves while figures change"
    accessible(page)
    page.get_by_role("tab", name="Table").click()
    page.get_by_role("row", name="gray spring-cloud-b base, by fallback").wait_for()
    page.get_by_role("row", name="gray spring-cloud-c 1 instance").wait_for()
    accessible(page)


def test_a_lane_is_disabled_and_enabled_by_keyboard(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("button", name="Disable").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Disable")
    dialog.get_by_text("Lane gray takes no more requests").wait_for()
    dialog.get_by_text("laneway lane disable gray").wait_for()
    dialog.get_by_role("cell", name="Lane/gray enabled").wait_for()
    accessible(page)
    dialog.get_by_role("button", name="Disable").focus()
    page.keyboard.press("Enter")
    try:
        page.get_by_role("row", name="gray gray").get_by_text("disabled", exact=True).wait_for()
        until(lambda: "Agray" not in mesh.ask(canary="gray"), 20, "gray requests in base")
        page.get_by_role("button", name="Enable").click()
        page.get_by_role("dialog", name="Enable").get_by_role("button", name="Enable").click()
        page.get_by_role("row", name="gray gray").get_by_text("enabled", exact=True).wait_for()
        until(lambda: "Agray" in mesh.ask(canary="gray"), 20, "gray requests in the lane")
    finally:
        mesh.http.post(f"{mesh.admin}{LANE}/enable")


def test_what_somebody_else_changed_meanwhile_stays(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("button", name="Disable").click()
    dialog = page.get_by_role("dialog", name="Disable")
    dialog.get_by_text("laneway lane disable gray").wait_for()
    try:
        mesh.http.patch(f"{mesh.admin}{LANE}", json={"priority": 7})
        dialog.get_by_role("button", name="Disable").click()
        dialog.get_by_text("Somebody has changed this meanwhile").wait_for()
        assert mesh.http.get(f"{mesh.admin}{LANE}").json()["enabled"] is True
    finally:
        mesh.http.patch(f"{mesh.admin}{LANE}", json={"priority": None})
