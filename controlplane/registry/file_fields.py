"""Values of a file of services, read strictly: every error names the line of the file and the field."""

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
    """A value that cannot be used: `message` says why, `field` is its path, `line` counts from 1."""

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
        """An error at this value; `message` continues a sentence that begins with the field."""
        return FieldError(self.path, self._node.line, message)

    def mapping(self, known: Sequence[str] | None = None, required: Sequence[str] = ()) -> dict[str, Value]:
        """The values of a mapping by field name.

        Raises FieldError if this is no mapping, has a field that is not in `known`, or lacks one of
        `required`.
        """
        if not isinstance(self._node, Fields):
            raise self.error("must be a mapping")
        fields: dict[str, Value] = {}
        for name, (line, value) in self._node.fields.items():
            here = Value(value, f"{self.path}.{name}" if self.path else name)
            if known is not None and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; the fields here are {', '.join(known)}"
                raise FieldError(here.path, line, "is not a known field" + hint)
            fields[name] = here
        for name in required:
            if name not in fields:
                raise self.error(f"{name} is missing")
        return fields

    def items(self) -> list[Value]:
        """The values of a list. Raises FieldError if this is none."""
        if not isinstance(self._node, Items):
            raise self.error("must be a list")
        return [Value(node, f"{self.path}[{n}]") for n, node in enumerate(self._node.items)]

    def _scalar(self) -> Scalar:
        if not isinstance(self._node, Scalar):
            raise self.error("must be a string")
        return self._node

    def text(self) -> str:
        """A scalar as it was written; an empty one and `null` are "". Raises FieldError for a mapping or
        list.
        """
        node = self._scalar()
        return "" if node.plain and node.text in _NULL else node.text

    def name(self) -> str:
        """A scalar that is not empty. Raises FieldError."""
        text = self.text()
        if not text:
            raise self.error("must not be empty")
        return text

    def integer(self) -> int:
        """A whole number that is written without quotes. Raises FieldError."""
        node = self._scalar()
        if not node.plain or _INTEGER.fullmatch(node.text) is None:
            raise self.error(f"must be a whole number, not {node.text[:40]!r}")
        return int(node.text)

    def number(self) -> float:
        """A decimal number that is written without quotes. Raises FieldError."""
        node = self._scalar()
        if not node.plain or _NUMBER.fullmatch(node.text) is None:
            raise self.error(f"must be a number, not {node.text[:40]!r}")
        return float(node.text)

    def choice(self, allowed: Sequence[str]) -> str:
        """A scalar that is one of `allowed`. Raises FieldError."""
        text = self.text()
        if text not in allowed:
            raise self.error(f"must be {' or '.join(a for a in allowed if a)}, not {text[:40]!r}")
        return text


def documents(text: str) -> Iterator[Value]:
    """The documents of a YAML or JSON text. Raises FieldError where the syntax is wrong."""
    try:
        for node in strict_yaml.nodes(text, NODE_LIMIT, aliases=True):
            yield Value(node)
    except strict_yaml.Fault as fault:
        raise FieldError(fault.field, fault.line, fault.message) from None
