"""Releases and freezes by form and YAML; what is wrong stands beside its field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.model.freezes import Freeze
from controlplane.model.releases import Check, Hook, Release, Step
from controlplane.model.time_fields import Schedule
from tests.cli.served import served
from tests.console.conftest import FLOW, Mesh, Opened, accessible, confirmed
from tests.mesh.client import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.console
DEFINITIONS = b"""
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A}
---
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [spring-cloud-a]}
---
{kind: Lane, group: order-flow, name: gray, tag: gray, ratio: {percent: 100}, enabled: false}
"""
EVERYTHING: dict[str, Any] = {
    "kind": "Release",
    "group": "order-flow",
    "name": "whole",
    "lane": "gray",
    "steps": [
        {"percent": 5, "hold": "5m"},
        {"percent": 25.5, "hold": "10m", "approval": True, "persons": 2, "by_others": True},
        {"percent": 100},
    ],
    "checks": [
        {"measure": "error_rate", "max": 2, "above_base": 0.5, "window": "2m", "requests": 30, "failures": 3},
        {"measure": "latency", "quantile": 0.95, "above_base": 50},
        {"measure": "fallbacks", "max": 0},
        {
            "measure": "query",
            "prometheus": "https://prometheus.example.com",
            "query": 'sum(rate(orders{version="1.8"}[2m]))',
            "min": 0.5,
            "max": 9,
        },
    ],
    "hooks": [
        {"name": "smoke", "when": "before", "url": "https://tests.example.com/smoke", "timeout": "2m"},
        {"name": "load", "when": "during", "url": "https://tests.example.com/load", "failures": 3},
    ],
    "windows": [
        {"days": ["mon", "tue"], "hours": ["09:00-12:00", "13:00-16:00"], "time_zone": "Europe/Berlin"},
        {"hours": "22:00-06:00", "time_zone": "UTC"},
    ],
    "interval": "20s",
    "patience": "2h",
    "at_end": "promote",
}
"""Every field of a release but `progress`, which the control plane writes; checks with what each can have."""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A control plane alone: to write documents needs no proxies."""
    with served(tmp_path) as one:
        yaml = {"Content-Type": "application/yaml"}
        one.http.post("/v1/apply", content=DEFINITIONS, headers=yaml).raise_for_status()
        yield Mesh(f"http://127.0.0.1:{one.admin}", "", one.http)


def part(page: Page, name: str) -> Locator:
    """One step, check, hook or window."""
    return page.get_by_role("group", name=name, exact=True)


def chosen(page: Page, field: Locator, option: str) -> None:
    field.click()
    page.get_by_role("option", name=option, exact=True).click()


def stored(mesh: Mesh, path: str) -> dict[str, Any]:
    return {name: value for name, value in mesh.get(path).items() if name not in ("status", "progress")}


def fields(*models: Any) -> set[str]:
    return {name for model in models for name in model.model_fields}


def test_everything_is_everything() -> None:
    """A new field of a release has to be in the form, too."""
    assert {*EVERYTHING, "progress"} == fields(Release)
    for name, model in (("steps", Step), ("checks", Check), ("hooks", Hook), ("windows", Schedule)):
        assert {field for one in EVERYTHING[name] for field in one} == fields(model)


def test_a_release_is_made_in_the_form(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/releases")
    page.get_by_role("link", name="New release in order-flow").click()
    page.get_by_role("textbox", name="Name").first.fill("made")
    assert page.get_by_role("combobox", name="Lane").input_value() == "gray"
    page.get_by_role("button", name="Remove: Step 2").click()
    page.get_by_role("button", name="Add a step").click()
    third = part(page, "Step 3")
    third.get_by_label("Share in per cent").fill("50")
    third.get_by_label("Holds for").fill("1m")
    page.get_by_text("is less than the step before, 100").first.wait_for()
    page.get_by_role("button", name="Move up: Step 3").click()
    part(page, "Step 2").get_by_role("switch", name="Then waits for an approval").check()
    part(page, "Step 2").get_by_label("How many different persons").fill("2")
    chosen(page, part(page, "Check 1").get_by_role("combobox", name="What is measured"), "latency")
    part(page, "Check 1").get_by_label("At most in milliseconds").fill("250")
    part(page, "Check 1").get_by_text("histogram_quantile(0.99, sum by (le, service)").wait_for()
    chosen(page, page.get_by_role("combobox", name="At the end"), "Promote the lane")
    accessible(page)
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "Release/made is created")
    page.get_by_role("heading", name="made").wait_for()
    assert stored(mesh, f"{FLOW}/releases/made") == {
        "kind": "Release",
        "group": "order-flow",
        "name": "made",
        "lane": "gray",
        "steps": [
            {"percent": 5, "hold": "5m"},
            {"percent": 50, "hold": "1m", "approval": True, "persons": 2},
            {"percent": 100, "hold": "5m"},
        ],
        "checks": [
            {
                "measure": "latency",
                "quantile": 0.99,
                "max": 250,
                "window": "1m",
                "requests": 50,
                "failures": 1,
            }
        ],
        "hooks": [],
        "interval": "10s",
        "patience": "1h",
        "at_end": "promote",
    }


def test_the_form_has_all_that_yaml_can_say(mesh: Mesh, opened: Opened) -> None:
    mesh.put(f"{FLOW}/releases/whole", EVERYTHING)
    before = stored(mesh, f"{FLOW}/releases/whole")
    page = opened(f"{mesh.admin}/#/releases/order-flow/whole/edit")
    step = part(page, "Step 2")
    assert step.get_by_label("Share in per cent").input_value() == "25.5 %"
    assert step.get_by_label("Holds for").input_value() == "10m"
    assert step.get_by_role("switch", name="Then waits for an approval").is_checked()
    assert step.get_by_label("How many different persons").input_value() == "2"
    assert step.get_by_role("switch", name="Not by who started").is_checked()
    check = part(page, "Check 1")
    for label, value in {
        "What is measured": "failed requests",
        "At most in per cent": "2",
        "At most above base in per cent": "0.5",
        "In the last": "2m",
        "Decides from": "30",
        "Failures in a row": "3",
    }.items():
        assert check.get_by_label(label).first.input_value() == value, label
    assert part(page, "Check 2").get_by_label("Quantile").input_value() == "0.95"
    query = part(page, "Check 4")
    assert query.get_by_label("Address of Prometheus").input_value() == "https://prometheus.example.com"
    assert "orders" in query.get_by_label("Query, which gives one number").input_value()
    assert query.get_by_label("At least").input_value() == "0.5"
    hook = part(page, "Hook 1")
    assert hook.get_by_label("Name").input_value() == "smoke"
    assert hook.get_by_label("When").first.input_value() == "before the first step: it has to agree"
    assert hook.get_by_label("Address").input_value() == "https://tests.example.com/smoke"
    assert hook.get_by_label("Waits for an answer").input_value() == "2m"
    window = part(page, "Window 1")
    assert window.get_by_role("checkbox", name="Tue").is_checked()
    window.get_by_text("13:00-16:00", exact=True).wait_for()
    assert window.get_by_role("combobox", name="Time zone").input_value() == "Europe/Berlin"
    assert page.get_by_label("Looks at the checks every").input_value() == "20s"
    assert page.get_by_label("A step waits for enough data").input_value() == "2h"
    assert page.get_by_role("combobox", name="At the end").input_value() == "Promote the lane"
    assert page.get_by_text("Only the YAML shows").count() == 0
    accessible(page)
    # One change in each part; all else stays as it was.
    step.get_by_role("switch", name="Not by who started").uncheck()
    check.get_by_label("In the last").fill("")
    part(page, "Hook 2").get_by_label("Refusals in a row").fill("4")
    window.get_by_role("checkbox", name="Tue").uncheck()
    page.get_by_role("button", name="Remove: Window 2").click()
    page.get_by_label("A step waits for enough data").fill("3h")
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "Release/whole patience")
    page.get_by_role("heading", name="whole").wait_for()
    del before["steps"][1]["by_others"]
    before["checks"][0]["window"] = "1m"
    before["hooks"][1]["failures"] = 4
    before["windows"] = [{**EVERYTHING["windows"][0], "days": ["mon"]}]
    before["patience"] = "3h"
    assert stored(mesh, f"{FLOW}/releases/whole") == before


def test_form_and_yaml_follow_each_other(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/new-release/order-flow")
    yaml = page.get_by_role("textbox", name="YAML")
    yaml.fill(
        yaml.input_value().replace("above_base: 1", "max: 7\n    min: 3").replace("hold: 5m", "hold: 7m", 1)
    )
    assert part(page, "Step 1").get_by_label("Holds for").input_value() == "7m"
    assert part(page, "Check 1").get_by_label("At most in per cent").input_value() == "7"
    part(page, "Check 1").get_by_text("Only the YAML shows: min").wait_for()
    page.get_by_text("does not belong to error_rate").first.wait_for()
    chosen(
        page,
        part(page, "Check 1").get_by_role("combobox", name="What is measured"),
        "a query in your Prometheus",
    )
    until(lambda: "measure: query" in yaml.input_value(), 20, "the YAML beside")
    assert "window" not in yaml.input_value(), "a query says itself what it looks at"
    yaml.fill("kind: Release\ngroup: order-flow\nsteps: none\nchecks: [1]\n")
    page.get_by_role("button", name="Add a step").wait_for()
    yaml.fill("kind: [")
    page.get_by_role("button", name="Review and save").and_(page.locator(":disabled")).wait_for()


def test_what_is_wrong_stands_beside_its_field(mesh: Mesh, opened: Opened) -> None:
    from playwright.sync_api import expect

    mesh.put(f"{FLOW}/releases/whole", EVERYTHING)
    page = opened(f"{mesh.admin}/#/releases/order-flow/whole/edit")
    wrong = (
        (part(page, "Step 1").get_by_label("Share in per cent"), "101", "100"),
        (part(page, "Step 2").get_by_label("Holds for"), "soon", "duration"),
        (part(page, "Step 2").get_by_label("How many different persons"), "9", "5"),
        (part(page, "Check 1").get_by_label("In the last"), "1h", "is not from 10s to 15m"),
        (part(page, "Check 2").get_by_label("Quantile"), "", "is missing"),
        (part(page, "Check 4").get_by_label("Address of Prometheus"), "prometheus", "URL"),
        (part(page, "Hook 1").get_by_label("Address"), "ftp://x", "URL"),
        (part(page, "Hook 2").get_by_label("Name"), "smoke", "is given twice"),
        (page.get_by_label("Looks at the checks every"), "2h", "is not from 1s to 1h"),
    )
    for field, value, message in wrong:
        was = field.input_value()
        field.fill(value)
        expect(field).to_have_accessible_description(re.compile(message))
        expect(page.get_by_role("button", name="Review and save")).to_be_disabled()
        field.fill(was)
        expect(field).not_to_have_accessible_description(re.compile(message))
    hours = part(page, "Window 1").get_by_role("combobox", name="Hours")
    hours.fill("9-17")
    page.keyboard.press("Enter")
    expect(hours).to_have_accessible_description(re.compile("is not a span of hours"))
    accessible(page)


FREEZE = {
    "kind": "Freeze",
    "name": "december",
    "from": "2026-12-18T00:00:00+01:00",
    "until": "2027-01-04T00:00:00+01:00",
    "groups": ["order-flow"],
    "reason": "no changes",
}


def test_a_freeze_is_made_and_changed_in_the_form(mesh: Mesh, opened: Opened) -> None:
    from playwright.sync_api import expect

    assert set(FREEZE) == fields(Freeze)
    page = opened(f"{mesh.admin}/#/releases")
    page.get_by_role("link", name="New freeze").click()
    page.get_by_role("textbox", name="Name").fill("december")
    page.get_by_label("Reason").fill("no changes")
    page.get_by_label("From").fill("2026-12-18T00:00:00+01:00")
    page.get_by_label("Until").fill("2026-12-01")
    expect(page.get_by_label("Until")).to_have_accessible_description(re.compile("is not a time"))
    page.get_by_label("Until").fill("2026-12-01T00:00:00Z")
    expect(page.get_by_label("Until")).to_have_accessible_description(re.compile("is not after from"))
    page.get_by_label("Until").fill("2027-01-04T00:00:00+01:00")
    chosen(page, page.get_by_role("combobox", name="Groups"), "order-flow")
    page.keyboard.press("Escape")
    yaml = page.get_by_role("textbox", name="YAML")
    until(lambda: "groups:\n  - order-flow" in yaml.input_value(), 20, "the YAML beside")
    accessible(page)
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "Freeze/december is created")
    page.get_by_role("link", name="december").click()
    assert stored(mesh, "/v1/freezes/december") == FREEZE
    page.get_by_label("Reason").fill("closed")
    page.get_by_role("button", name="Review and save").click()
    confirmed(page, "Save", "Freeze/december reason")
    page.get_by_role("link", name="december").wait_for()
    assert stored(mesh, "/v1/freezes/december") == {**FREEZE, "reason": "closed"}


def test_the_forms_in_chinese(mesh: Mesh, opened: Opened) -> None:
    mesh.put(f"{FLOW}/releases/whole", EVERYTHING)
    page = opened(f"{mesh.admin}/")
    page.evaluate("localStorage.setItem('laneway-language', 'zh')")
    page.goto(f"{mesh.admin}/#/releases/order-flow/whole/edit")
    page.reload()
    page.get_by_role("heading", name="发布 whole").wait_for()
    page.get_by_role("group", name="第 2 步").get_by_label("需要几名不同人员批准").wait_for()
    page.get_by_role("group", name="检查 4").get_by_label("Prometheus 地址").wait_for()
    accessible(page)
    # A text that is missing would show its key.
    assert not re.findall(r"\b(?:plan|releases|edit|freezes)\.\w+", page.locator("main").inner_text())
    page.get_by_role("button", name="上移: 第 2 步").click()
    page.get_by_text("is less than the step before").first.wait_for()
