"""Parses YAML, within bounds, into a tree of nodes that know their line and column.

Definitions and the files of the file source are both read this way. The tree is built from the parser's
events and not by a YAML constructor, so that duplicate keys, tags and aliases that expand to a huge document
are refused before anything is built from them. The caller decides what a scalar means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEPTH_LIMIT = 32
TOO_DEEP = f"is nested deeper than {DEPTH_LIMIT} levels"
UNQUOTED = ("!= begins a tag in YAML where it is not quoted", 'quote it: "!="')
FLATTER = "no document needs that; check the brackets and the indentation"


class Fault(Exception):
    """A mistake in a text: the field (`services[0].name`, "" for the whole text), the line and the column."""

    def __init__(self, message: str, remedy: str, line: int, column: int, at: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = line
        self.column = column
        self.field = at


@dataclass(slots=True)
class Node:
    """One node: where it begins, and how many nodes and levels it holds, itself included."""

    line: int
    column: int
    size: int = field(default=1, kw_only=True)
    height: int = field(default=0, kw_only=True)


@dataclass(slots=True)
class Scalar(Node):
    """A scalar: its `text` as written. `plain` means neither quoted nor a block."""

    text: str
    plain: bool


@dataclass(slots=True)
class Items(Node):
    items: list[AnyNode]


@dataclass(slots=True)
class Fields(Node):
    """A mapping: for each key the line where the key stands, and its value."""

    fields: dict[str, tuple[int, AnyNode]]


AnyNode = Scalar | Items | Fields


def nodes(text: str, limit: int, *, aliases: bool) -> Iterator[AnyNode]:
    """The documents of a YAML (or JSON) text, without the empty ones.

    `limit` is the number of nodes that a text may have; the nodes behind an alias count each time that the
    alias is used. Raises Fault.
    """
    builder = _Builder(limit, aliases)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            document = builder.take(event)
            if document is not None:
                yield document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if _before(text, line, column).endswith("!="):
            raise Fault(*UNQUOTED, line, column) from None
        remedy = "check the indentation, and quote texts with special characters"
        raise Fault(f"is not YAML: {reason}", remedy, line, column) from None


def _before(text: str, line: int, column: int) -> str:
    """The part of a line that stands before a column, both counted from 1."""
    lines = text.splitlines()
    return lines[line - 1][: column - 1] if line <= len(lines) else ""


class _Builder:
    """A frame is what is under way, with the key that waits for its value and its anchor."""

    def __init__(self, limit: int, aliases: bool) -> None:
        self._left = limit
        self._limit = limit
        self._aliases = aliases
        self._frames: list[tuple[Items | Fields, list[tuple[str, int]], str | None]] = []
        self._anchors: dict[str, AnyNode | None] = {}

    def take(self, event: yaml.Event) -> AnyNode | None:
        """Go on with an event; a document when it is complete."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            plain = bool(event.implicit[0]) and not event.style
            node = Scalar(*_place(event), event.value, plain)
            if event.anchor:
                self._anchors[event.anchor] = node
            # An empty document (a `---` at the end) says nothing; one that says null is a mistake.
            return self._add(node, event, said=bool(event.value) or not plain)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._refuse_tag(event)
            if len(self._frames) >= DEPTH_LIMIT:
                self._refuse(event, TOO_DEEP, FLATTER, path=True)
            if self._expects_key():
                self._refuse_key(event)
            mapping = isinstance(event, yaml.MappingStartEvent)
            value = Fields(*_place(event), {}) if mapping else Items(*_place(event), [])
            if event.anchor:
                self._anchors[event.anchor] = None
            self._frames.append((value, [], event.anchor))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            complete, _, anchor = self._frames.pop()
            if anchor:
                self._anchors[anchor] = complete
            return self._add(complete, event)
        elif isinstance(event, yaml.AliasEvent):
            return self._add(self._meant(event), event)
        return None

    def _meant(self, event: yaml.AliasEvent) -> AnyNode:
        if not self._aliases:
            message = f"*{event.anchor} is an alias, and aliases are not supported here"
            self._refuse(event, message, "write the value out", path=True)
        node = self._anchors.get(event.anchor or "")
        if node is None:
            message = f"*{event.anchor} contains itself"
            self._refuse(event, message, "write the value out")
        return node

    def _add(self, node: AnyNode, event: yaml.Event, said: bool = True) -> AnyNode | None:
        own = node.size if isinstance(event, yaml.AliasEvent) else 1
        self._left -= own
        if self._left < 0:
            message = f"is too large: it has more than {self._limit} values"
            self._refuse(event, message, "divide it", path=False)
        if not self._frames:
            return node if said else None
        parent, key, _ = self._frames[-1]
        if len(self._frames) + node.height > DEPTH_LIMIT:
            self._refuse(event, TOO_DEEP, FLATTER, path=True)
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent, Items):
            parent.items.append(node)
        elif key:
            name, line = key.pop()
            parent.fields[name] = (line, node)
        elif not isinstance(node, Scalar):
            self._refuse_key(event)
        elif node.text in parent.fields:
            self._refuse(event, "is given twice", "leave one out", path=True, key=node.text)
        else:
            key.append((node.text, node.line))
        return None

    def _expects_key(self) -> bool:
        return bool(self._frames) and isinstance(self._frames[-1][0], Fields) and not self._frames[-1][1]

    def _refuse_key(self, event: yaml.Event) -> NoReturn:
        self._refuse(event, "is a key, but not text", "write names of fields as keys", path=True)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            if event.tag.startswith("!="):
                self._refuse(event, *UNQUOTED, path=True)
            message = f"{event.tag[:60]} is a tag, and tags are not supported here"
            text = event.tag.startswith("!") and not event.tag.startswith("!!")
            remedy = f'quote it if it is meant as text: "{event.tag[:60]}"' if text else "leave it out"
            self._refuse(event, message, remedy, path=True)

    def _refuse(
        self, event: yaml.Event, message: str, remedy: str, path: bool = False, key: str = ""
    ) -> NoReturn:
        raise Fault(message, remedy, *_place(event), self._path(key) if path else "")

    def _path(self, key: str) -> str:
        """The path of what is read now, or of its member `key`."""
        text = ""
        for parent, waiting, _ in self._frames:
            if isinstance(parent, Items):
                text += f"[{len(parent.items)}]"
            elif waiting:
                text += f".{waiting[0][0]}"
        return (f"{text}.{key}" if key else text).removeprefix(".")


def _place(event: yaml.Event) -> tuple[int, int]:
    mark: Any = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
