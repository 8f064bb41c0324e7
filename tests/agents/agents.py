"""Real tracing agents, each asked what it reads in lines of `baggage` and what it writes for them.

Those in other languages are programs in this folder, built into the user's cache (LANEWAY_AGENTS_CACHE). One
line asks: the charset in which the server decodes headers, then each header line as `-` and hex. One answers:
what is written as `-` and hex, then the members as `-NAME=VALUE` in hex.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from opentelemetry.baggage import get_all
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from tests import require
from tests.golang import build

HERE = Path(__file__).parent
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True)
class Seen:
    members: dict[str, str]
    written: bytes


class Agent(Protocol):
    name: str
    forgets: bool
    """It drops the whole of a header for a mistake in one member."""

    def read(self, lines: Sequence[bytes], charset: str) -> Seen: ...

    def close(self) -> None: ...


class Python:
    """OpenTelemetry for Python, in this process."""

    name = "opentelemetry-python"
    forgets = False

    def __init__(self) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it warns of each odd member

    def read(self, lines: Sequence[bytes], charset: str) -> Seen:
        carrier = {"baggage": [line.decode(charset, "replace") for line in lines]}
        context = W3CBaggagePropagator().extract(carrier, Context())
        written: dict[str, str] = {}
        W3CBaggagePropagator().inject(written, context)
        return Seen(
            {name: str(value) for name, value in get_all(context).items()},
            written.get("baggage", "").encode(),
        )

    def close(self) -> None:
        pass


class Program:
    """An agent in a process of its own."""

    def __init__(self, name: str, command: Sequence[str | Path], forgets: bool = False) -> None:
        self.name = name
        self.forgets = forgets
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, lines: Sequence[bytes], charset: str) -> Seen:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([charset, *(f"-{line.hex()}" for line in lines)]).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode()
        assert answer, f"{self.name} ended at {lines!r}"
        written, *members = answer.split()
        pairs = [member[1:].partition("=") for member in members]
        return Seen(
            {bytes.fromhex(n).decode(): bytes.fromhex(v).decode(errors="replace") for n, _, v in pairs},
            bytes.fromhex(written[1:]),
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _cached(part: str, variant: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled from the sources of one part; made anew when they change."""
    digest = hashlib.sha256(variant.encode())
    for source in sorted((HERE / part).iterdir()):
        digest.update(source.read_bytes())
    chosen = os.environ.get("LANEWAY_AGENTS_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laneway" / "agents"
    root = (Path(chosen) if chosen else user) / f"{part}-{digest.hexdigest()[:16]}"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        if not (root / "done").exists():
            make(root)
            (root / "done").touch()
    return root


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    built = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"{command}:\n{built.stdout}\n{built.stderr}"


def _need(need: str, *tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        require.lacking(need, f"{', '.join(missing)}: not installed here, so this agent cannot be asked")


def java(agent: str, version: str = "") -> Program:
    """`opentelemetry`, or an older version of it, before 1.64; or `brave`, of Micrometer's bridge."""
    _need("java", "java", "javac", "mvn")

    def make(root: Path) -> None:
        options = [f"-Dopentelemetry.version={version}"] if version else []
        _run(
            "mvn",
            "-q",
            "-B",
            "-f",
            HERE / "java" / "pom.xml",
            COPY,
            f"-DoutputDirectory={root / 'lib'}",
            *options,
        )
        _run("javac", "-cp", f"{root / 'lib'}/*", "-d", root / "classes", HERE / "java" / "Agent.java")

    root = _cached("java", version, make)
    name = f"{agent}-java" + (f"-{version}" if version else "")
    quiet = f"-Djava.util.logging.config.file={os.devnull}"  # it warns of each odd member
    command = [
        "java",
        "-XX:TieredStopAtLevel=1",
        quiet,
        "-cp",
        f"{root}/lib/*:{root}/classes",
        "Agent",
        agent,
    ]
    return Program(name, command, forgets=bool(version))


def spring(address: tuple[str, int], proxy: tuple[str, int], **properties: str) -> list[str]:
    """A command: a Spring Boot service that calls through `proxy`; `properties` with `_` in place of dots."""
    _need("java", "java", "javac", "mvn")

    def make(root: Path) -> None:
        _run("mvn", "-q", "-B", "-f", HERE / "spring" / "pom.xml", COPY, f"-DoutputDirectory={root / 'lib'}")
        source = HERE / "spring" / "Passing.java"
        _run("javac", "-parameters", "-cp", f"{root / 'lib'}/*", "-d", root / "classes", source)

    root = _cached("spring", "", make)
    given = {"server.address": address[0], "server.port": str(address[1]), "http.proxyHost": proxy[0]}
    given |= {"http.proxyPort": str(proxy[1])} | {k.replace("_", "."): v for k, v in properties.items()}
    light = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m"]
    options = [f"-D{name}={value}" for name, value in given.items()]
    return ["java", *light, *options, "-cp", f"{root}/lib/*:{root}/classes", "laneway.Passing"]


def node() -> Program:
    _need("node", "node", "npm")

    def make(root: Path) -> None:
        for source in (HERE / "node").iterdir():
            if source.is_file():
                shutil.copy(source, root)
        _run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=root)

    return Program("opentelemetry-js", ["node", _cached("node", "", make) / "agent.js"])


def go(folder: Path) -> Program:
    return Program("opentelemetry-go", [build(".", HERE / "go", folder / "agent")])
