"""The first view of a large mesh: 500 services, 50 lanes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from tests.cli.served import served
from tests.console.conftest import Opened, accessible

pytestmark = pytest.mark.console
SERVICES, LANES = 500, 50
FIRST_VIEW_KIB = 500


def test_the_first_view(opened: Opened, tmp_path: Path) -> None:
    names = [f"service-{number:03}" for number in range(SERVICES)]
    instances = {
        name: [
            {"address": f"10.{number // 200}.{number % 200}.1", "port": 80, "metadata": {"app": name}},
            {
                "address": f"10.{number // 200}.{number % 200}.2",
                "port": 80,
                "metadata": {"app": name, "lane": "l0"},
            },
        ]
        for number, name in enumerate(names)
    }
    services = tmp_path / "services.yaml"
    services.write_text(
        yaml.safe_dump({"services": [{"name": name, "instances": of} for name, of in instances.items()]})
    )
    condition = {"source": "header", "name": "user", "operator": "=="}
    documents = [
        {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]},
        {"kind": "Route", "gateway": "edge", "name": "all", "service": names[0]},
        {"kind": "LaneGroup", "name": "large", "gateway": "edge", "applications": names},
        *(
            {
                "kind": "Lane",
                "group": "large",
                "name": f"l{number}",
                "tag": f"l{number}",
                "rule": {"conditions": [{**condition, "value": str(number)}]},
            }
            for number in range(LANES)
        ),
    ]
    definitions = tmp_path / "definitions.yaml"
    definitions.write_text(yaml.safe_dump_all(documents))
    with served(tmp_path, "--services", str(services), "--definitions", str(definitions)) as one:
        url = f"http://127.0.0.1:{one.admin}/"
        opened(url).get_by_role("row", name="large l1 enabled").wait_for()
        began = time.monotonic()
        page = opened(url)
        page.get_by_role("row", name="large l1 enabled").wait_for()
        took = time.monotonic() - began
        loaded = page.evaluate(
            "performance.getEntriesByType('resource').filter(one => one.name.includes('/assets/'))"
            ".reduce((sum, one) => sum + one.encodedBodySize, 0)"
        )
        print(f"first view after {took:.2f} s, {loaded / 1024:.0f} KiB of scripts and styles")
        assert loaded < FIRST_VIEW_KIB * 1024
        assert took < 10, "it takes about a second"
        assert page.locator("tbody tr").count() < LANES, "rows that are not seen are not in the page"
        accessible(page)
