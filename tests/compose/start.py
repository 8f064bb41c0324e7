"""Points of the start: ready in time, the two answers, nothing privileged, and what the images are."""

from __future__ import annotations

import json
import time

from tests.compose.load import CANARY
from tests.compose.stack import Stack, eventually, run
from tests.compose.table import Table

READY_S = 90
DOWN_S = 15
IMAGES = ("laneway", "laneway-init", "laneway-demo-app")


def answers(stack: Stack, table: Table, how: str) -> None:
    """The vendor's two answers, with the containers' addresses, ten times each."""
    for what, headers, pods in (
        ("base", {}, ("a", "b", "c")),
        ("canary", CANARY, ("a-gray", "b", "c-gray")),
    ):
        wanted = stack.expected(*pods)
        got = {stack.get(headers) for _ in range(10)}
        table.row(
            f"{how}: answer of {what}, 10 requests", got == {(200, wanted)}, "; ".join(t for _, t in got)
        )


def build(stack: Stack, table: Table) -> None:
    began = time.monotonic()
    stack.compose("build", "--quiet", seconds=600)
    table.row("images are built", True, f"{time.monotonic() - began:.0f} s")
    for files in (["docker-compose.yml"], ["docker-compose.yml", "docker-compose.unprivileged.yml"]):
        options = [part for file in files for part in ("-f", file)]
        command = f"docker compose {' '.join(options)} config --quiet 2>&1"
        said = run(["bash", "-c", command])
        table.row(f"config of {files[-1]} without a warning", said == "", said)


def images(table: Table) -> None:
    found = json.loads(run(["docker", "image", "inspect", *IMAGES]))
    base = json.loads(run(["docker", "image", "inspect", "debian:trixie-slim"]))[0]["Size"]
    one = found[0]
    config = one["Config"]
    labels = config.get("Labels") or {}
    size, own = one["Size"] / 1e6, (one["Size"] - base) / 1e6
    table.row(
        "control plane's image", size < 300, f"{size:.0f} MB, {own:.0f} of them over debian:trixie-slim"
    )
    ok = config["User"] not in ("", "root", "0") and bool(config.get("Healthcheck"))
    table.row("  non-root, health check, OCI labels", ok and "org.opencontainers.image.title" in labels)


def locked(stack: Stack, table: Table) -> None:
    """No container is privileged; NET_ADMIN is for init steps that have ended."""
    ids = stack.compose("ps", "--all", "--quiet").split()
    wrong, powers, running = [], [], 0
    for one in json.loads(run(["docker", "inspect", *ids])):
        name, host, state = one["Name"], one["HostConfig"], one["State"]
        added = [c for c in host["CapAdd"] or [] if c]
        if host["Privileged"] or (added and state["Running"]):
            wrong.append(name)
        powers += [f"{name}:{c}" for c in added]
        running += state["Running"]
        service = one["Config"]["Labels"]["com.docker.compose.service"]
        own = service != "nacos" and not service.endswith("-init")
        if own and (not host["ReadonlyRootfs"] or one["Config"]["User"] in ("", "root", "0")):
            wrong.append(f"{name} root or writable")
    only = all(
        p.split(":")[0].rsplit("-", 1)[0].endswith("-init") and p.endswith("NET_ADMIN") for p in powers
    )
    table.row(
        "NET_ADMIN only in init steps, which have ended; the rest locked",
        not wrong and only,
        f"{running} running, {len(powers)} had NET_ADMIN; {', '.join(wrong)}",
    )


def bootstraps(stack: Stack, table: Table) -> None:
    """Envoy itself takes what `laneway bootstrap` wrote, and its admin interface is on loopback."""
    volume = f"{stack.name}_bootstrap:/bootstrap:ro"
    envoy = ["docker", "run", "--rm", "--volume", volume, "envoyproxy/envoy:v1.40.0", "--mode", "validate"]
    names = ("edge", "a", "a-gray")
    said = {name: run([*envoy, "-c", f"/bootstrap/{name}.yaml"]) for name in names}
    look = ["docker", "run", "--rm", "--volume", volume, "laneway-demo-app", "bash", "-c"]
    admin = run([*look, ADMIN])
    mode = run([*look, "stat -c %a /bootstrap"]).strip()
    table.row("not everybody writes to the directory of bootstraps", mode == "775", mode)
    table.row(
        "bootstraps pass envoy --mode validate, admin on loopback",
        all("OK" in text for text in said.values()) and set(admin.split()) == {"127.0.0.1"},
        f"{', '.join(names)}; admin at {', '.join(sorted(set(admin.split())))}",
    )


ADMIN = "grep -h -A 4 ^admin: /bootstrap/*.yaml | sed -n 's/.*address: \\([0-9].*\\)/\\1/p'"


def stops_fast(stack: Stack, table: Table) -> None:
    """The control plane alone, with every proxy connected, and traffic goes on."""
    began = time.monotonic()
    stack.docker("stop", "control-plane")
    took = time.monotonic() - began
    exit_code = stack.inspect("control-plane")["State"]["ExitCode"]
    served = stack.get(CANARY)[0]
    stack.docker("start", "control-plane")
    eventually(lambda: stack.healthy("control-plane"), 60, "the control plane is healthy")
    table.row(
        "control plane stops within 2 s of SIGTERM",
        took < 2.5 and exit_code == 0 and served == 200,
        f"{took:.1f} s with docker's own share, status {exit_code}; request meanwhile: {served}",
    )


def up(stack: Stack, table: Table) -> None:
    took = stack.up()
    table.row(f"docker compose up --wait in under {READY_S} s", took < READY_S, f"{took:.0f} s")


def down(stack: Stack, table: Table) -> None:
    took = stack.down()
    table.row(f"docker compose down in under {DOWN_S} s", took < DOWN_S, f"{took:.0f} s")
