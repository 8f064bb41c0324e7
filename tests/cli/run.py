"""Runs the `laneway` command in a process of its own."""

from __future__ import annotations

import os
from tempfile import TemporaryFile

from tests.cli.forking import LANEWAY, Forked

__all__ = ["LANEWAY", "environment", "laneway"]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the command, wide enough for tables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LANEWAY_", "NACOS_"))}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"} | more


def laneway(*arguments: str, code: int = 0, stdin: str = "", **variables: str) -> str:
    """Standard output where `code` is 0, else standard error. AssertionError on another exit code."""
    with TemporaryFile() as given, TemporaryFile() as output, TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        process = Forked(arguments, stdin=given, stdout=output, stderr=errors, env=environment(**variables))
        try:
            status = process.wait(60)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        printed, said = output.read().decode(), errors.read().decode()
    assert status == code, f"exit {status}\n{printed}\n{said}"
    assert "Traceback" not in said
    return printed if code == 0 else said
