"""`-o jsonpath=TEMPLATE` as kubectl has it: `{...}` are expressions, everything else is text.

Expressions are JSONPath (RFC 9535) without the `$` that may stand before them, texts in quotes, and `{range
EXPRESSION}...{end}`, inside of which expressions begin at each item. What is not there prints nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_PIECE = re.compile(r"""\{((?:[^{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)\}|([^{]+)|(\{)""", re.DOTALL)


class TemplateError(Exception):
    """The template is wrong; the text says why."""


class _Part(NamedTuple):
    """A `text`, or an `expression`; `inner`: the parts between `range` and `end`."""

    text: str = ""
    expression: str = ""
    inner: tuple[_Part, ...] | None = None


def render(template: str, value: Any) -> str:
    """`value` by the template. Raises TemplateError."""
    if template[:1] in (".", "$", "["):
        template = f"{{{template}}}"
    pieces = _pieces(template)
    parts = _parts(pieces, nested=False)
    return "".join(_rendered(parts, value))


def _pieces(template: str) -> Iterator[tuple[str, bool]]:
    """Texts, and what is inside of braces."""
    for found in _PIECE.finditer(template):
        if found[3]:
            raise TemplateError(f"a brace is not closed at {template[found.start() :][:40]!r}")
        yield (found[2], False) if found[2] is not None else (found[1].strip(), True)


def _parts(pieces: Iterator[tuple[str, bool]], nested: bool) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    for piece, code in pieces:
        if not code:
            parts.append(_Part(text=piece))
        elif piece == "end":
            if not nested:
                raise TemplateError("{end} without {range}")
            return tuple(parts)
        elif piece.startswith("range"):
            parts.append(_Part(expression=_query(piece.removeprefix("range")), inner=_parts(pieces, True)))
        elif piece[:1] in ('"', "'"):
            parts.append(_Part(text=_unquoted(piece)))
        else:
            parts.append(_Part(expression=_query(piece)))
    if nested:
        raise TemplateError("{range} without {end}")
    return tuple(parts)


def _query(expression: str) -> str:
    text = expression.strip()
    if text[:1] in ("$", "@"):
        text = text[1:]
    return f"${text}" if text[:1] in ("", ".", "[") else f"$.{text}"


def _unquoted(piece: str) -> str:
    text = piece[1:-1] if len(piece) > 1 and piece[-1] == piece[0] else piece
    escaped = text.replace("\\'", "'") if piece[0] == "'" else text.replace('\\"', '"')
    try:
        return json.loads('"' + escaped.replace('"', '\\"') + '"', strict=False)
    except ValueError:
        raise TemplateError(f"{piece} is not a text") from None


def _rendered(parts: tuple[_Part, ...], value: Any) -> Iterator[str]:
    for part in parts:
        if not part.expression:
            yield part.text
            continue
        found = _found(part.expression, value)
        if part.inner is None:
            yield " ".join(map(_text, found))
        else:
            for item in found:
                yield from _rendered(part.inner, item)


def _found(expression: str, value: Any) -> list[Any]:
    from jsonpath import JSONPathError, findall

    try:
        return findall(expression, value)
    except JSONPathError as error:
        reason = str(error).partition("\n")[0]
        raise TemplateError(f"{expression.removeprefix('$')!r}: {reason}") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
