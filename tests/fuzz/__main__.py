"""Fuzzes all targets at once: python -m tests.fuzz --seconds 60 [--corpus DIRECTORY] [TARGET ...].

What is found is written to the corpus directory as crash-..., and is a new entry of FOUND in seeds.py. The
corpus is kept: a later run goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import FOUND, seeds
from tests.fuzz.targets import TARGETS

_LARGEST_INPUT = 4_096


def start(target: str, seconds: int, directory: Path) -> subprocess.Popen[bytes]:
    """Fuzz one target in a process of its own."""
    corpus, given = directory / target, directory / f"{target}-seeds"
    for folder in (corpus, given):
        folder.mkdir(parents=True, exist_ok=True)
    for raw in (*seeds(target), *FOUND[target]):
        (given / hashlib.sha256(raw).hexdigest()[:16]).write_bytes(raw)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={_LARGEST_INPUT}",
        "-timeout=10",
        "-rss_limit_mb=1024",
    ]
    options += [f"-artifact_prefix={directory}/{target}-", "-print_final_stats=1", "-verbosity=0"]
    command = [sys.executable, "-m", "tests.fuzz.run_one", target, *options, str(corpus), str(given)]
    return subprocess.Popen(command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"))
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all unless said"
    )
    arguments = parser.parse_args()
    running = {
        name: start(name, arguments.seconds, arguments.corpus) for name in arguments.targets or TARGETS
    }
    failed = [name for name, process in running.items() if process.wait()]
    if failed:
        raise SystemExit(f"fuzzing found a mistake in: {', '.join(failed)}; see {arguments.corpus}")
    print(f"fuzzed for {arguments.seconds} s without finding a mistake: {', '.join(running)}")


if __name__ == "__main__":
    main()
