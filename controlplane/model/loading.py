"""Text to plain values: JSON and YAML from anyone, within bounds of size, depth and number.

YAML is read from the parser's events, not with a constructor: so aliases, tags and duplicate keys are refused
before anything is built of them, and only true, false, null and plain numbers are anything else than text
(`on`, `no`, dates and 1e3 are text).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

import yaml

from controlplane.model.plain import is_list
from controlplane.model.problems import DefinitionError, Problem

SIZE_LIMIT = 4 << 20
DEPTH_LIMIT = 32
NODE_LIMIT = 500_000
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
TOO_DEEP = f"is nested deeper than {DEPTH_LIMIT} levels"
FLATTER = "no document needs that; check the brackets and the indentation"
FLOAT = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")


def _syntax(message: str, remedy: str, field: str = "", value: Any = None) -> NoReturn:
    title = " ".join(part for part in ("The body cannot be read:", field, message) if part)
    raise DefinitionError(400, title, [Problem(field, message, value, remedy)])


def decoded(data: bytes) -> str:
    """`data` as text. Raises DefinitionError 413 where it is too large, 400 where it is not UTF-8."""
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
    """The documents of a YAML stream, empty ones left out. Raises DefinitionError (400, 413)."""
    text = decoded(data)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "is not YAML"
        _syntax(f"{reason}{where}", "check the indentation, and quote texts with special characters")
    for document in builder.documents:
        check_tree(document)
    return builder.documents


class _Builder:
    """Builds values from events. A frame is a list, or a dict with the key that waits for its value."""

    def __init__(self) -> None:
        self.documents: list[Any] = []
        self._frames: list[tuple[Any, list[str]]] = []
        self._nodes = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            self._add(self._scalar(event), event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._refuse_tag(event)
            if len(self._frames) >= DEPTH_LIMIT:
                self._refuse(event, TOO_DEEP, FLATTER)
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._add(value, event)
            self._frames.append((value, []))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._frames.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(
                event, f"*{event.anchor} is an alias, which is not taken here", "write the value out"
            )

    def _refuse(self, event: yaml.Event, message: str, remedy: str, key: str = "") -> NoReturn:
        mark = event.start_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        _syntax(message + where, remedy, self._field(key)[:200])

    def _field(self, key: str) -> str:
        """The path of what is read now, or of its member `key`."""
        text = ""
        for depth, (parent, waiting) in enumerate(self._frames, 1):
            inside = depth < len(self._frames)  # then what is under way is already in its parent
            if is_list(parent):
                text += f"[{len(parent) - inside}]"
            elif waiting or inside:
                text += f".{waiting[0] if waiting else next(reversed(parent))}"
        return (f"{text}.{key}" if key else text).removeprefix(".")

    def _refuse_tag(self, event: Any) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._refuse(event, f"{event.tag[:60]} is a tag, which is not taken here", "leave it out")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if not event.implicit[0] or event.style:
            return text
        if (
            len(text) <= 5
            and text.lower() in WORDS
            and (text.lower() == text or text.istitle() or text.isupper())
        ):
            return WORDS[text.lower()]
        if INTEGER.fullmatch(text):
            return int(text)
        return float(text) if FLOAT.fullmatch(text) else text

    def _add(self, value: Any, event: yaml.Event) -> None:
        self._nodes += 1
        if self._nodes > NODE_LIMIT:
            self._refuse(event, f"has more than {NODE_LIMIT} values", "send it in parts")
        if not self._frames:
            # An empty document (a `---` at the end) says nothing; one that says null is a mistake.
            if value is not None or event.value:  # type: ignore[attr-defined]
                self.documents.append(value)
            return
        parent, key = self._frames[-1]
        if is_list(parent):
            parent.append(value)
        elif key:
            parent[key.pop()] = value
        else:
            name = event.value if isinstance(event, yaml.ScalarEvent) else None
            if name is None:
                self._refuse(event, "is a key that is no text", "write names of fields as keys")
            if name in parent:
                self._refuse(event, "is given twice", "leave one out", name)
            key.append(name)


def check_tree(value: Any) -> None:
    """Refuse what is nested too deeply or holds what UTF-8 cannot. Raises DefinitionError 400."""
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
                        "holds half a surrogate pair, which is no character", "check the escapes", value=one
                    )
        if not following:
            return
        level = following
    _syntax(TOO_DEEP, FLATTER)
