"""Values of a file of services, read strictly: every complaint names the file's line and the field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from controlplane import strict_yaml
from controlplane.strict_yaml import AnyNode, Fields, Items, Scalar

NODE_LIMIT = 2_000_000
_NULL = ("", "~", "null", "Null", "NULL")
_INTEGER = re.compile(r"-?[0-9]{1,11}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


class FieldError(ValueError):
    """What is wrong, in which field, in which line (1 is the first)."""

    def __init__(self, field: str, line: int, message: str) -> None:
        super().__init__(f"line {line}: {field}: {message}" if field else f"line {line}: {message}")
        self.field = field
        self.line = line
        self.message = message


class Value:
    """A node of a document with the path of its field: `services[0].instances[2].port`."""

    def __init__(self, node: AnyNode, path: str = "") -> None:
        self._node = node
        self.path = path

    def error(self, message: str) -> FieldError:
        return FieldError(self.path, self._node.line, message)

    def mapping(self, known: Sequence[str] | None = None, required: Sequence[str] = ()) -> dict[str, Value]:
        """The fields of a mapping. Raises FieldError for another kind of value, unknown or missing fields."""
        if not isinstance(self._node, Fields):
            raise self.error("must be a mapping")
        fields: dict[str, Value] = {}
        for name, (line, value) in self._node.fields.items():
            here = Value(value, f"{self.path}.{name}" if self.path else name)
            if known is not None and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
                raise FieldError(here.path, line, "is unknown" + hint)
            fields[name] = here
        for name in required:
            if name not in fields:
                raise self.error(f"{name} is missing")
        return fields

    def items(self) -> list[Value]:
        if not isinstance(self._node, Items):
            raise self.error("must be a list")
        return [Value(node, f"{self.path}[{n}]") for n, node in enumerate(self._node.items)]

    def _scalar(self) -> Scalar:
        if not isinstance(self._node, Scalar):
            raise self.error("must be text")
        return self._node

    def text(self) -> str:
        """A scalar as it was written; nothing and `null` are the empty text."""
        node = self._scalar()
        return "" if node.plain and node.text in _NULL else node.text

    def name(self) -> str:
        text = self.text()
        if not text:
            raise self.error("must not be empty")
        return text

    def integer(self) -> int:
        node = self._scalar()
        if not node.plain or _INTEGER.fullmatch(node.text) is None:
            raise self.error(f"must be a whole number, not {node.text[:40]!r}")
        return int(node.text)

    def number(self) -> float:
        node = self._scalar()
        if not node.plain or _NUMBER.fullmatch(node.text) is None:
            raise self.error(f"must be a number, not {node.text[:40]!r}")
        return float(node.text)

    def choice(self, allowed: Sequence[str]) -> str:
        text = self.text()
        if text not in allowed:
            raise self.error(f"must be {' or '.join(a for a in allowed if a)}, not {text[:40]!r}")
        return text


def documents(text: str) -> Iterator[Value]:
    """The documents of a YAML (or JSON) text. Raises FieldError where it cannot be read."""
    try:
        for node in strict_yaml.nodes(text, NODE_LIMIT, aliases=True):
            yield Value(node)
    except strict_yaml.Fault as fault:
        raise FieldError(fault.field, fault.line, fault.message) from None
