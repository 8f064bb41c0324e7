"""Mistakes in a document or a change, in a form for people and programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

VALUE_LIMIT = 200


@dataclass(frozen=True)
class Problem:
    """One mistake. `field` is a path in the document (`rule.conditions[0].operator`), empty for the whole.

    `value` is the wrong value (shortened), None if there was none. `document` is `Kind/name`, or
    `documents[2]` if the name is not known; it is set if the change had several documents.
    """

    field: str
    message: str
    value: Any = None
    remedy: str = ""
    document: str = ""

    def within(self, document: str) -> Problem:
        """The same problem, reported for `document`."""
        return self if self.document else replace(self, document=document)

    def as_json(self) -> dict[str, Any]:
        """The problem as an item of `errors`; without `document` if that is not set."""
        item = {
            "field": self.field,
            "value": shortened(self.value),
            "message": self.message,
            "remedy": self.remedy,
        }
        return item | {"document": self.document} if self.document else item


def shortened(value: Any) -> Any:
    """`value` as JSON can hold it, long texts and whole structures cut to VALUE_LIMIT characters."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and len(text := repr(value)) <= 30:
        return value if value == value and value not in (float("inf"), float("-inf")) else text
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    text = text[: VALUE_LIMIT + 1].encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + "…"


class DefinitionError(Exception):
    """A document or a change that is refused; nothing was changed.

    `status` is the HTTP status: 400 syntax, 404 absent, 409 conflict, 422 invalid.
    """

    def __init__(self, status: int, title: str, problems: Iterable[Problem] = ()) -> None:
        self.status = status
        self.title = title
        self.problems = tuple(problems)
        super().__init__(title)

    def __str__(self) -> str:
        """The title, and what it does not say."""
        lines = [
            " ".join(part for part in (p.document, p.field, p.message) if part)
            for p in self.problems
            if p.message not in self.title
        ]
        return "; ".join([self.title, *lines])
