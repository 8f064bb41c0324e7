"""Turns pydantic's errors into this project's messages: the field, what is wrong, what to do."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from controlplane.model.plain import is_list, is_object
from controlplane.model.problems import Problem

PROBLEM_LIMIT = 100

# Message and remedy by pydantic's type of error; {} are filled from its context.
SAID: dict[str, tuple[str, str]] = {
    "string_type": ("must be a string", "write a string"),
    "int_type": ("must be a whole number", "write a whole number, not quoted"),
    "int_from_float": ("must be a whole number", "leave the decimals out"),
    "int_parsing_size": ("is too large a number", "give a smaller number"),
    "float_type": ("must be a number", "write a number, not quoted"),
    "finite_number": ("must be a finite number", "write a number"),
    "int_parsing": ("must be a whole number", "write digits only"),
    "bool_parsing": ("must be true or false", "write true or false"),
    "bool_type": ("must be true or false", "write true or false, not quoted"),
    "tuple_type": ("must be a list", "write a list: [...]"),
    "dict_type": ("must be an object", "write names and their values: {{name: value}}"),
    "too_long": ("has {actual_length} items, more than {max_length}", "give at most {max_length}"),
    "string_too_short": ("must not be empty", "write some text"),
    "string_too_long": ("is longer than {max_length} characters", "shorten it"),
    "greater_than_equal": ("is less than {ge:.10g}", "give at least {ge:.10g}"),
    "greater_than": ("must be more than {gt:.10g}", "give more than {gt:.10g}"),
    "less_than": ("must be less than {lt:.10g}", "give less than {lt:.10g}"),
    "float_parsing": ("must be a number", "write a number"),
    "path_type": ("must be a path", "write the path of a file"),
    "string_pattern_mismatch": ("is not of the form that is asked for", "write it as {pattern}"),
    "less_than_equal": ("is more than {le:.10g}", "give at most {le:.10g}"),
}


def told(error: ValidationError, model: type[BaseModel], fields: Any) -> list[Problem]:
    """The mistakes that `error` holds about `fields`, an object that was to become a `model`.

    At most PROBLEM_LIMIT of them, one for each field.
    """
    problems: dict[str, Problem] = {}
    for item in error.errors(include_url=False):
        context: dict[str, Any] = item.get("ctx", {})
        kind, value = item["type"], item.get("input")
        path = _path(item["loc"], fields, kind)
        for inner in context.get("field", ()):
            path.append(inner)
            value = _step(value, inner)[1]
        # pydantic also calls a list too short if its items are wrong; the items have messages of their own.
        if kind == "too_short" and len(value or ()) >= context["min_length"]:
            continue
        field = _text(path)
        if field in problems:
            continue
        message, remedy = _said(kind, context, value, path, model)
        problems[field] = Problem(field, message, None if kind == "missing" else value, remedy)
        if len(problems) == PROBLEM_LIMIT:
            break
    return list(problems.values())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The member of `known` that `name` probably stands for."""
    names = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name[:100].lower(), names, n=1, cutoff=0.5)
    return names[found[0]] if found else None


def meant(name: str, known: Sequence[str], otherwise: str) -> str:
    """The remedy for `name`, which is not in `known`: the nearest one, else all of them after `otherwise`."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"{otherwise} {', '.join(known)}"


def said(kind: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Message and remedy of a pydantic error, from its type and context alone."""
    if kind == "laneway":
        return context["text"], context["remedy"]
    message, remedy = SAID.get(kind, ("is not valid", "see docs/reference"))
    return message.format(**context), remedy.format(**context)


def _said(
    kind: str, context: Mapping[str, Any], value: Any, path: list[int | str], model: type[BaseModel]
) -> tuple[str, str]:
    if kind == "extra_forbidden":
        return "is not a known field", meant(str(path[-1]), _fields_at(model, path[:-1]), "known fields:")
    if kind == "missing":
        return "is missing", f"add {_text(path)}"
    if kind in ("model_type", "model_attributes_type"):
        return "must be an object", f"write an object of {', '.join(_fields_at(model, path))}"
    if kind == "literal_error":
        choices = context["expected"].replace("True", "true").replace("'", "")
        known = choices.replace(" or ", ", ").split(", ")
        return f"must be {choices}", meant(str(value), known, "give one of")
    if kind == "too_short":
        least = context["min_length"]
        return ("must not be empty" if least == 1 else f"must have {least} items"), f"give at least {least}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "must be a string", f'quote it: "{str(value)[:100]}"'
    return said(kind, context)


def _step(here: Any, part: int | str) -> tuple[bool, Any]:
    """Whether `here` has `part`, and its value."""
    if is_object(here) and isinstance(part, str):
        return part in here, here.get(part)
    if is_list(here) and isinstance(part, int) and 0 <= part < len(here):
        return True, here[part]
    return False, None


def _path(location: Iterable[int | str], fields: Any, kind: str) -> list[int | str]:
    """`location` without the parts that pydantic adds for unions and keys."""
    path: list[int | str] = []
    here: Any = fields
    for part in location:
        inside, following = _step(here, part)
        if inside or (kind == "missing" and part != "[key]"):
            path.append(part)
            here = following
    return path


def _text(path: Iterable[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:100]}" if text else part[:100]
    return text


def _fields_at(model: type[BaseModel], path: Iterable[int | str]) -> list[str]:
    """The fields at `path` in a `model`; empty if that is not a model."""
    here: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if here is None or part not in here.model_fields:
            return []
        here = _model_in(here.model_fields[part].annotation)
    if here is None:
        return []
    names = list(here.model_fields)
    return [*names, "status"] if here is model and "kind" in names else names


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return None
    return next((found for one in typing.get_args(annotation) if (found := _model_in(one))), None)
