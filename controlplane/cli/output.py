"""Printing: tables and colours for people, JSON and YAML for machines, errors to standard error.

The texts come from proxies, registries and other people, so none is taken as markup, and all are made
printable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from controlplane.cli.options import Exit, Output
from controlplane.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderHook, RenderResult
    from rich.table import Table
    from rich.text import Text


_UNBOUNDED = 1 << 20


def console(stderr: bool = False) -> Console:
    """A console on standard output or error. Colours only on a terminal, and not with NO_COLOR.

    What goes to a pipe or a file is neither wrapped nor cut: programs read it.
    """
    from rich.console import Console

    piped = not sys.stdout.isatty()
    made = Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=piped,
        width=_UNBOUNDED if piped else None,
    )
    made.push_render_hook(_net())
    return made


class Harmless:
    """Draws `inner` with its texts made printable."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for segment in console.render(self._inner, options):
            text = segment.text if segment.control else printable(segment.text, keep="\n")
            yield Segment(text, segment.style, segment.control)


def _net() -> RenderHook:
    """The last guard: makes printable what was not made so before."""
    from rich.console import RenderHook
    from rich.control import Control

    class Net(RenderHook):
        def process_renderables(self, renderables: list[Any]) -> list[Any]:
            return [one if isinstance(one, Control) else Harmless(one) for one in renderables]

    return Net()


def line(*parts: str | tuple[str, str]) -> Text:
    """One line of texts; a pair is a text and its style."""
    from rich.text import Text

    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text, keep="\n"), style) for text, style in pairs))


def fail(message: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Print `message` to standard error and leave with `code`."""
    console(stderr=True).print(line(("error:", "bold red"), f" {message}"))
    raise typer.Exit(code)


def notice(message: str) -> None:
    """A line for people on standard error, so that machine output on standard output stays clean."""
    console(stderr=True).print(line(message))


def write(text: str) -> None:
    """Write a text of the control plane as it is, for a file; a terminal gets it printable."""
    sys.stdout.write(printable(text, keep="\n\t") if sys.stdout.isatty() else text)


def dump(value: Any, output: Output) -> str:
    """`value` as JSON or YAML text, keys in the given order. Characters that are not printable are escaped in
    the way of the format, so that a parser reads the same value.
    """
    if output is Output.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if not text.replace("\n", "").isprintable():
        text = yaml.safe_dump(value, sort_keys=False)
    return text.rstrip("\n")


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
        result.add_row(*(Text(printable(cell), style=style(cell)) for cell in row))
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
    "closed": "yellow",
    "base": "cyan",
    "waiting": "yellow",
    "incomplete": "red",
    "stale": "red",
    "unhealthy": "red",
    "refused": "red",
    "NACK": "bold red",
}


def style(cell: str) -> str:
    """The colour of a table cell; states that people look for stand out."""
    return _STYLES.get(cell.partition(" ")[0], "")
