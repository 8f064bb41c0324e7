"""Documents in files of users: read and checked for syntax here, so that a mistake is told with its file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import fail, problem_lines, say

FILE_ENDINGS = (".yaml", ".yml", ".json")
STANDARD_INPUT = "standard input"

FileOption = Annotated[
    list[str],
    typer.Option("--file", "-f", help="A file, a directory, or - for standard input; may be repeated."),
]


@dataclass(frozen=True)
class Place:
    """Where a document stands: `lanes.yaml, document 2`."""

    file: str
    number: int
    of: int

    def __str__(self) -> str:
        return self.file if self.of == 1 else f"{self.file}, document {self.number}"


@dataclass(frozen=True)
class Given:
    """The documents of files, each with its place."""

    text: bytes
    documents: tuple[tuple[Place, Any], ...]

    def places(self) -> Mapping[str, str]:
        """Where each document stands, by the name that the control plane has for it in errors."""
        found: dict[str, list[str]] = {}
        for index, (place, value) in enumerate(self.documents):
            found.setdefault(f"documents[{index}]", []).append(str(place))
            if isinstance(value, dict) and "kind" in value and "name" in value:
                found.setdefault(f"{value['kind']}/{value['name']}", []).append(str(place))
        return {name: " and ".join(dict.fromkeys(places)) for name, places in found.items()}


def read(files: Sequence[str], some: bool = True) -> Given:
    """All documents of `files`, directories in the order of their names. some: there must be one.

    Ends the command with exit code USAGE if a file cannot be read, or is not YAML, or has no document.
    """
    texts: list[str] = []
    documents: list[tuple[Place, Any]] = []
    for name, text in _texts(files):
        texts.append(text.rstrip("\n"))
        values = _values(name, text)
        documents += [(Place(name, index, len(values)), one) for index, one in enumerate(values, 1)]
    if some and not documents:
        fail(f"{', '.join(files)}: there is no document in it", Exit.USAGE)
    return Given("\n---\n".join(texts).encode() + b"\n", tuple(documents))


def _texts(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in files:
        if name == "-":
            yield STANDARD_INPUT, sys.stdin.read()
            continue
        path = Path(name)
        members = (
            sorted(one for one in path.rglob("*") if one.suffix in FILE_ENDINGS) if path.is_dir() else [path]
        )
        if not members:
            fail(f"{name} contains no file that ends in {', '.join(FILE_ENDINGS)}", Exit.USAGE)
        for member in members:
            try:
                yield str(member), member.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                fail(f"cannot read {member}: {reason}", Exit.USAGE)


def _values(name: str, text: str) -> list[Any]:
    from controlplane.model.loading import flattened, load_yaml
    from controlplane.model.problems import DefinitionError

    try:
        return flattened(load_yaml(text.encode()))
    except DefinitionError as error:
        for one in error.problems:
            say(problem_lines(name, one.as_json()))
        raise typer.Exit(Exit.USAGE) from None
