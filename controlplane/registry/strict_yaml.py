"""Reading YAML for people: every complaint names the file's line and the field.

Values are read from the node tree, so duplicate keys are seen and a value is text exactly as it was written
(`version: 1.10` stays `1.10`). Aliases count each time they are used, against a limit, so a small file cannot
grow without bounds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_NODES = 2_000_000
MAX_DEPTH = 32


class FieldError(ValueError):
    """What is wrong, in which field, in which line (1 is the first)."""

    def __init__(self, field: str, line: int, message: str) -> None:
        super().__init__(f"line {line}: {field}: {message}" if field else f"line {line}: {message}")
        self.field = field
        self.line = line
        self.message = message


class Value:
    """A node of a document with the path of its field: `services[0].instances[2].port`."""

    def __init__(self, node: yaml.Node, path: str = "") -> None:
        self._node = node
        self.path = path

    @property
    def line(self) -> int:
        return self._node.start_mark.line + 1

    def error(self, message: str) -> FieldError:
        return FieldError(self.path, self.line, message)

    def mapping(self, known: Sequence[str] | None = None, required: Sequence[str] = ()) -> dict[str, Value]:
        """The fields of a mapping. Raises FieldError for another kind of value, double, unknown or missing
        ones.
        """
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error("must be a mapping")
        fields: dict[str, Value] = {}
        for key, value in self._node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Value(key, self.path).error("a key must be text")
            name = key.value
            here = Value(value, f"{self.path}.{name}" if self.path else name)
            if name in fields:
                raise FieldError(here.path, key.start_mark.line + 1, "is given twice")
            if known is not None and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
                raise FieldError(here.path, key.start_mark.line + 1, "is unknown" + hint)
            fields[name] = here
        for name in required:
            if name not in fields:
                raise self.error(f"{name} is missing")
        return fields

    def items(self) -> list[Value]:
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.error("must be a list")
        return [Value(node, f"{self.path}[{n}]") for n, node in enumerate(self._node.value)]

    def text(self) -> str:
        """A scalar as it was written; nothing and `null` are the empty text."""
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error("must be text")
        return "" if self._node.tag == "tag:yaml.org,2002:null" else self._node.value

    def name(self) -> str:
        text = self.text()
        if not text:
            raise self.error("must not be empty")
        return text

    def integer(self) -> int:
        text = self.text()
        if (
            self._node.tag != "tag:yaml.org,2002:int"
            or not text.removeprefix("-").isdecimal()
            or len(text) > 12
        ):
            raise self.error(f"must be a whole number, not {text[:40]!r}")
        return int(text)

    def number(self) -> float:
        text = self.text()
        try:
            if self._node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
                return float(text)
        except ValueError:
            pass
        raise self.error(f"must be a number, not {text[:40]!r}")

    def choice(self, allowed: Sequence[str]) -> str:
        text = self.text()
        if text not in allowed:
            raise self.error(f"must be {' or '.join(a for a in allowed if a)}, not {text[:40]!r}")
        return text


def documents(text: str) -> Iterator[Value]:
    """The documents of a YAML (or JSON) text. Raises FieldError where it cannot be read."""
    try:
        nodes = [node for node in yaml.compose_all(text, _Loader) if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise FieldError("", line, f"is no YAML: {error.problem or error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise FieldError("", 1, f"is no YAML: {error}") from None
    for node in nodes:
        _bounded(node)
        yield Value(node)


def _bounded(root: yaml.Node) -> None:
    """Raises FieldError where a document is too large or too deep once aliases are followed."""
    waiting = [(root, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_NODES:
            raise FieldError(
                "", node.start_mark.line + 1, "the document is too deep or, with its aliases, too large"
            )
        if isinstance(node, yaml.SequenceNode):
            waiting += [(child, depth + 1) for child in node.value]
        elif isinstance(node, yaml.MappingNode):
            waiting += [(child, depth + 1) for pair in node.value for child in pair]
