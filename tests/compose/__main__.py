"""`make compose-check`: docker-compose.yml and what the documents say about it, on a real Docker engine.

Prints a table and ends with 1 if anything is not as promised. Parts may be chosen:
`python -m tests.compose [start] [tutorial] [monitoring] [harm] [faults] [unprivileged]`.
"""

from __future__ import annotations

import sys

from tests.compose import faults, harm, monitoring, start, tutorial
from tests.compose.stack import MAIN, UNPRIVILEGED, Failed, Stack, run
from tests.compose.table import Table

PODS = ("a", "b", "c", "a-gray", "c-gray")
PARTS = ("start", "tutorial", "monitoring", "harm", "faults", "unprivileged")


def unprivileged(stack: Stack, table: Table) -> None:
    table.section("without privileges")
    with table.guarded("docker-compose.unprivileged.yml"):
        # A namespace keeps its rules: the other way of capture needs new pods.
        pods = [f"{p}{part}" for p in PODS for part in ("", "-sidecar", "-init", "-pod")]
        stack.compose("rm", "--stop", "--force", "--volumes", "edge", *pods)
        stack.files = [MAIN, UNPRIVILEGED]
        took = stack.up()
        table.row("docker compose up --wait", True, f"{took:.0f} s")
        start.answers(stack, table, "proxy capture")
        start.locked(stack, table)
        stack.up("c", "c-gray", more={"SHOW_HEADERS": "x-lane,baggage"})
        status, text = stack.get({"canary": "gray", "baggage": "user=7"})
        ok = status == 200 and text.endswith("[x-lane=gray][baggage=lane=gray]") and text.startswith("Agray")
        table.row("A keeps x-lane only, B baggage only: C sees both", ok, text)


def main(chosen: list[str]) -> int:
    unknown = set(chosen) - set(PARTS)
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
        return 2
    wanted = chosen or list(PARTS)
    try:
        run(["docker", "info"], 20)
    except (Failed, OSError) as error:
        print(f"no Docker engine answers: {error}")
        return 2
    table, stack = Table(), Stack()
    try:
        table.section("images")
        start.build(stack, table)
        start.images(table)
        if "tutorial" in wanted:
            tutorial.check(stack, table)
        stack.down()
        stack.files = [MAIN]
        if {"start", "monitoring", "harm", "faults"} & set(wanted):
            table.section("docker compose up")
            start.up(stack, table)
            start.answers(stack, table, "redirect capture")
            start.locked(stack, table)
            start.bootstraps(stack, table)
            start.stops_fast(stack, table)
            tutorial.check(stack, table, tutorial.OWN_ENVOY)
        if "monitoring" in wanted:
            monitoring.check(stack, table)
        if "harm" in wanted:
            harm.check(stack, table)
        if "faults" in wanted:
            faults.check(stack, table)
        if "unprivileged" in wanted:
            unprivileged(stack, table)
    except KeyboardInterrupt:
        table.row("run to the end", False, "interrupted")
    except Exception as error:
        table.row("run to the end", False, str(error)[-600:])
    finally:
        table.section("clean up")
        with table.guarded("docker compose down"):
            start.down(stack, table)
    return table.summary()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
