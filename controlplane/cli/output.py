"""Printing: tables and colours for people, JSON and YAML for machines, errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from controlplane.cli.options import Exit, Output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console(stderr: bool = False) -> Console:
    """A console on standard output or error. Colours only on a terminal, and not with NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not sys.stdout.isatty())


def fail(message: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Print `message` to standard error and leave with `code`."""
    from rich.markup import escape

    console(stderr=True).print(f"[bold red]error:[/] {escape(message)}")
    raise typer.Exit(code)


def notice(message: str) -> None:
    """A line for people on standard error, so that machine output on standard output stays clean."""
    from rich.markup import escape

    console(stderr=True).print(escape(message))


def dump(value: Any, output: Output) -> str:
    """`value` as JSON or YAML text, keys in the order in which they were given."""
    if output is Output.JSON:
        return json.dumps(value, indent=2, ensure_ascii=False)
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")


def show(value: Any, output: Output) -> None:
    """Print `value` for a machine."""
    sys.stdout.write(dump(value, output) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> Table:
    """A plain table, cells as text (no markup), headings in capitals."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        result.add_column(column.upper(), overflow="fold")
    for row in rows:
        result.add_row(*(Text(cell, style=style(cell)) for cell in row))
    return result


_STYLES = {
    "yes": "green",
    "healthy": "green",
    "connected": "green",
    "acked": "green",
    "complete": "green",
    "created": "green",
    "changed": "yellow",
    "held": "yellow",
    "disabled": "yellow",
    "base": "cyan",
    "waiting": "yellow",
    "incomplete": "red",
    "stale": "red",
    "unhealthy": "red",
    "refused": "red",
    "NACK": "bold red",
}


def style(cell: str) -> str:
    """The colour of a table cell: states that people look for stand out."""
    return _STYLES.get(cell.partition(" ")[0], "")
