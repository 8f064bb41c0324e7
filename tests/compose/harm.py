"""What capture must leave unharmed, seen from inside a pod; and what it adds: the lane, by destination."""

from __future__ import annotations

import json
import subprocess
import time

from tests.compose.load import CANARY
from tests.compose.stack import PEERS, ROOT, Stack, eventually, run
from tests.compose.table import Table

GROUP = """
kind: LaneGroup
name: order-flow
gateway: edge
applications: [spring-cloud-a, spring-cloud-b, spring-cloud-c, probe]
"""


def inside(stack: Stack, pod: str, *arguments: str, user: str = "10002:10002") -> list[str]:
    """The command that runs a probe in the network namespace of `pod`."""
    probes = f"{ROOT}/tests/compose/probes:/probes:ro"
    network = f"container:{stack.container(f'{pod}-pod')}"
    options = ["--rm", "--user", user, "--network", network, "--volume", probes]
    return ["docker", "run", *options, "laneway-demo-app", "python", *arguments]


def probes(stack: Stack, table: Table) -> None:
    with table.guarded("probes"):
        stack.files = [*stack.files, PEERS]
        stack.up("peer", "p", "p-gray")
        stack.laneway("apply", "-f", "-", text=GROUP)
        run(["docker", "network", "connect", f"{stack.name}_six", stack.container("a-pod")])
        networks = stack.inspect("peer")["NetworkSettings"]["Networks"]
        outside, six = (
            networks[f"{stack.name}_default"]["IPAddress"],
            networks[f"{stack.name}_six"]["GlobalIPv6Address"],
        )

        tagged = [f"{stack.address('p-gray')}:{port}" for port in (7002, 7003)]
        eventually(
            lambda: all(one in stack.laneway("matches", "gray", "-o", "json") for one in tagged),
            30,
            "the lane has the canary of both probe services",
        )
        command = inside(stack, "a", "/probes/client.py", outside, stack.address("p"), six)
        first = [*command, "lane_by_original_destination", "any_result"]
        eventually(lambda: '"ok": true' in run(first), 15, "the sidecar of A knows the probe services")
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        for one in rows:
            table.row(one["case"], one["ok"], one["said"])
        if len(rows) < 30:
            table.row("probes ran to the end", False, done.stderr[-300:])


def outlives(stack: Stack, table: Table) -> None:
    """One kept connection to the canary's address, while the canary dies and its lane is switched."""
    with table.guarded("a kept connection outlives its instance"):
        address = stack.address("p-gray")
        process = subprocess.Popen(
            inside(stack, "a", "/probes/keep.py", address, "12"), stdout=subprocess.PIPE, text=True
        )
        time.sleep(3)
        stack.docker("kill", "p-gray")
        time.sleep(4)
        stack.laneway("lane", "disable", "gray")
        out, _ = process.communicate(timeout=60)
        seen = json.loads(out)
        ok = seen["connections"] == 1 and not seen["failed"] and list(seen["order"]) == ["gray", "base"]
        table.row("a kept connection outlives its instance and its lane", ok, out.strip())
        stack.laneway("lane", "enable", "gray")

    with table.guarded("an address that left the registry"):
        time.sleep(5)
        command = inside(stack, "a", "/probes/keep.py", address, "1")
        seen = json.loads(run(command))
        ok = not seen["failed"] and seen["order"] == ["base"]
        table.row("an address that left the registry is still its service", ok, json.dumps(seen))


def platform(stack: Stack, table: Table) -> None:
    """A health check from outside the pod, as a platform makes it: it sees the application, dead or alive."""
    with table.guarded("health checks of the platform"):
        address = stack.address("c-gray")
        # As the sidecar's user, which is not captured: nothing but the inbound sidecar is between.
        ask = inside(stack, "b", "-c", PROBE, f"http://{address}:20003/healthz", user="1337:1337")
        alive = run(ask).strip()
        stack.docker("kill", "c-gray")
        dead = run(ask).strip()
        stack.docker("start", "c-gray")
        eventually(lambda: stack.get(CANARY)[1].rpartition(" ")[2].startswith("Cgray"), 60, "c-gray is back")
        table.row(
            "health checks from outside see the application",
            alive == "200" and dead == "503",
            f"{alive}, {dead}",
        )


PROBE = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def check(stack: Stack, table: Table) -> None:
    table.section("capture harms nothing")
    probes(stack, table)
    outlives(stack, table)
    platform(stack, table)
    with table.guarded("probes are gone"):
        stack.compose(
            "rm",
            "--stop",
            "--force",
            "--volumes",
            "peer",
            *(f"{p}{x}" for p in ("p", "p-gray") for x in ("", "-sidecar", "-init", "-pod")),
        )
