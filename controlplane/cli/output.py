"""Printing: tables and colours for people, JSON and YAML for machines, errors to standard error.

The texts come from proxies, registries and other people, so none is taken as markup, and all are made
printable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def problem_lines(where: str, error: Mapping[str, Any]) -> list[Text]:
    """A mistake as the control plane tells it, with the place of its document: what is wrong, and the remedy,
    each once.
    """
    field, message = str(error.get("field") or ""), str(error.get("message") or "")
    value = error.get("value")
    shown = "" if value is None else f" (it is {str(value)[:200]})"
    place = "".join(f" {part}:" for part in (where, field) if part)
    lines = [line(("error:", "bold red"), f"{place} {message}{shown}")]
    if error.get("remedy"):
        lines.append(line("  ", ("remedy:", "green"), f" {error['remedy']}"))
    return lines


def say(lines: Iterable[Text]) -> None:
    """Lines for people on standard error."""
    out = console(stderr=True)
    for one in lines:
        out.print(one)


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
    if output == Output.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_UNBOUNDED)
    if not text.replace("\n", "").isprintable():
        text = yaml.safe_dump(value, sort_keys=False, width=_UNBOUNDED)
    return text.rstrip("\n")


def show(value: Any, output: Output) -> None:
    """Print `value` for a program."""
    if output.expression:
        from controlplane.cli import jsonpath

        try:
            text = jsonpath.render(output.expression, value)
        except jsonpath.TemplateError as error:
            fail(f"-o jsonpath: {error}", Exit.USAGE)
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    elif output == Output.NAME:
        for name in identities(value):
            sys.stdout.write(printable(name) + "\n")
    else:
        sys.stdout.write(dump(value, output) + "\n")


def emit(value: Any, output: Output, draw: Callable[[], object]) -> None:
    """Print `value` in the form that was asked for. `draw` prints it for people."""
    if output.drawn:
        draw()
    else:
        show(value, output)


def identities(value: Any) -> list[str]:
    """`kind/name` of everything in an answer, as `get`, `describe` and `delete` take it; with the parent
    where there is one: `lane/order-flow/gray`.
    """
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("items"), list):
        undefined = [one for one in value.get("live", ()) if not one["defined"]]
        return [name for item in (*value["items"], *undefined) for name in identities(item)]
    if "kind" in value and "name" in value:
        from controlplane.model.kinds import KINDS

        kind = KINDS.get(value["kind"])
        word = kind.words.replace(" ", "-") if kind else str(value["kind"]).lower()
        owner = f"{value[kind.owner]}/" if kind and kind.owner else ""
        return [f"{word}/{owner}{value['name']}"]
    if "application" in value and "defined" in value:
        return [f"application/{value['application']}"]
    for field, word in (("service", "service"), ("node", "proxy"), ("revision", "revision")):
        if field in value:
            return [f"{word}/{value[field]}"]
    done = [name for what in ("created", "changed", "deleted", "unchanged") for name in value.get(what, ())]
    if not done:
        fail("there is nothing with a name in this: use another form than `-o name`", Exit.USAGE)
    return done


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
