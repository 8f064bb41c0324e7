"""Shares, promotion and roll back, each with what it will do before it is done; and every figure's query."""

from __future__ import annotations

import re

import pytest

from tests.console.conftest import FLOW, Mesh, Opened, accessible, confirmed
from tests.mesh.client import until

pytestmark = pytest.mark.console
QUERIES = {"QPS": "laneway_requests_total", "Errors": "server_error|reset", "p99": "histogram_quantile(0.99"}


def test_a_share_is_changed_with_the_sums_of_all_lanes(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    for name, percent in (("gray", 0), ("other", 70)):
        mesh.put(f"{FLOW}/lanes/{name}", {"tag": "gray", "ratio": {"percent": percent}})
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("button", name="More actions on gray").click()
    page.get_by_role("menuitem", name="Change the share").click()
    dialog = page.get_by_role("dialog", name="Share of lane gray")
    share = dialog.get_by_role("textbox", name="Share in per cent")
    share.fill("40")
    dialog.get_by_role("row", name="a 40 % 70 % ▲ 110 %").wait_for()
    dialog.get_by_text("On a route the shares add up to more than 100 %").wait_for()
    assert dialog.get_by_role("button", name="Continue").is_disabled()
    accessible(page)
    share.fill("30")
    dialog.get_by_role("row", name="a 30 % 70 % 100 %").wait_for()
    dialog.get_by_role("button", name="Continue").click()
    confirmed(page, "Change the share", "Route a: lane gray from 0 % to 30 %")
    assert mesh.get(f"{FLOW}/lanes/gray")["ratio"]["percent"] == 30
    until(lambda: all("Agray" in mesh.ask() for _ in range(5)), 20, "every request in one of the lanes")


def test_a_lane_is_promoted_and_rolled_back(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    try:
        page.get_by_role("button", name="More actions on gray").click()
        page.get_by_role("menuitem", name="Promote").click()
        dialog = page.get_by_role("dialog", name="Promote")
        dialog.get_by_role("row", name=re.compile("spring-cloud-a")).wait_for()
        confirmed(page, "Promote", "LaneGroup/order-flow promoted")
        page.get_by_role("row", name="gray gray").get_by_text("promoted", exact=True).wait_for()
        until(lambda: "Agray" in mesh.ask(), 20, "what was a lane is base")
        page.get_by_role("button", name="Roll back").click()
        confirmed(page, "Roll back", "laneway rollback order-flow")
        page.get_by_role("row", name="gray gray").get_by_text("disabled", exact=True).wait_for()
        until(lambda: "Agray" not in mesh.ask(), 20, "untagged instances are base")
    finally:
        mesh.http.post(f"{mesh.admin}{FLOW}/rollback")
        mesh.http.post(f"{mesh.admin}{FLOW}/lanes/gray/enable")


def test_a_lane_is_enabled_for_a_while(mesh: Mesh, opened: Opened) -> None:
    mesh.http.post(f"{mesh.admin}{FLOW}/lanes/gray/disable")
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    try:
        page.get_by_role("button", name="Enable").click()
        dialog = page.get_by_role("dialog", name="Enable")
        dialog.get_by_label("Disable it by itself after this time").fill("two hours")
        dialog.get_by_role("button", name="Enable").click()
        dialog.get_by_text(re.compile("ttl")).first.wait_for()
        dialog.get_by_label("Disable it by itself after this time").fill("2h")
        dialog.get_by_text("laneway lane enable gray --ttl 2h").wait_for()
        confirmed(page, "Enable")
        until(lambda: "enabled_until" in mesh.get(f"{FLOW}/lanes/gray"), 20, "the time")
    finally:
        mesh.http.post(f"{mesh.admin}{FLOW}/lanes/gray/enable")


def test_an_action_on_what_has_changed_meanwhile_is_refused(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    try:
        page.get_by_role("button", name="More actions on gray").click()
        page.get_by_role("menuitem", name="Promote").click()
        dialog = page.get_by_role("dialog", name="Promote")
        dialog.get_by_text("laneway promote order-flow gray").wait_for()
        mesh.http.patch(f"{mesh.admin}{FLOW}", json={"colour_by_trace": True})
        dialog.get_by_role("button", name="Promote").click()
        dialog.get_by_text("Somebody has changed this meanwhile").wait_for()
        assert "promoted" not in mesh.get(FLOW)
    finally:
        mesh.http.patch(f"{mesh.admin}{FLOW}", json={"colour_by_trace": None})


@pytest.mark.parametrize("address", ["#/", "#/groups/order-flow"])
def test_every_figure_has_its_query(mesh: Mesh, opened: Opened, address: str) -> None:
    page = opened(f"{mesh.admin}/{address}")
    lanes = page.get_by_role("table", name="Lanes")
    for figure, query in QUERIES.items():
        lanes.get_by_role("button", name=f"{figure}: the query in Prometheus").click()
        page.get_by_role("dialog").get_by_text(query).wait_for()
        accessible(page)
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
