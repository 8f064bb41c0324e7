"""What differs between two states of a document, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from controlplane.model.plain import is_list, is_object


class FieldChange(NamedTuple):
    """One field that differs. `before` and `after` are JSON values, None where the field is absent."""

    field: str
    before: Any
    after: Any


def differences(before: Any, after: Any, field: str = "") -> Iterator[FieldChange]:
    """The fields in which two JSON values differ, in the order of `after`, then those that are gone.

    Lists of the same length are compared item by item, others as a whole.
    """
    if before == after:
        return
    if is_object(before) and is_object(after):
        for name in (*after, *(one for one in before if one not in after)):
            inner = f"{field}.{name}" if field else name
            yield from differences(before.get(name), after.get(name), inner)
    elif is_list(before) and is_list(after) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{field}[{index}]")
    else:
        yield FieldChange(field, before, after)
