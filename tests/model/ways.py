"""Ways through documents and the models that are made of them."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]


def nodes(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything in `value` but itself: objects, lists, their items and fields."""
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, item in items:
        yield (*path, name), item
        yield from nodes(item, (*path, name))


def changed(document: Any, path: Path, value: Any) -> Any:
    """`document` with `value` at `path`."""
    result = copy.deepcopy(document)
    here = result
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return result


def without(document: Any, path: Path) -> Any:
    """`document` without the field at `path`."""
    result = copy.deepcopy(document)
    here = result
    for part in path[:-1]:
        here = here[part]
    del here[path[-1]]
    return result


def text(path: Path) -> str:
    """`path` as problems name fields."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model in a type, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    elif typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for one in typing.get_args(annotation):
            yield from models_in(one)


def given_in(model: Any) -> Iterator[tuple[str, str]]:
    """(model, field) of everything that was given to make `model`."""
    if isinstance(model, BaseModel):
        for field in model.model_fields_set:
            yield type(model).__name__, field
            yield from given_in(getattr(model, field))
    elif isinstance(model, tuple):
        for one in model:
            yield from given_in(one)
