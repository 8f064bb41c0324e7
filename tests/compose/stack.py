"""One running `docker compose` project for the checks, under a name and a port of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MAIN = "docker-compose.yml"
UNPRIVILEGED = "docker-compose.unprivileged.yml"
PODS = "tests/compose/pods.yml"
PEERS = "tests/compose/peers.yml"


class Failed(Exception):
    """A command that should have worked; the text is its end."""


def free_port() -> int:
    """A port that nobody has on any address."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def run(
    command: list[str], seconds: float = 300, text: str | None = None, more: Mapping[str, str] | None = None
) -> str:
    """Standard output of `command`, run in the clone. Raises Failed."""
    environment = os.environ | dict(more or {})
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)[:200]} took more than {seconds:.0f} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)[:200]}: {(done.stdout + done.stderr)[-700:]}")
    return done.stdout


def eventually(met: Callable[[], bool], seconds: float, what: str) -> float:
    """Seconds until `met`, asked ten times a second. Raises Failed with `what`."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > seconds:
            raise Failed(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.1)
    return time.monotonic() - began


class Stack:
    """The project; `files` may be changed between calls of `up`."""

    def __init__(self, name: str = "laneway-check") -> None:
        self.name = name
        self.port = free_port()
        self.files = [MAIN]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "COMPOSE_PROJECT_NAME": self.name,
            "EDGE_PORT": str(self.port),
            "COMPOSE_FILE": ":".join(self.files),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/a"

    def compose(self, *arguments: str, seconds: float = 300, more: Mapping[str, str] | None = None) -> str:
        files = [part for file in self.files for part in ("-f", file)]
        command = ["docker", "compose", "--project-directory", ".", *files, *arguments]
        return run(command, seconds, more=self.environment | dict(more or {}))

    def up(self, *services: str, more: Mapping[str, str] | None = None) -> float:
        """Start and wait until healthy; returns seconds.

        On a machine where every core is busy, Nacos's embedded database may miss a deadline of 10 s of its
        own, which ends it; only then it is tried again, and the last try counts.
        """
        for attempt in (1, 2, 3):
            began = time.monotonic()
            try:
                self.compose("up", "--wait", *services, more=more)
                return time.monotonic() - began
            except Failed as error:
                if attempt == 3 or "nacos" not in str(error):
                    raise
        raise AssertionError

    def down(self) -> float:
        """Remove everything of the project; returns seconds."""
        began = time.monotonic()
        self.files = [MAIN, "compose/next-release.yml", PODS, PEERS]
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")
        return time.monotonic() - began

    def container(self, service: str) -> str:
        return f"{self.name}-{service}-1"

    def docker(self, verb: str, *services: str, options: tuple[str, ...] = ()) -> str:
        return run(["docker", verb, *options, *(self.container(s) for s in services)])

    def inspect(self, service: str) -> dict[str, Any]:
        return json.loads(self.docker("inspect", service))[0]

    def healthy(self, service: str) -> bool:
        return self.inspect(service)["State"]["Health"]["Status"] == "healthy"

    def address(self, service: str) -> str:
        """The address of a pod on the project's first network."""
        return self.inspect(f"{service}-pod")["NetworkSettings"]["Networks"][f"{self.name}_default"][
            "IPAddress"
        ]

    def laneway(self, *arguments: str, text: str | None = None) -> str:
        container = self.container("control-plane")
        return run(["docker", "exec", "-i", container, "laneway", *arguments], 60, text or "")

    def get(self, headers: Mapping[str, str] | None = None, path: str = "/a") -> tuple[int, str]:
        """Status and body of one request through the edge; status 0 where there is no answer."""
        request = urllib.request.Request(self.url.removesuffix("/a") + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError as error:
            return 0, str(error)

    def expected(self, *pods: str) -> str:
        """The chain's whole answer, through these pods."""
        parts = []
        for pod in pods:
            letter, _, version = pod.partition("-")
            name = letter.upper() + version
            parts.append(f"{name}[{self.address(pod)}]" + ("[config=base]" if letter == "a" else ""))
        return " -> ".join(parts)
