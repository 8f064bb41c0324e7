"""The `laneway` command. Modules import heavy libraries (httpx, pydantic, yaml, rich) inside functions, so
that `laneway --help` and completion start fast."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `laneway` command."""
    from controlplane.cli.main import app

    app()
