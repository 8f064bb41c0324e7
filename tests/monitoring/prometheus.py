"""A real Prometheus for tests, with the configuration of deploy/monitoring/ on other addresses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.mesh.client import Address, fetch, until
from tests.require import lacking

FILES = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES = FILES / "prometheus" / "rules.yml"
DASHBOARDS = FILES / "grafana" / "dashboards"


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is; else the test is skipped."""
    found = shutil.which(name)
    if found is None:
        lacking("prometheus", f"there is no {name} here (Debian: apt install prometheus)")
    return found


def promtool(*words: str, given: bytes = b"") -> None:
    """Run it; it must find nothing wrong."""
    command = [program("promtool"), *words]
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said


def dashboards() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def queries(dashboard: Any, rate: str = "15s", **variables: str) -> list[tuple[str, str]]:
    """(panel, query) of a dashboard, with values for its variables. `rate`: four intervals of scraping."""
    values = {**variables, "__rate_interval": rate}
    return [
        (panel["title"], re.sub(r"\$(\w+)", lambda found: values[found[1]], target["expr"]))
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def rules(kind: str) -> list[dict[str, Any]]:
    """Every rule of a kind: `alert` or `record`."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


class Prometheus:
    """One that scrapes and evaluates every second, and whose alerts wait for nothing."""

    def __init__(self, address: Address, directory: Path) -> None:
        self.address = address
        self._directory = directory

    def write(
        self,
        targets: dict[str, Sequence[str]],
        secured: dict[str, Sequence[str]] | None = None,
        ca: Path | None = None,
    ) -> None:
        """Its files. `targets`: host:port by job, and `secured` those with TLS and certificates of `ca`."""
        self._directory.mkdir()
        config = yaml.safe_load((FILES / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
            for target in (secured or {}).get(job["job_name"], ()):
                job["static_configs"].append({"targets": [target], "labels": {"__scheme__": "https"}})
                job["tls_config"] = {"ca_file": str(ca)}
        (self._directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        found = yaml.safe_load(RULES.read_text())
        for group in found["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        (self._directory / "rules.yml").write_text(yaml.safe_dump(found))

    def command(self) -> list[str]:
        return [
            program("prometheus"),
            f"--config.file={self._directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={self.address[0]}:{self.address[1]}",
            "--enable-feature=exemplar-storage",
        ]

    def get(self, path: str, **parameters: str) -> Any:
        """What its API answers; None while it starts."""
        try:
            answer = fetch(self.address, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        except (OSError, EOFError):
            return None
        if answer.status == 503:
            return None
        found = answer.json
        assert found["status"] == "success", found
        return found["data"]

    def query(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values of an instant query."""
        found = self.get("query", query=query)
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def exemplars(self, query: str) -> list[tuple[dict[str, str], dict[str, str], float]]:
        """Labels of each exemplar's series, its own labels, and its value, of the last ten minutes."""
        now = time.time()
        found = self.get("query_exemplars", query=query, start=str(now - 600), end=str(now + 1))
        return [
            (one["seriesLabels"], each["labels"], float(each["value"]))
            for one in found
            for each in one["exemplars"]
        ]

    def targets_up(self) -> bool:
        found = self.get("targets")
        return found is not None and all(one["health"] == "up" for one in found["activeTargets"])

    def firing(self) -> set[tuple[str, str]]:
        """Alerts that fire: their names, and the lane or "" where they are of none."""
        labels = [one["labels"] for one in self.get("alerts")["alerts"] if one["state"] == "firing"]
        return {(one["alertname"], one.get("lane", "")) for one in labels}

    def wait_data(self, wanted: Iterable[tuple[str, str]], meanwhile: Callable[[], object]) -> None:
        """Until each of (what, query) gives data; `meanwhile` is done between tries."""
        lacking = dict.fromkeys(wanted)

        def all_given() -> bool:
            meanwhile()
            for one in tuple(lacking):
                if self.query(one[1]):
                    del lacking[one]
            return not lacking

        try:
            until(all_given, 40, "every query to give data")
        except AssertionError as error:
            raise AssertionError(f"{error}: {list(lacking)}") from None
