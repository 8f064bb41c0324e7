"""The files of deploy/monitoring/ are what Prometheus and Grafana read, and what the documentation says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.monitoring.prometheus import FILES, RULES, dashboards, promtool, queries, rules

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("alerts.yml")
HOW_TO = ROOT / "docs" / "how-to" / "monitoring.md"


def test_configuration_and_rules() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(FILES / "prometheus" / "prometheus.yml"))


@pytest.mark.mesh
def test_each_alert_fires_and_does_not(tmp_path: Path) -> None:
    for path in (RULES, CASES):
        shutil.copy(path, tmp_path / path.name)
    promtool("test", "rules", str(tmp_path / CASES.name))


def test_each_alert_has_cases() -> None:
    found: dict[str, set[bool]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for one in case["alert_rule_test"]:
            found.setdefault(one["alertname"], set()).add(bool(one["exp_alerts"]))
    alerts = rules("alert")
    assert found == {rule["alert"]: {True, False} for rule in alerts}
    for rule in alerts:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert f"`{rule['alert']}`" in HOW_TO.read_text(), "docs/how-to/monitoring.md does not name it"


def test_dashboards_are_current() -> None:
    subprocess.run([sys.executable, str(ROOT / "tools" / "dashboards.py"), "--check"], check=True)


def lacks(given: Any, read: Any, where: str = "") -> list[str]:
    """What `given` has and `read` has not, or otherwise."""
    if isinstance(given, dict):
        return [
            text
            for key, value in given.items()
            for text in (
                lacks(value, read[key], f"{where}.{key}")
                if isinstance(read, dict) and key in read
                else [f"{where}.{key}"]
            )
        ]
    if isinstance(given, list):
        if not isinstance(read, list) or len(read) != len(given):
            return [where]
        pairs = enumerate(zip(given, read, strict=True))
        return [text for n, (one, other) in pairs for text in lacks(one, other, f"{where}[{n}]")]
    return [] if given == read and type(given) is type(read) else [where]


def test_dashboards_are_of_grafanas_schema() -> None:
    """Grafana's own library for dashboards, made from its schema, reads and writes every field of them."""
    plugins.register_default_plugins()
    for name, dashboard in dashboards().items():
        read = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
        assert not lacks(dashboard, read), name
    broken = {"title": "x", "nonsense": 1, "panels": [{"type": "stat", "titel": "y"}]}
    read = json.loads(json.dumps(Dashboard.from_json(broken), cls=JSONEncoder))
    assert lacks(broken, read) == [".nonsense", ".panels[0].titel"]


def test_dashboards_fit_together() -> None:
    found = dashboards()
    assert len({one["uid"] for one in found.values()}) == len(found) == 4
    source = yaml.safe_load((FILES / "grafana/provisioning/datasources/prometheus.yml").read_text())
    (datasource,) = source["datasources"]
    for dashboard in found.values():
        known = {one["name"] for one in dashboard["templating"]["list"]} | {"__rate_interval"}
        taken: set[tuple[int, int]] = set()
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for panel in dashboard["panels"]:
            assert panel["datasource"] == {"type": datasource["type"], "uid": datasource["uid"]}
            for target in panel["targets"]:
                assert target["datasource"] == panel["datasource"]
                assert set(re.findall(r"\$(\w+)", target["expr"])) <= known, panel["title"]
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert taken.isdisjoint(cells), panel["title"]
            taken |= cells
        assert queries(dashboard, application="a", lane="l")


def test_no_registry_is_named() -> None:
    for path in FILES.rglob("*"):
        if path.is_file():
            assert not re.search(r"\b(pypi|npmjs|docker\.io|ghcr|quay)\b", path.read_text()), path
