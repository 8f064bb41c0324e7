"""Arguments and options that several commands share, with their completion."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import completion

NameArgument = Annotated[
    str | None,
    typer.Argument(help="Which one; routes and lanes also as PARENT/NAME.", autocompletion=completion.name),
]
GatewayOption = Annotated[
    str | None,
    typer.Option("--gateway", help="Only routes of this gateway.", autocompletion=completion.gateway),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", help="Only lanes of this group.", autocompletion=completion.group)
]
