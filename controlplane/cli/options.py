"""Options that several commands share, and the exit codes."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated

import typer


class Exit(IntEnum):
    """Exit status of a command, for scripts."""

    OK = 0
    FAILED = 1  # refused by the control plane, or not as expected
    USAGE = 2  # wrong arguments; set by Typer too
    UNREACHABLE = 3  # no answer from --server


class Output(StrEnum):
    """How results are printed: a table for people, JSON or YAML for machines."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


Server = Annotated[
    str,
    typer.Option("--server", envvar="LANEWAY_SERVER", help="URL of the control plane's admin API."),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="LANEWAY_TOKEN", help="Token for the admin API.", show_default=False),
]
Format = Annotated[Output, typer.Option("--output", "-o", help="table, wide, json or yaml.")]

DEFAULT_SERVER = "http://127.0.0.1:18080"
