"""Runs the `laneway` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LANEWAY = Path(sys.executable).with_name("laneway")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the command, wide enough for tables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LANEWAY_", "NACOS_"))}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"} | more


def laneway(*arguments: str, code: int = 0, stdin: str = "", **variables: str) -> str:
    """Standard output where `code` is 0, else standard error. AssertionError on another exit code."""
    result = subprocess.run(
        [LANEWAY, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=environment(**variables),
        timeout=60,
    )
    assert result.returncode == code, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result.stdout if code == 0 else result.stderr
