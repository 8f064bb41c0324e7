"""`laneway token create|list|revoke`: tokens for the admin API, in a file that holds only their digests."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import console, fail, line, notice

_UNITS = {"m": 60, "h": 3600, "d": 86400}

TokenFile = Annotated[
    Path,
    typer.Option(
        "--file", envvar="LANEWAY_ADMIN_TOKENS", help="File of tokens, as `laneway serve` reads it."
    ),
]
Name = Annotated[str, typer.Argument(help="Whose token it is: history and audit show the name.")]


def create(
    name: Name,
    role: Annotated[
        list[str],
        typer.Option(help="viewer, operator:GROUP or admin; operators of several groups repeat it."),
    ],
    expires: Annotated[
        str, typer.Option(help="When it ends to be valid: 12h, 90d, 2027-01-31T12:00:00Z or never.")
    ] = "90d",
    file: TokenFile = Path("tokens"),
) -> None:
    """Make a token and print it. It is shown only now: the file gets its digest.

    A running `laneway serve` takes it within a second.
    """
    from controlplane.auth import token_file
    from controlplane.auth.rights import rights_of
    from controlplane.auth.tokens import at

    try:
        rights, ends = rights_of(role), _time(expires)
        made = token_file.create(file, name, rights, ends)
    except ValueError as error:
        fail(str(error), Exit.USAGE)
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror}")
    until = "for ever" if ends is None else f"until {at(ends)}"
    notice(f"{file} has the digest of {name}'s token: {rights}, valid {until}. It is not shown again.")
    typer.echo(made)


def show(file: TokenFile = Path("tokens")) -> None:
    """List the tokens of a file: names, roles and when they end; never the tokens."""
    from controlplane.auth import token_file
    from controlplane.auth.tokens import at
    from controlplane.cli.output import table

    try:
        tokens = token_file.tokens_in(file)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    rows: list[list[str]] = []
    for one in tokens:
        state = "in plain text" if one.plain else "hashed"
        if one.expires is not None and one.expires <= time.time():
            state = "expired"
        ends = "never" if one.expires is None else at(one.expires)
        rows.append([one.name, str(one.rights), "" if one.created is None else at(one.created), ends, state])
    console().print(table(["name", "role", "created", "expires", "state"], rows))


def revoke(name: Name, file: TokenFile = Path("tokens")) -> None:
    """Remove a token from the file. A running `laneway serve` refuses it within a second."""
    from controlplane.auth import token_file

    try:
        token_file.revoke(file, name)
    except ValueError as error:
        fail(str(error), Exit.USAGE)
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror}")
    console().print(line("revoked the token of ", (name, "bold")))


def _time(text: str) -> float | None:
    """Epoch seconds; None for never. Raises ValueError."""
    if text == "never":
        return None
    if found := re.fullmatch(r"([0-9]{1,6})([mhd])", text):
        return time.time() + int(found[1]) * _UNITS[found[2]]
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise ValueError(f"--expires {text!r} is not 12h, 90d, 2027-01-31T12:00:00Z or never")
    if given.timestamp() <= time.time():
        raise ValueError(f"--expires {text} is in the past")
    return given.timestamp()
