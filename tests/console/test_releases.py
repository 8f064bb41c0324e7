"""Releases in the browser: to promotion, into an abort, held up by windows and freezes, and taken over."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.console.conftest import FLOW, Mesh, Opened, accessible, confirmed
from tests.mesh.client import until

pytestmark = pytest.mark.console
RATIO: dict[str, Any] = {"tag": "gray", "ratio": {"percent": 100}, "enabled": False}
"""A release brings a lane to the share that it has; until then it is disabled."""


def released(mesh: Mesh, name: str, **more: Any) -> str:
    """The address of the release's page."""
    mesh.put(f"{FLOW}/lanes/gray", RATIO)
    mesh.put(f"{FLOW}/releases/{name}", {"lane": "gray", "interval": "1s", **more})
    return f"{mesh.admin}/#/releases/order-flow/{name}"


def test_a_release_goes_to_promotion_and_is_finished(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    steps = [{"percent": 50, "approval": True}, {"percent": 100}]
    checks = [{"measure": "latency", "quantile": 0.5, "max": 60_000, "window": "10s", "requests": 5}]
    page = opened(released(mesh, "go", steps=steps, checks=checks, at_end="promote"))
    page.get_by_text('laneway_request_duration_seconds_bucket{lane="gray"}').wait_for()
    page.get_by_role("button", name="Start").click()
    # Nobody has observed yet whether the applications keep the lane, which a start asks for.
    confirmed(page, "Start", "Lane/gray ratio.percent", force=True)
    page.get_by_text("running", exact=True).wait_for()
    page.get_by_role("button", name="Pause").click()
    confirmed(page, "Pause", "Release/go progress.phase")
    page.get_by_text("paused", exact=True).first.wait_for()
    page.get_by_role("button", name="Resume").click()
    confirmed(page, "Resume", "goes on from the step")

    def shown(text: str) -> bool:
        mesh.ask()
        return page.get_by_text(text, exact=True).count() > 0

    until(lambda: shown("waits for approval"), 60, "a step that asks for approval")
    accessible(page)
    page.get_by_role("button", name="Approve").click()
    confirmed(page, "Approve", "goes on from 50 % to 100 %")
    until(lambda: shown("succeeded"), 60, "the end of the release")
    accessible(page)
    assert "Agray" in mesh.ask(), "what was a lane is base"
    page.goto(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("button", name="Finish the promotion").click()
    confirmed(page, "Finish the promotion", "Untagged instances", force=True)
    page.get_by_role("row", name="gray gray").get_by_text("disabled", exact=True).wait_for()
    until(lambda: "Agray" not in mesh.ask(), 20, "untagged instances are base")


def test_a_failed_check_aborts_a_release(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    checks = [{"measure": "latency", "quantile": 0.5, "max": 0, "window": "10s", "requests": 5}]
    page = opened(released(mesh, "slow", steps=[{"percent": 100, "hold": "1h"}], checks=checks))
    page.get_by_role("button", name="Start").click()
    confirmed(page, "Start", "lane gray from 0 % to 100 %", force=True)

    def aborted() -> bool:
        mesh.ask()
        return page.get_by_text("aborted", exact=True).count() > 0

    until(aborted, 60, "the abort")
    page.get_by_role("row", name="latency p50 ▲ failed").first.wait_for()
    accessible(page)
    until(lambda: "Agray" not in mesh.ask(), 20, "requests in base")


def test_a_release_is_aborted_by_hand(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    address = released(mesh, "stop", steps=[{"percent": 50, "hold": "1h"}])
    answer = mesh.http.post(f"{mesh.admin}{FLOW}/releases/stop/start?force=true")
    assert answer.status_code == 200, answer.text
    page = opened(address)
    page.get_by_role("button", name="Abort").click()
    page.get_by_role("dialog").get_by_text("This is final").wait_for()
    page.get_by_role("dialog").get_by_text("lane gray from 50 % to 0 %").first.wait_for()
    confirmed(page, "Abort")
    page.get_by_text("aborted", exact=True).first.wait_for()
    until(lambda: "Agray" not in mesh.ask(), 20, "requests in base")
    page.get_by_role("button", name="Delete").click()
    confirmed(page, "Delete", "Deleted: Release/stop")
    page.get_by_role("heading", name="Releases").wait_for()


def test_windows_hooks_and_freezes_are_shown(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    windows = [{"days": ["mon"], "hours": "09:00-10:00", "time_zone": "Europe/Berlin"}]
    hooks = [{"name": "smoke", "when": "before", "url": "https://tests.example.com/smoke"}]
    query = {"measure": "query", "prometheus": "https://prometheus.example.com", "query": "up", "max": 1}
    steps = [{"percent": 5, "approval": True, "persons": 2, "by_others": True}, {"percent": 100}]
    address = released(mesh, "held", windows=windows, hooks=hooks, checks=[query], steps=steps)
    page = opened(f"{mesh.admin}/#/new-freeze")
    yaml = page.get_by_role("textbox", name="YAML")
    yaml.fill("kind: Freeze\nname: holidays\nreason: <b>closed</b>\n")
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "Freeze/holidays is created")
    page.get_by_role("row", name=re.compile("holidays .*holds now all groups")).wait_for()
    accessible(page)
    page.goto(address)
    page.get_by_text("Freeze holidays holds now").wait_for()
    page.get_by_text("<b>closed</b>").wait_for()
    page.get_by_text("Window: Mon 09:00-10:00 (Europe/Berlin)").wait_for()
    page.get_by_text("https://tests.example.com/smoke").first.wait_for()
    page.get_by_role("row", name="query ≤ 1").wait_for()
    page.get_by_text("by 2 different persons, not by who started it").wait_for()
    page.get_by_text("A start is refused").wait_for()
    accessible(page)
    page.goto(f"{mesh.admin}/#/releases")
    page.get_by_role("button", name="Lift the freeze").click()
    confirmed(page, "Lift the freeze", "Deleted: Freeze/holidays")
    page.get_by_text("Nothing holds releases up.").wait_for()


def test_a_share_is_taken_over_from_a_release(without_lanes: Mesh, opened: Opened) -> None:
    mesh = without_lanes
    released(mesh, "slowly", steps=[{"percent": 50, "hold": "1h"}])
    answer = mesh.http.post(f"{mesh.admin}{FLOW}/releases/slowly/start?force=true")
    assert answer.status_code == 200, answer.text
    page = opened(f"{mesh.admin}/#/groups/order-flow")
    page.get_by_role("button", name="More actions on gray").click()
    page.get_by_role("menuitem", name="Change the share").click()
    dialog = page.get_by_role("dialog", name="Share of lane gray")
    dialog.get_by_role("textbox", name="Share in per cent").fill("20")
    dialog.get_by_role("row", name="a 20 % 0 % 20 %").wait_for()
    accessible(page)
    dialog.get_by_role("button", name="Continue").click()
    asked = page.get_by_role("dialog", name="Change the share")
    asked.get_by_text("A release moves the shares of this lane").wait_for()
    asked.get_by_text("Take over: stop the release").click()
    asked.get_by_text("laneway apply --take-over").wait_for()
    asked.get_by_role("cell", name="Release/slowly progress.phase").wait_for()
    confirmed(page, "Change the share", "lane gray from 50 % to 20 %")
    assert mesh.get(f"{FLOW}/lanes/gray")["ratio"]["percent"] == 20
    assert mesh.get(f"{FLOW}/releases/slowly")["progress"]["phase"] == "stopped"
