"""The dashboards for Grafana, from deploy/monitoring/dashboards.yaml, and their queries in the documentation.

python tools/dashboards.py          # writes them (`make dashboards`)
python tools/dashboards.py --check  # fails if what is written is not current
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "deploy" / "monitoring" / "dashboards.yaml"
FOLDER = ROOT / "deploy" / "monitoring" / "grafana" / "dashboards"
DOCUMENT = ROOT / "docs" / "how-to" / "monitoring.md"
BEGIN, END = "<!-- panels: made by `make dashboards` -->", "<!-- end of panels -->"
DATASOURCE = {"type": "prometheus", "uid": "laneway-prometheus"}
EXEMPLARS = "laneway_request_duration_seconds_bucket"
COLUMNS = 24
HEIGHT = {"stat": 4, "timeseries": 8, "table": 8}


def kind_of(one: dict[str, Any]) -> str:
    return one.get("kind", "timeseries")


def width_of(one: dict[str, Any]) -> int:
    return one.get("width", 4 if kind_of(one) == "stat" else 8)


def panel(one: dict[str, Any], number: int, x: int, y: int) -> dict[str, Any]:
    """A panel as Grafana reads it."""
    kind = kind_of(one)
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "expr": query,
            "legendFormat": legend,
            "range": kind == "timeseries",
            "instant": kind != "timeseries",
            "format": "table" if kind == "table" else "time_series",
            "editorMode": "code",
            **({"exemplar": True} if kind == "timeseries" and EXEMPLARS in query else {}),
        }
        for place, (legend, query) in enumerate(one["queries"].items())
    ]
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    options: dict[str, Any] = {
        "stat": {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "textMode": "auto"},
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "table": {"showHeader": True},
    }[kind]
    custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"} if kind == "timeseries" else {}
    return {
        "id": number,
        "type": kind,
        "title": one["title"],
        "description": one["says"],
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width_of(one), "h": HEIGHT[kind]},
        "targets": targets,
        "options": options,
        "fieldConfig": {
            "defaults": {"unit": one.get("unit", "reqps"), "min": 0, "custom": custom},
            "overrides": [],
        },
    }


def dashboard(one: dict[str, Any]) -> dict[str, Any]:
    """A dashboard as Grafana reads it: its panels from left to right, in rows of one height."""
    panels: list[dict[str, Any]] = []
    x = y = height = 0
    for number, each in enumerate(one["panels"], 1):
        if x + width_of(each) > COLUMNS:
            x, y = 0, y + height
        made = panel(each, number, x, y)
        height = made["gridPos"]["h"]
        x += width_of(each)
        panels.append(made)
    variables = [
        {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "query": query,
            "refresh": 2,
            "sort": 1,
            "multi": False,
            "includeAll": False,
        }
        for name, query in one.get("variables", {}).items()
    ]
    return {
        "uid": f"laneway-{one['name']}",
        "title": f"Laneway: {one['title']}",
        "description": one["says"],
        "tags": ["laneway"],
        "timezone": "browser",
        "schemaVersion": 38,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
        "links": [
            {
                "title": "Laneway",
                "type": "dashboards",
                "tags": ["laneway"],
                "icon": "",
                "tooltip": "",
                "asDropdown": True,
                "targetBlank": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
    }


def table(one: dict[str, Any]) -> list[str]:
    """The panels of a dashboard and their queries, for the documentation."""
    title = one["title"][:1].upper() + one["title"][1:]
    lines = [f"### {title}", "", one["says"], "", "| panel | query |", "| --- | --- |"]
    for each in one["panels"]:
        queries = [f"`{' '.join(query.split())}`".replace("|", "\\|") for query in each["queries"].values()]
        lines.append(f"| **{each['title']}**: {each['says']} | {'<br>'.join(queries)} |")
    return [*lines, ""]


def written() -> dict[Path, str]:
    """Every file that is made, with its text."""
    dashboards = yaml.safe_load(SOURCE.read_text())
    found = {
        FOLDER / f"{one['name']}.json": json.dumps(dashboard(one), indent=1, ensure_ascii=False) + "\n"
        for one in dashboards
    }
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(line for one in dashboards for line in table(one))
    found[DOCUMENT] = f"{before}{BEGIN}\n\n{tables}\n{END}{after}"
    return found


def main() -> int:
    """0, or 1 where --check finds a file that is not current."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale: list[str] = []
    for path, text in written().items():
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        print(f"not current: {', '.join(stale)}; run `make dashboards`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
