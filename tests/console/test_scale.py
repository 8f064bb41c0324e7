"""The first view of a large mesh: 500 services, 50 lanes.

What is held is what it costs, which other work on the machine changes little; the time is printed (`-s`).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.cli.served import served
from tests.console.conftest import Opened, accessible

pytestmark = pytest.mark.console
SERVICES, LANES = 500, 50
SCRIPTS_KIB = 500
REQUESTS = 20  # it has 17
ANSWERS_KIB = 60  # they have 20
CPU_OF_PAGE = 2.0  # seconds; the page's thread takes 0.5
CPU_OF_SERVER = 1.0  # seconds; it takes 0.1
NOTES_WHEN = """
  const look = () => {
    if (!window.shownAt && document.body?.innerText.includes("l1")) window.shownAt = performance.now();
  };
  new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true});
"""


def test_the_first_view(opened: Opened, tmp_path: Path) -> None:
    names = [f"service-{number:03}" for number in range(SERVICES)]
    instances = {
        name: [
            {"address": f"10.{number // 200}.{number % 200}.1", "port": 80, "metadata": {"app": name}},
            {
                "address": f"10.{number // 200}.{number % 200}.2",
                "port": 80,
                "metadata": {"app": name, "lane": f"l{number % LANES}"},
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
        page = opened("about:blank")
        costs = page.context.new_cdp_session(page)
        costs.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.add_init_script(NOTES_WHEN)
        before = cpu(one.process.pid)
        page.goto(url)
        page.get_by_role("row", name="large l1 enabled").wait_for()
        of_server = cpu(one.process.pid) - before
        found = {one["name"]: one["value"] for one in costs.send("Performance.getMetrics")["metrics"]}
        of_page = found["TaskDuration"]
        asked = page.evaluate(
            "performance.getEntriesByType('resource').map("
            "one => [one.name.replace(window.origin, ''), one.encodedBodySize])"
        )
        files = {name: size for name, size in asked if name.startswith("/assets/")}
        answers = {name: size for name, size in asked if not name.startswith("/assets/")}
        scripts = sum(size for name, size in files.items() if name.endswith(".js")) / 1024
        print(
            f"the lanes were there {page.evaluate('window.shownAt'):.0f} ms after the page was asked for, "
            f"for which the page took {of_page:.2f} s of CPU and the server {of_server:.2f} s; "
            f"{len(files)} files, {sum(files.values()) / 1024:.0f} KiB, of which {scripts:.0f} KiB scripts; "
            f"{len(answers)} answers, {sum(answers.values()) / 1024:.0f} KiB"
        )
        assert scripts < SCRIPTS_KIB
        assert len(asked) == len(dict(asked)), "nothing is asked for twice"
        assert len(asked) <= REQUESTS
        assert sum(answers.values()) < ANSWERS_KIB * 1024
        assert of_page < CPU_OF_PAGE
        assert of_server < CPU_OF_SERVER
        assert page.locator("tbody tr").count() < LANES, "rows that are not seen are not in the page"
        accessible(page)


def cpu(process: int) -> float:
    """Seconds of CPU that it has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
