"""A group of 50 applications and 20 lanes can be read: what matters first, the rest by filter and focus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cli.served import Served, served
from tests.console.conftest import Opened, accessible

pytestmark = pytest.mark.console
APPLICATIONS = [f"application-{number:02}" for number in range(50)]
LANES = [f"lane-{number:02}" for number in range(20)]
LEGIBLE = 0.5  # of the size that a box has without zoom


def instances(number: int) -> list[dict[str, Any]]:
    """Lane `n` has instances in the applications `n`, `n + 20` and `n + 40`."""
    application = {"app": APPLICATIONS[number]}
    tagged = {**application, "lane": LANES[number % len(LANES)]}
    return [
        {"address": f"10.0.{number}.1", "port": 80, "metadata": application},
        {"address": f"10.0.{number}.2", "port": 80, "metadata": tagged},
    ]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("large")
    services = [{"name": name, "instances": instances(number)} for number, name in enumerate(APPLICATIONS)]
    (folder / "services.yaml").write_text(yaml.safe_dump({"services": services}))
    documents: list[dict[str, Any]] = [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]},
        {"kind": "Route", "gateway": "edge", "name": "all", "service": APPLICATIONS[0]},
        {"kind": "LaneGroup", "name": "large", "gateway": "edge", "applications": APPLICATIONS},
    ]
    for name in LANES:
        condition = {"source": "header", "name": "user", "operator": "==", "value": name}
        documents.append(
            {"kind": "Lane", "group": "large", "name": name, "tag": name, "rule": {"conditions": [condition]}}
        )
    (folder / "definitions.yaml").write_text(yaml.safe_dump_all(documents))
    arguments = [
        "--services",
        str(folder / "services.yaml"),
        "--definitions",
        str(folder / "definitions.yaml"),
    ]
    with served(folder, *arguments) as one:
        yield one


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_filter_and_focus(large: Served, opened: Opened, width: int, scheme: str) -> None:
    page = opened(f"http://127.0.0.1:{large.admin}/#/groups/large", width=width, scheme=scheme)
    nodes = page.locator(".react-flow__node")
    # Five lanes at first, and of the applications those in which one of them has instances.
    page.get_by_text("35 applications are not shown").wait_for()
    box = nodes.filter(has_text="application-00").filter(has_text="lane-00")
    box.wait_for()
    assert (box.bounding_box() or {"width": 0})["width"] >= 168 * LEGIBLE
    accessible(page)
    page.get_by_role("table", name="Lanes").get_by_role("link", name="lane-07").click()
    page.get_by_text("47 applications are not shown").wait_for()
    nodes.filter(has_text="application-27").filter(has_text="lane-07").get_by_text("1 instance").wait_for()
    page.get_by_label("Applications shown").fill("-4")
    page.get_by_text("49 applications are not shown").wait_for()
    page.get_by_label("Applications shown").fill("application-3")
    page.get_by_role("switch", name="Only where lanes differ from base").press("Space")
    page.get_by_text("40 applications are not shown").wait_for()
    nodes.filter(has_text="application-30").filter(has_text="lane-07").get_by_text(
        "base, by fallback"
    ).wait_for()
    page.get_by_role("tab", name="Table").click()
    page.get_by_role("row", name="lane-07 application-30 base, by fallback").wait_for()
