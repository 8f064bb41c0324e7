"""Lanes and groups by form and YAML; what is wrong stands beside its field."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.console.conftest import FLOW, Mesh, Opened, accessible, confirmed
from tests.mesh.client import until

pytestmark = pytest.mark.console
RULE = {"conditions": [{"source": "header", "name": "canary", "operator": "==", "value": "gray"}]}


def test_a_lane_is_made_in_the_form(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("link", name="New lane").click()
    page.get_by_role("textbox", name="Name").first.fill("mine")
    page.get_by_role("textbox", name="Tag").fill("gray")
    page.get_by_text("Instances with the tag gray").wait_for()
    value = page.get_by_role("textbox", name="Value", exact=True)
    value.fill("")
    page.get_by_role("combobox", name="Operator").click()
    page.get_by_role("option", name="prefix").click()
    page.get_by_text("is empty, and every value begins so").first.wait_for()
    accessible(page)
    value.fill("gr")
    yaml = page.get_by_role("textbox", name="YAML")
    until(lambda: "value: gr\n" in yaml.input_value(), 20, "the YAML beside")
    yaml.fill(yaml.input_value().replace("name: canary", "name: kind"))
    assert page.get_by_role("textbox", name="Name").nth(1).input_value() == "kind"
    page.get_by_role("button", name="Review and save").click()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("row", name="mine gray").wait_for()
    until(lambda: "Agray" in mesh.ask(kind="green"), 20, "requests in the new lane")


EVERYTHING: dict[str, Any] = {
    "tag": "gray",
    "enabled": False,
    "enabled_until": "2030-01-01T00:00:00Z",
    "from": "2027-01-01T00:00:00Z",
    "until": "2031-01-01T00:00:00Z",
    "schedule": {"days": ["mon", "fri"], "hours": "09:00-17:00", "time_zone": "Europe/Berlin"},
    "fallback": {"spring-cloud-b": "none"},
    "response_headers": {"set": {"x-served-by": "gray"}, "remove": ["x-internal"]},
    "ratio": {
        "percent": 10,
        "routes": {"a": 5},
        "sticky": {"cookie": "__Host-lane", "attributes": {"max_age": "1h", "secure": True}},
    },
}


def test_the_form_has_all_that_yaml_can_say(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    mesh.put(f"{FLOW}/lanes/gray", EVERYTHING)
    page = opened(f"{mesh.admin}/#/groups/order-flow/lanes/gray/edit")
    assert page.get_by_label("Disabled by itself at").input_value() == "2030-01-01T00:00:00Z"
    assert page.get_by_role("checkbox", name="Fri").is_checked()
    page.get_by_text("09:00-17:00", exact=True).wait_for()
    assert page.get_by_label("Set", exact=True).input_value() == "x-served-by: gray"
    page.get_by_text("x-internal", exact=True).wait_for()
    assert page.get_by_label("Name of the cookie").input_value() == "__Host-lane"
    assert page.get_by_role("switch", name="Secure").is_checked()
    assert page.get_by_text("Only the YAML shows").count() == 0
    page.get_by_role("row", name="a 5 % 0 % 5 %").wait_for()
    page.get_by_text("requests on these routes it would have taken").wait_for()
    accessible(page)
    page.get_by_role("checkbox", name="Fri").uncheck()
    page.get_by_label("Kept for").fill("2h")
    page.get_by_label("Add", exact=True).fill("x-seen: yes")
    page.get_by_role("combobox", name="spring-cloud-c").click()
    page.get_by_role("option", name="nobody answers: 503").last.click()
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "laneway apply")
    page.get_by_role("row", name="gray gray").wait_for()
    stored = mesh.get(f"{FLOW}/lanes/gray")
    assert stored["schedule"]["days"] == ["mon"]
    sticky = stored["ratio"]["sticky"]
    assert (sticky["attributes"]["max_age"], sticky["attributes"]["secure"]) == ("2h", True)
    assert stored["response_headers"] == EVERYTHING["response_headers"] | {"add": {"x-seen": "yes"}}
    assert stored["fallback"] == {"spring-cloud-b": "none", "spring-cloud-c": "none"}
    assert stored["until"] == EVERYTHING["until"]


def test_what_is_wrong_stands_beside_its_field(without_lanes: Mesh, opened: Opened) -> None:
    from playwright.sync_api import expect

    page = opened(f"{without_lanes.admin}/#/groups/order-flow/new-lane")
    page.get_by_role("textbox", name="Name").first.fill("Gray Lane")
    page.get_by_label("From").fill("tomorrow")
    page.get_by_label("Set", exact=True).fill("host name: x")
    page.get_by_role("switch", name="Only at certain hours").check()
    page.get_by_role("combobox", name="Hours").fill("9-17")
    page.keyboard.press("Enter")
    for label, message in (
        ("From", "is not a time"),
        ("Hours", "is not a span of hours"),
        ("Set", "is not a header"),
    ):
        field = page.get_by_label(label, exact=True).first
        expect(field).to_have_accessible_description(re.compile(message))
    expect(page.get_by_role("textbox", name="Name").first).to_have_accessible_description(re.compile("name"))
    assert page.get_by_role("button", name="Review and save").is_disabled()
    accessible(page)


def test_a_conflict_is_told_while_the_rule_is_typed(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    mesh.put(f"{FLOW}/lanes/first", {"tag": "gray", "rule": RULE})
    page = opened(f"{mesh.admin}/#/groups/order-flow/new-lane")
    page.get_by_role("textbox", name="Name").first.fill("second")
    page.get_by_role("textbox", name="Tag").fill("gray")
    effect = page.get_by_role("region", name="What saving would do")
    effect.get_by_text("no request reaches this lane: lane first takes all").wait_for()


def test_what_somebody_else_has_stored_is_shown_and_kept(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/groups/order-flow/lanes/gray/edit")
    page.get_by_role("textbox", name="YAML").wait_for()
    try:
        mesh.http.patch(f"{mesh.admin}{FLOW}/lanes/gray", json={"priority": 7})
        page.get_by_text("What differs: priority").wait_for()
        page.get_by_role("textbox", name="Tag").fill("blue")
        page.get_by_role("button", name="Review and save").click()
        dialog = page.get_by_role("dialog", name="Save")
        dialog.get_by_role("button", name="Save").click()
        dialog.get_by_text("Somebody has changed this meanwhile").wait_for()
        dialog.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Begin again").click()
        yaml = page.get_by_role("textbox", name="YAML")
        until(lambda: "priority: 7" in yaml.input_value(), 20, "what is stored")
        assert "blue" not in yaml.input_value()
    finally:
        mesh.http.patch(f"{mesh.admin}{FLOW}/lanes/gray", json={"priority": None})


def test_a_group_is_made_changed_and_deleted(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    page = opened(f"{mesh.admin}/#/new-group")
    page.get_by_role("textbox", name="Name").fill("second-flow")
    page.get_by_role("combobox", name="Gateway").click()
    page.get_by_role("option", name="edge").click()
    applications = page.get_by_label("Applications").first
    for name in ("spring-cloud-a", "spring-cloud-c"):
        applications.fill(name)
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    accessible(page)
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "LaneGroup/second-flow is created")
    page.get_by_role("heading", name="second-flow").wait_for()
    page.get_by_role("link", name="Edit the group").click()
    page.get_by_role("switch", name="Applications that lose the lane get it back").check()
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "LaneGroup/second-flow colour_by_trace")
    page.get_by_role("heading", name="second-flow").wait_for()
    assert mesh.get("/v1/lane-groups/second-flow")["colour_by_trace"] is True
    mesh.put("/v1/lane-groups/second-flow/lanes/mine", {"tag": "gray", "rule": RULE})
    page.get_by_role("row", name="mine gray").wait_for()
    page.get_by_role("button", name="Delete the group").click()
    confirmed(page, "Delete the group", "Deleted: LaneGroup/second-flow, Lane/mine")
    page.get_by_role("heading", name="Overview").wait_for()
    assert mesh.http.get(f"{mesh.admin}/v1/lane-groups/second-flow").status_code == 404
