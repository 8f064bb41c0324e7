"""Faults under steady load: what is killed, for how long, and how many requests were not answered by 200."""

from __future__ import annotations

import re
import time

from tests.compose.load import CANARY, Load
from tests.compose.stack import PODS, Stack, eventually
from tests.compose.table import Table

OUTAGE_S = 60.0
PAUSE_S = 45.0
KEPT_S = 30.0


def goes_to(stack: Stack, *pods: str) -> bool:
    return stack.get(CANARY) == (200, stack.expected(*pods))


def back_in_lane(stack: Stack, seconds: float = 60) -> float:
    return eventually(lambda: goes_to(stack, "a-gray", "b", "c-gray"), seconds, "the canary answers again")


def kill(stack: Stack, table: Table, service: str, rest: tuple[str, ...]) -> None:
    """`service` is killed and stays away for 8 s; `rest` is the chain of the lane meanwhile."""
    with table.guarded(f"kill -9 of {service}"):
        with Load(stack.url) as load:
            time.sleep(2)
            stack.docker("kill", service, options=("--signal", "KILL"))
            killed = time.monotonic()
            eventually(lambda: goes_to(stack, *rest), 10, "base answers in the lane")
            time.sleep(max(0.0, killed + 8 - time.monotonic()))
            stack.docker("start", service)
            took = back_in_lane(stack)
        table.row(f"kill -9 of {service}", not load.failed(), f"{load.story()}; back after {took:.0f} s")


def restart(stack: Stack, table: Table, *services: str) -> None:
    """A polite restart, in this order, while canaries are asked for."""
    with table.guarded(f"restart of {', '.join(services)}"):
        with Load(stack.url) as load:
            time.sleep(1)
            for service in services:
                stack.docker("restart", service)
            took = back_in_lane(stack)
            time.sleep(2)
        table.row(
            f"restart of {', then '.join(services)}",
            not load.failed(),
            f"{load.story()}; back after {took:.0f} s",
        )


def rolling(stack: Stack, table: Table) -> None:
    """Two base instances of B are restarted one after the other, sidecar first and application first."""
    with table.guarded("rolling restart of a base"):
        stack.files = [*stack.files, PODS]
        stack.up("b-two")
        both = {f"B[{stack.address(pod)}]" for pod in ("b", "b-two")}

        def served() -> bool:
            return all(any(pod in stack.get()[1] for _ in range(20)) for pod in both)

        eventually(served, 60, "both instances of B answer")
        with Load(stack.url) as load:
            for order in (("b-two-sidecar", "b-two"), ("b", "b-sidecar")):
                for service in order:
                    stack.docker("restart", service)
                eventually(lambda order=order: all(map(stack.healthy, order)), 60, f"{order} are healthy")
                eventually(served, 60, "both instances of B answer again")
        table.row("rolling restart of two base instances", not load.failed(), load.story())
        stack.compose(
            "rm", "--stop", "--force", "--volumes", *(f"b-two{s}" for s in ("", "-sidecar", "-init", "-pod"))
        )
        stack.files.remove(PODS)


def control_plane(stack: Stack, table: Table) -> None:
    """Away for a minute; a canary of B, whose sidecar was ready before, registers meanwhile."""
    with table.guarded("kill -9 of the control plane"):
        stack.files = [*stack.files, PODS]
        pod = ("b-gray-pod", "b-gray-init", "b-gray-sidecar", "b-gray")
        stack.up("b-gray-sidecar")
        stack.compose("create", "--no-recreate", "b-gray")
        with Load(stack.url) as load:
            time.sleep(2)
            stack.docker("kill", "control-plane", options=("--signal", "KILL"))
            killed = time.monotonic()
            stack.docker("start", "b-gray")
            time.sleep(max(0.0, killed + OUTAGE_S - time.monotonic()))
            early = sum(count for line, count in load.lines("base").items() if "Bgray" in line)
            stack.docker("start", "control-plane")
            took = eventually(
                lambda: goes_to(stack, "a-gray", "b-gray", "c-gray"), 60, "the new canary of B answers"
            )
            time.sleep(2)
        table.row(f"kill -9 of the control plane, {OUTAGE_S:.0f} s", not load.failed(), load.story())
        table.row(
            "  a canary registered meanwhile is picked up",
            True,
            f"{took:.0f} s after the start; before, callers' own choice sent it {early} requests of base",
        )
        stack.compose("rm", "--stop", "--force", "--volumes", *pod)
        back_in_lane(stack)


def nacos(stack: Stack, table: Table) -> None:
    """Away for a minute, back with an empty registry: all registrations are in memory."""
    with table.guarded("kill -9 of Nacos"):
        with Load(stack.url) as load:
            time.sleep(2)
            stack.docker("kill", "nacos", options=("--signal", "KILL"))
            killed = time.monotonic()
            time.sleep(OUTAGE_S)
            during = load.lines("gray").copy()
            stack.docker("start", "nacos")
            healthy = eventually(lambda: stack.healthy("nacos"), 120, "Nacos is healthy")
            time.sleep(KEPT_S)
            took = back_in_lane(stack)
        left = sum(c for line, c in load.lines("gray").items() if not line.endswith("Cgray")) - sum(
            c for line, c in during.items() if not line.endswith("Cgray")
        )
        table.row(
            f"kill -9 of Nacos, {time.monotonic() - killed:.0f} s in all", not load.failed(), load.story()
        )
        table.row(
            "  down: the lane stays whole",
            all(line.endswith("Cgray") for line in during),
            ", ".join(f"{count} {line}" for line, count in during.items()),
        )
        table.row(
            "  back, empty: whole again when clients have registered",
            took < 30,
            f"healthy after {healthy:.0f} s; {left} requests of the lane were served by base meanwhile",
        )


def serials(stack: Stack) -> set[str]:
    """The certificates that the edge and the sidecars show to the control plane."""
    asks = (
        "exec 3<>/dev/tcp/127.0.0.1/15000 && "
        "printf 'GET /certs HTTP/1.1\\r\\nHost: envoy\\r\\nConnection: close\\r\\n\\r\\n' >&3 && cat <&3"
    )
    proxies = ("edge", "a-sidecar", "b-sidecar", "c-sidecar", "a-gray-sidecar", "c-gray-sidecar")
    said = (stack.compose("exec", "-T", proxy, "bash", "-c", asks) for proxy in proxies)
    return {
        serial
        for text in said
        for chain in re.findall(r'"cert_chain": \[(.*?)\]\n', text, re.DOTALL)
        for serial in re.findall(r'"serial_number": "(\w+)"', chain)
    }


def rotation(stack: Stack, table: Table) -> None:
    """New certificates for everybody under load; then all connect anew, with them."""
    with table.guarded("certificates are rotated"):
        before = serials(stack)
        with Load(stack.url) as load:
            time.sleep(2)
            stack.docker("restart", "certs")
            took = eventually(
                lambda: (now := serials(stack)) and now.isdisjoint(before), 60, "all proxies have new ones"
            )
            stack.docker("restart", "control-plane")
            eventually(lambda: stack.healthy("control-plane"), 60, "the control plane is healthy")
            back_in_lane(stack)
            time.sleep(5)
        table.row("certificates are rotated", not load.failed(), f"{load.story()}; new ones in {took:.0f} s")


def pause(stack: Stack, table: Table) -> None:
    """The canary of C accepts and stays silent: only the registry finds that."""
    with table.guarded("docker pause of a canary"):
        with Load(stack.url) as load:
            time.sleep(2)
            stack.docker("pause", "c-gray")
            paused = time.monotonic()
            time.sleep(PAUSE_S)
            stack.docker("unpause", "c-gray")
            resumed = time.monotonic()
            time.sleep(5)
        early = load.failed(until=paused + 30)
        late = load.failed(since=paused + 30)
        base = load.failed("base")
        last = max((one.at for one in early), default=paused) - paused
        took = back_in_lane(stack, 90) + 5
        table.row(
            "docker pause of c-gray: later than 30 s nothing fails",
            not late and not base,
            f"{len(early)} before (the last began after {last:.0f} s), {len(late)} after; base: {len(base)}; "
            f"back {took:.0f} s after {resumed - paused:.0f} s of silence",
        )


def check(stack: Stack, table: Table) -> None:
    table.section("faults under load, 10 requests a second of base and of the lane each")
    kill(stack, table, "c-gray", ("a-gray", "b", "c"))
    kill(stack, table, "a-gray", ("a", "b", "c-gray"))
    kill(stack, table, "c-gray-sidecar", ("a-gray", "b", "c"))
    restart(stack, table, "c-gray-sidecar", "c-gray")
    restart(stack, table, "a-gray", "a-gray-sidecar")
    rolling(stack, table)
    rotation(stack, table)
    control_plane(stack, table)
    nacos(stack, table)
    pause(stack, table)
