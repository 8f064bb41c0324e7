"""Plain values to documents: every mistake is told with its field, what is wrong and what to do."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from controlplane.model.definitions import AnyKind, GivenSlots
from controlplane.model.documents import KINDS
from controlplane.model.loading import load_json, load_yaml
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.slots import TOTAL

EXPECTED = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty",
}
PROBLEM_LIMIT = 100


class Parsed(NamedTuple):
    """A valid document, and the slots that its status gives, None where it gives none."""

    document: AnyKind
    slots: GivenSlots | None


def parse_documents(data: bytes, *, yaml: bool = True) -> list[Parsed]:
    """The documents of a body of `apply`: a YAML stream, or a JSON object or array of objects.

    Raises DefinitionError: 400 for what cannot be read, 413 for size, 422 for the mistakes of all documents.
    """
    values = load_yaml(data) if yaml else load_json(data)
    if not isinstance(values, list):
        values = [values]
    elif yaml and len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    for index, value in enumerate(values):
        try:
            parsed.append(parse_document(value))
        except DefinitionError as error:
            problems += [problem.within(_label(value, index)) for problem in error.problems]
    if problems:
        raise invalid(problems)
    return parsed


def invalid(problems: Sequence[Problem]) -> DefinitionError:
    """A DefinitionError 422 of at most PROBLEM_LIMIT problems."""
    count = f"{len(problems)} mistakes" if len(problems) > 1 else "One mistake"
    first = " ".join(part for part in (problems[0].document, problems[0].field, problems[0].message) if part)
    return DefinitionError(422, f"{count}: {first}", problems[:PROBLEM_LIMIT])


def _label(value: Any, index: int) -> str:
    kind, name = (value.get("kind"), value.get("name")) if isinstance(value, dict) else (None, None)
    if isinstance(kind, str) and kind in KINDS and isinstance(name, str) and 0 < len(name) <= 63:
        return f"{kind}/{name}"
    return f"documents[{index}]"


def parse_document(value: Any, kind: str | None = None, given: Mapping[str, str] | None = None) -> Parsed:
    """The document that `value` is.

    `kind` and the names in `given` come from a URL: they may be left out of `value`, and must agree with it.
    Raises DefinitionError 422.
    """
    if not isinstance(value, dict):
        raise invalid([Problem("", "must be an object", value, "write fields and their values")])
    fields = dict(value)
    status = fields.pop("status", None)
    problems: list[Problem] = []
    for name, text in ({"kind": kind, **(given or {})} if kind else dict(given or {})).items():
        problems += _agree(fields, name, text)
    stated = fields.get("kind")
    if "kind" not in fields:
        problems.append(Problem("kind", "is missing", None, f"give one of {', '.join(KINDS)}"))
    elif not (isinstance(stated, str) and stated in KINDS) and not problems:
        nearest = _nearest(str(stated), KINDS)
        remedy = f"did you mean {nearest}?" if nearest else f"give one of {', '.join(KINDS)}"
        problems.append(Problem("kind", "is not a known kind", stated, remedy))
    if problems:
        raise invalid(problems)
    model = KINDS[fields["kind"]]
    slots, wrong = _status(status)
    document = None
    try:
        document = model.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        problems = _translated(error, model, fields)
    problems += wrong
    if problems or document is None:
        raise invalid(problems)
    return Parsed(document, slots)


def _agree(fields: dict[str, Any], name: str, text: str) -> list[Problem]:
    stated = fields.setdefault(name, text)
    if stated == text:
        return []
    return [Problem(name, f"is not {text}, as the URL says", stated, "leave it out, or use the other URL")]


def _status(status: Any) -> tuple[GivenSlots | None, list[Problem]]:
    """The slots of a document's status. The rest of it is the control plane's and not read."""
    if status is None:
        return None, []
    if not isinstance(status, dict):
        return None, [Problem("status", "must be an object", status, "leave it out")]
    slots = status.get("slots")
    if slots is None:
        return None, []
    remedy = "leave status out, or give it as GET or export shows it"
    if not isinstance(slots, dict):
        return None, [Problem("status.slots", "must be an object", slots, remedy)]
    for route, ranges in slots.items():
        if not _valid_ranges(ranges):
            message = f"must be a list of [start, end], ascending, 0 to {TOTAL}, end exclusive"
            return None, [Problem(f"status.slots.{route[:70]}", message, ranges, remedy)]
    return {route: tuple((one[0], one[1]) for one in ranges) for route, ranges in slots.items()}, []


def _valid_ranges(ranges: Any) -> bool:
    position = 0
    for one in ranges if isinstance(ranges, list) else [None]:
        if not (isinstance(one, list) and len(one) == 2 and all(type(bound) is int for bound in one)):
            return False
        if not position <= one[0] < one[1] <= TOTAL:
            return False
        position = one[1]
    return True


def _translated(error: ValidationError, model: type[BaseModel], fields: Any) -> list[Problem]:
    problems: dict[str, Problem] = {}
    for item in error.errors(include_url=False):
        context = item.get("ctx", {})
        kind, value, remedy = item["type"], item.get("input"), ""
        path = _path(item["loc"], fields, kind)
        if inner := context.get("field"):
            path.append(inner)
            value = value.get(inner) if isinstance(value, dict) else value
        field = _text(path)
        # A list counts as too short where its items are wrong: these say so themselves.
        if field in problems or (kind == "too_short" and len(value or ()) >= context["min_length"]):
            continue
        if kind == "laneway":
            message, remedy = context["text"], context["remedy"]
        elif kind == "extra_forbidden":
            message = "is not a known field"
            known = _fields_at(model, path[:-1])
            nearest = _nearest(str(path[-1]), known)
            remedy = f"did you mean {nearest}?" if nearest else f"known fields: {', '.join(known)}"
        elif kind == "missing":
            message, value, remedy = "is missing", None, f"give {field}"
        elif kind == "literal_error":
            message = f"must be {context['expected']}"
            nearest = _nearest(
                str(value), context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            )
            remedy = f"did you mean {nearest}?" if nearest else message.replace("must be", "give one of", 1)
        else:
            message = EXPECTED.get(kind) or item["msg"].replace(" after validation", "").replace(
                "Input should", "must"
            ).replace("String should", "must").replace("Tuple should", "must")
            message = message[:1].lower() + message[1:]
            remedy = (
                message.replace("must be", "give one that is", 1) if message.startswith("must be") else ""
            )
            if kind == "string_type" and isinstance(value, bool | int | float):
                remedy = f'quote it: "{value}"'
        problems[field] = Problem(field, message, value, remedy)
    return list(problems.values())


def _path(loc: Iterable[int | str], fields: Any, kind: str) -> list[int | str]:
    """`loc` without the parts that pydantic adds for unions and keys."""
    path: list[int | str] = []
    here: Any = fields
    for part in loc:
        inside = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
        if not inside and (kind != "missing" or part == "[key]"):
            continue
        here = here[part] if inside else None
        path.append(part)
    return path


def _text(path: Iterable[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:100]}" if text else part[:100]
    return text


def _nearest(name: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def _fields_at(model: type[BaseModel], path: Iterable[int | str]) -> list[str]:
    here: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if here is None or part not in here.model_fields:
            return []
        here = _model_in(here.model_fields[part].annotation)
    return (
        [*here.model_fields, "status"] if here is model and here else list(here.model_fields) if here else []
    )


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return None
    return next((found for one in typing.get_args(annotation) if (found := _model_in(one))), None)


def validate(model: type[BaseModel], value: Any) -> BaseModel:
    """`value` as `model`, for bodies that are no documents. Raises DefinitionError 422."""
    if not isinstance(value, dict):
        raise invalid([Problem("", "must be an object", value, "write fields and their values")])
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise invalid(_translated(error, model, value)) from error
