"""A lane is made in the form, and traffic moves; a release is driven to its end from the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.console.conftest import Mesh, Opened, accessible
from tests.mesh.client import until

pytestmark = pytest.mark.console
GROUP = "/v1/lane-groups/order-flow"
RATIO: dict[str, Any] = {"tag": "gray", "ratio": {"percent": 100}, "enabled": False}
"""A release brings a lane to the share that it has; until then it is disabled."""


@pytest.fixture
def without_lanes(mesh: Mesh) -> Iterator[Mesh]:
    """The mesh without its lane, which is there again afterwards."""
    before = mesh.http.get(f"{mesh.admin}{GROUP}/lanes/gray").json()
    mesh.http.delete(f"{mesh.admin}{GROUP}/lanes/gray")
    yield mesh
    mesh.http.post(f"{mesh.admin}{GROUP}/rollback")
    for release in mesh.http.get(f"{mesh.admin}/v1/releases").json()["items"]:
        mesh.http.delete(f"{mesh.admin}{GROUP}/releases/{release['name']}")
    for lane in mesh.http.get(f"{mesh.admin}/v1/lanes").json()["items"]:
        mesh.http.delete(f"{mesh.admin}{GROUP}/lanes/{lane['name']}")
    mesh.put(f"{GROUP}/lanes/gray", {key: value for key, value in before.items() if key != "status"})


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


def test_a_release_is_started_approved_and_promoted(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    mesh.put(f"{GROUP}/lanes/gray", RATIO)
    mesh.put(
        f"{GROUP}/releases/go",
        {
            "lane": "gray",
            "steps": [{"percent": 50, "hold": "0s", "approval": True}, {"percent": 100, "hold": "0s"}],
            "at_end": "promote",
            "interval": "1s",
        },
    )
    page = opened(f"{mesh.admin}/#/releases/order-flow/go")
    for verb in ("Start", "Approve"):
        page.get_by_role("button", name=verb).click()
        dialog = page.get_by_role("dialog", name=verb)
        dialog.get_by_role("button", name=verb).click()
        # Nobody has observed yet whether the applications keep the lane, which a start asks for.
        anyway = dialog.get_by_text("Do it all the same")
        anyway.or_(page.get_by_text(f"Done: {verb}")).first.wait_for()
        if anyway.count():
            anyway.click()
            dialog.get_by_role("button", name=verb).click()
        dialog.wait_for(state="hidden")
    page.get_by_text("succeeded", exact=True).wait_for()
    accessible(page)
    page.goto(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.get_by_role("row", name="gray gray").get_by_text("disabled", exact=True).wait_for()


def test_a_release_is_aborted(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    mesh.put(f"{GROUP}/lanes/gray", RATIO)
    mesh.put(f"{GROUP}/releases/stop", {"lane": "gray", "steps": [{"percent": 50, "hold": "1h"}]})
    page = opened(f"{mesh.admin}/#/releases")
    page.get_by_role("link", name="stop").click()
    answer = mesh.http.post(f"{mesh.admin}{GROUP}/releases/stop/start?force=true")
    assert answer.status_code == 200, answer.text
    page.get_by_role("button", name="Abort").click()
    page.get_by_role("dialog").get_by_text("This is final").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    page.get_by_text("aborted", exact=True).first.wait_for()
    until(lambda: "Agray" not in mesh.ask(), 20, "requests in base")
