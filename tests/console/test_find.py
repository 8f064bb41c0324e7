"""Services and instances, refused ones with reasons; proxies; the history, and the ways back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.served import Served, served
from tests.console.conftest import Mesh, Opened, accessible

pytestmark = pytest.mark.console
MARKUP = "<b>bold</b>"
SERVICES = f"""services:
  - name: orders
    protocol: http1
    instances:
      - {{address: 127.0.2.1, port: 20001}}
      - {{address: 127.0.2.2, port: 20001, metadata: {{lane: gray, note: "{MARKUP}"}}}}
      - {{address: 127.0.2.3, port: 20001, metadata: {{lane: "not a tag"}}}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "services.yaml").write_text(SERVICES)
    with served(tmp_path, "--services", str(tmp_path / "services.yaml")) as one:
        yield one


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark")])
def test_an_instance_that_is_refused_comes_first_with_its_reason(
    shop: Served, opened: Opened, width: int, scheme: str
) -> None:
    page = opened(f"http://127.0.0.1:{shop.admin}/#/services", width=width, scheme=scheme)
    rows = page.get_by_role("table", name="Services").locator("tbody").get_by_role("row")
    rows.first.get_by_text("127.0.2.3:20001").wait_for()
    (refused,) = shop.http.get("/v1/services").json()["items"][0]["refused"]
    rows.first.get_by_text(refused["reason"]).wait_for()
    page.get_by_role("row", name="127.0.2.2:20001 orders gray healthy").wait_for()
    accessible(page)
    page.get_by_text("Not healthy").click()
    page.get_by_role("row", name="127.0.2.1").wait_for(state="detached")
    page.get_by_text("Tagged").click()
    page.get_by_role("button", name="127.0.2.2:20001").click()
    page.get_by_role("dialog").get_by_text(MARKUP).wait_for()
    accessible(page)


def test_a_service_is_found_with_a_key(shop: Served, opened: Opened) -> None:
    page = opened(f"http://127.0.0.1:{shop.admin}/")
    page.get_by_role("heading", name="Overview").wait_for()
    page.keyboard.press("/")
    name = page.get_by_role("dialog", name="Search").get_by_role("combobox")
    name.wait_for()
    name.fill("ord")
    page.get_by_role("option", name="file///orders").wait_for()
    accessible(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Services").wait_for()
    assert page.get_by_label("Filter: Services").input_value() == "file///orders"
    page.get_by_role("row", name="127.0.2.2:20001 orders gray healthy").wait_for()


def test_a_proxy_with_its_versions_and_its_drift(mesh: Mesh, opened: Opened) -> None:
    page = opened(f"{mesh.admin}/#/proxies")
    rows = page.get_by_role("table", name="Proxies").locator("tbody").get_by_role("row")
    rows.filter(has_text="in sync").nth(5).wait_for()
    accessible(page)
    rows.filter(has_text="edge").first.get_by_role("link").click()
    page.get_by_role("row", name=re.compile("accepted$")).first.wait_for()
    page.get_by_text("It has everything as it should be.").wait_for()
    accessible(page)
    configuration = page.get_by_role("table", name="Configuration that it was sent")
    route = configuration.locator("tbody").get_by_role("row", name=re.compile("^route .* accepted"))
    route.first.get_by_role("button").click()
    shown = page.get_by_role("dialog", name=re.compile("^route "))
    shown.get_by_text("The proxy has this.").wait_for()
    shown.get_by_text("virtual_hosts").first.wait_for()
    shown.get_by_text("/v1/configuration/").wait_for()
    accessible(page)


def test_a_change_shows_with_its_difference_and_is_undone(shop: Served, opened: Opened) -> None:
    page = opened(f"http://127.0.0.1:{shop.admin}/#/history")
    page.get_by_text("Nothing here").wait_for()
    gateway = {"name": "edge", "listeners": [{"port": 8080}]}
    assert shop.http.post("/v1/apply?note=first", json=[{"kind": "Gateway", **gateway}]).status_code == 200
    group = {"name": "order-flow", "gateway": "edge", "applications": ["orders"]}
    assert shop.http.put("/v1/lane-groups/order-flow", json=group).status_code == 201
    page.get_by_role("row", name="first").wait_for()
    page.get_by_role("row", name="LaneGroup/order-flow").get_by_role("button").click()
    shown = page.get_by_role("dialog")
    shown.get_by_text("LaneGroup/order-flow").first.wait_for()
    shown.get_by_role("button", name="Whole documents as a diff").click()
    shown.get_by_text("+gateway: edge").wait_for()
    accessible(page)
    shown.get_by_role("button", name="Undo this change").click()
    asked = page.get_by_role("dialog", name="Undo this change")
    asked.get_by_text("Deleted: LaneGroup/order-flow").or_(
        asked.get_by_text("LaneGroup/order-flow is deleted")
    ).wait_for()
    asked.get_by_text("laneway undo 2").wait_for()
    asked.get_by_text("if-match: ").wait_for()
    accessible(page)
    asked.get_by_role("button", name="Undo this change").click()
    page.get_by_role("row", name="LaneGroup/order-flow").nth(1).wait_for()
    assert shop.http.get("/v1/lane-groups/order-flow").status_code == 404
    page.get_by_role("row", name="first").get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Bring all back to this").click()
    asked = page.get_by_role("dialog", name="Bring all back to this")
    asked.get_by_text("Nothing changes.").wait_for()
    asked.get_by_role("button", name="Cancel").click()
