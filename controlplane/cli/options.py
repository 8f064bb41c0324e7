"""Options that several commands share, and the exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar

import typer


class Exit(IntEnum):
    """Exit status of a command, for scripts."""

    OK = 0
    FAILED = 1  # refused by the control plane, or what was asked for is not so
    USAGE = 2  # wrong arguments; set by Typer too
    UNREACHABLE = 3  # no answer from --server
    WARNED = 4  # `check` has found likely mistakes


class Output(str):
    """How results are printed: `table`, `wide`, `name`, `json`, `yaml` or `jsonpath=EXPRESSION`.

    A table is for people, everything else for programs.
    """

    TABLE: ClassVar[Output]
    WIDE: ClassVar[Output]
    NAME: ClassVar[Output]
    JSON: ClassVar[Output]
    YAML: ClassVar[Output]

    @classmethod
    def parse(cls, text: str) -> Output:
        """Raises typer.BadParameter for a form that does not exist."""
        found = cls(text)
        if text not in FORMS and not found.expression:
            raise typer.BadParameter(
                f"{text!r} is not a form of output: use {', '.join(FORMS)} or jsonpath=EXPRESSION, such as "
                "jsonpath='{.items[*].name}'"
            )
        return found

    @property
    def expression(self) -> str:
        """The expression of `jsonpath=EXPRESSION`, empty for the other forms."""
        return self.removeprefix(JSONPATH) if self.startswith(JSONPATH) else ""

    @property
    def drawn(self) -> bool:
        """Whether people read it."""
        return self in (Output.TABLE, Output.WIDE)


FORMS = ("table", "wide", "name", "json", "yaml")
JSONPATH = "jsonpath="
Output.TABLE, Output.WIDE, Output.NAME, Output.JSON, Output.YAML = map(Output, FORMS)


def complete_form(incomplete: str) -> list[str]:
    """Shell completion of -o."""
    return [one for one in (*FORMS, JSONPATH) if one.startswith(incomplete)]


Server = Annotated[
    str,
    typer.Option("--server", envvar="LANEWAY_SERVER", help="URL of the control plane's admin API."),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="LANEWAY_TOKEN", help="Token for the admin API.", show_default=False),
]
Format = Annotated[
    Output,
    typer.Option(
        "--output",
        "-o",
        parser=Output.parse,
        metavar="FORM",
        help="table, wide, name, json, yaml or jsonpath=EXPRESSION.",
        autocompletion=complete_form,
    ),
]

DEFAULT_SERVER = "http://127.0.0.1:18080"
