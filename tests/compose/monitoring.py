"""The profile `monitoring`: Prometheus reads the whole mesh, and every query of the dashboards gives data.

Grafana is not started where its image cannot be had; its files are checked in tests/monitoring.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.compose.stack import Stack, eventually, run
from tests.compose.table import Table
from tests.monitoring.prometheus import dashboards, queries, rules

TARGETS = {"laneway-control-plane": 1, "laneway-proxies": 6}
ASK = """
import json, sys, urllib.parse, urllib.request
found = []
for query in json.loads(%r):
    address = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(address, timeout=10) as answer:
        found.append(json.load(answer)["data"]["result"])
print(json.dumps(found))
"""


def check(stack: Stack, table: Table) -> None:
    table.section("profile monitoring")
    with table.guarded("docker compose --profile monitoring up"):
        took = stack.up("prometheus")
        table.row("docker compose up --wait prometheus", True, f"{took:.0f} s")
        table.row("it is locked", locked(stack))
        took = eventually(lambda: targets(stack) == TARGETS, 60, "all targets are read")
        table.row("control plane and six Envoys are read", True, f"{took:.0f} s")
        data(stack, table)
    with table.guarded("docker compose rm prometheus"):
        # It shares the control plane's network, which other checks take away.
        stack.compose("rm", "--stop", "--force", "--volumes", "prometheus")


def locked(stack: Stack) -> bool:
    host = stack.inspect("prometheus")["HostConfig"]
    return host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["PortBindings"]


def ask(stack: Stack, *asked: str) -> list[list[dict[str, Any]]]:
    """What Prometheus answers: it shares the network of the control plane, whose image has Python."""
    command = ["docker", "exec", "-i", stack.container("control-plane"), "python3", "-"]
    return json.loads(run(command, 60, ASK % json.dumps(asked)))


def targets(stack: Stack) -> dict[str, int]:
    """How many are up, by job."""
    (found,) = ask(stack, "sum by (job) (up)")
    return {one["metric"]["job"]: int(float(one["value"][1])) for one in found}


def data(stack: Stack, table: Table) -> None:
    """Send requests until each query has an answer."""
    wanted = {
        f"{name}: {panel} {number}": query
        for name, dashboard in dashboards().items()
        for number, (panel, query) in enumerate(
            queries(dashboard, application="spring-cloud-c", lane="gray", rate="20s")
        )
    }
    wanted |= {rule["record"]: rule["record"] for rule in rules("record")}
    lacking = dict(wanted)

    def all_given() -> bool:
        for headers in ({"canary": "gray"}, {}, {"canary": "gray"}):
            stack.get(headers)
        for what, found in zip(tuple(lacking), ask(stack, *lacking.values()), strict=True):
            if found:
                del lacking[what]
        return not lacking

    # Who loses the lane is said only where enough requests of lanes were observed.
    with ThreadPoolExecutor(1) as beside:
        observing = beside.submit(stack.laneway, "doctor", "propagation", "--seconds", "8")
        while not observing.done():
            stack.get({"canary": "gray"})
    try:
        observing.result()
        eventually(all_given, 90, "every query to give data")
    finally:
        said = f"{len(wanted)} queries" if not lacking else f"without data: {', '.join(lacking)}"
        table.row("every query of the dashboards gives data", not lacking, said)
