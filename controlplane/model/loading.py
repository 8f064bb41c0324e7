"""Parses JSON and YAML of untrusted clients into plain values, within bounds of size, depth and number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from controlplane import strict_yaml
from controlplane.model.plain import is_list, is_object
from controlplane.model.problems import DefinitionError, Problem
from controlplane.strict_yaml import DEPTH_LIMIT, FLATTER, TOO_DEEP, AnyNode, Fields, Items

SIZE_LIMIT = 4 << 20
NODE_LIMIT = 500_000
WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")


def _syntax(message: str, remedy: str, field: str = "", value: Any = None) -> NoReturn:
    title = " ".join(part for part in ("The body cannot be read:", field, message) if part)
    raise DefinitionError(400, title, [Problem(field, message, value, remedy)])


def decoded(data: bytes) -> str:
    """`data` as text. Raises DefinitionError 413 if it is too large, 400 if it is not UTF-8."""
    if len(data) > SIZE_LIMIT:
        message = f"is larger than {SIZE_LIMIT >> 20} MiB"
        raise DefinitionError(413, f"The body {message}", [Problem("", message, None, "send it in parts")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _syntax(f"is not UTF-8: byte {error.start} is {data[error.start]:#x}", "save it as UTF-8")


def load_json(data: bytes) -> Any:
    """The value of a JSON text. Raises DefinitionError (400, 413)."""
    text = decoded(data)
    try:
        value = json.loads(
            text, object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        _syntax(f"{error.msg} in line {error.lineno}, column {error.colno}", "check it with a JSON formatter")
    except RecursionError:
        _syntax(TOO_DEEP, FLATTER)
    check_tree(value)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _syntax("is given twice in one object", "leave one out", key[:100], value)
        found[key] = value
    return found


def _integer(text: str) -> int:
    if len(text) > 19:
        _syntax("is too large a number", "quote it if it is meant as text", value=text)
    return int(text)


def _float(text: str) -> float:
    value = float(text) if len(text) <= 400 else float("inf")
    if value in (float("inf"), float("-inf")):
        _syntax("is too large a number", "quote it if it is meant as text", value=text)
    return value


def _constant(text: str) -> NoReturn:
    _syntax(f"{text} is not a JSON number", "give a number")


def load_yaml(data: bytes) -> list[Any]:
    """The documents of a YAML stream, empty ones left out. Raises DefinitionError (400, 413).

    Everything but true, false, null and plain numbers is text: so are `on`, `no`, dates and 1e3.
    """
    text = decoded(data)
    try:
        documents = [_value(node) for node in strict_yaml.nodes(text, NODE_LIMIT, aliases=False)]
    except strict_yaml.Fault as fault:
        where = f" (line {fault.line}, column {fault.column})"
        _syntax(fault.message + where, fault.remedy, fault.field[:200])
    for document in documents:
        check_tree(document)
    return documents


def flattened(values: Iterable[Any]) -> list[Any]:
    """`values` with lists in the place of their members, and so the answers of lists, `{items: [...]}`: what
    `laneway get -o yaml` prints can be applied.
    """
    found: list[Any] = []
    for value in values:
        if is_object(value) and "kind" not in value and is_list(value.get("items")):
            found += value["items"]
        elif is_list(value):
            found += value
        else:
            found.append(value)
    return found


def _value(node: AnyNode) -> Any:
    if isinstance(node, Items):
        return [_value(one) for one in node.items]
    if isinstance(node, Fields):
        return {name: _value(one) for name, (_, one) in node.fields.items()}
    text = node.text
    if not node.plain:
        return text
    lowered = text.lower()
    if lowered in WORDS and (lowered == text or text.istitle() or text.isupper()):
        return WORDS[lowered]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text


def check_tree(value: Any) -> None:
    """Refuse values that are nested too deeply or that UTF-8 cannot encode. Raises DefinitionError 400."""
    level: Iterable[Any] = [value]
    for _ in range(DEPTH_LIMIT + 1):
        following: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                following += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                following += one
            elif isinstance(one, str):
                try:
                    one.encode()
                except UnicodeEncodeError:
                    _syntax(
                        "holds half of a surrogate pair, which is not a character",
                        "check the escapes",
                        value=one,
                    )
        if not following:
            return
        level = following
    _syntax(TOO_DEEP, FLATTER)
