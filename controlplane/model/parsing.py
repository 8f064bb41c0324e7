"""Turns plain values into documents. Each mistake is reported with its field, its cause and a remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ValidationError

from controlplane.model.definitions import AnyKind, GivenSlots, Key
from controlplane.model.kinds import KINDS
from controlplane.model.loading import flattened, load_json, load_yaml
from controlplane.model.mistakes import PROBLEM_LIMIT, meant, told
from controlplane.model.plain import is_list, is_object
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.slots import TOTAL


class Parsed(NamedTuple):
    """A valid document, and the slots that its status gives, None where it gives none."""

    document: AnyKind
    slots: GivenSlots | None


def parse_documents(data: bytes, *, yaml: bool = True) -> list[Parsed]:
    """The documents of a body of `apply`: a YAML stream, or a JSON object or array of objects; the answer of
    a list, `{items: [...]}`, counts as its items.

    Raises DefinitionError: 400 for syntax, 413 for size, 422 with the mistakes of all documents.
    """
    values = flattened(load_yaml(data) if yaml else [load_json(data)])
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    for index, value in enumerate(values):
        try:
            parsed.append(parse_document(value))
        except DefinitionError as error:
            problems += [problem.within(_label(value, index)) for problem in error.problems]
            if len(problems) >= PROBLEM_LIMIT:
                break
    if problems:
        raise invalid(problems)
    return parsed


def parse_keys(data: bytes, *, yaml: bool = True) -> list[Key]:
    """What the documents of a body name, of which only kind, name and owner are read: of a lane the group may
    be absent, and is "" then.

    Raises DefinitionError: 400 for syntax, 413 for size, 422 where a document names nothing.
    """
    values = load_yaml(data) if yaml else load_json(data)
    if not is_list(values):
        values = [values]
    elif yaml and len(values) == 1 and is_list(values[0]):
        values = values[0]
    keys: list[Key] = []
    problems: list[Problem] = []
    for index, value in enumerate(values):
        fields = value if is_object(value) else {}
        kind = KINDS.get(kind_name) if isinstance(kind_name := fields.get("kind"), str) else None
        needed = ["name"] if kind is None or not kind.owner or kind.name == "Lane" else ["name", kind.owner]
        missing = [one for one in needed if one not in fields]
        wrong = [
            one for one in ("name", "gateway", "group") if one in fields and not isinstance(fields[one], str)
        ]
        if kind is None:
            message, remedy = "is not a known kind", f"give one of {', '.join(KINDS)}"
            problems.append(Problem("kind", message, fields.get("kind"), remedy, _label(value, index)))
        elif missing:
            remedy = f"give {' and '.join(needed)}"
            problems.append(Problem(missing[0], "is missing", None, remedy, _label(value, index)))
        elif wrong:
            message, remedy = "must be a string", "write text, in quotes if it looks like something else"
            problems.append(Problem(wrong[0], message, fields[wrong[0]], remedy, _label(value, index)))
        else:
            keys.append(Key(kind.name, fields.get(kind.owner, "") if kind.owner else "", fields["name"]))
    if problems:
        raise invalid(problems)
    return keys


def invalid(problems: Sequence[Problem]) -> DefinitionError:
    """A DefinitionError 422 of at most PROBLEM_LIMIT problems."""
    count = "One mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    count = f"{PROBLEM_LIMIT} mistakes or more" if len(problems) >= PROBLEM_LIMIT else count
    first = " ".join(part for part in (problems[0].document, problems[0].field, problems[0].message) if part)
    return DefinitionError(422, f"{count}: {first}", problems[:PROBLEM_LIMIT])


def _label(value: Any, index: int) -> str:
    kind, name = (value.get("kind"), value.get("name")) if is_object(value) else (None, None)
    if isinstance(kind, str) and kind in KINDS and isinstance(name, str) and 0 < len(name) <= 63:
        return f"{kind}/{name}"
    return f"documents[{index}]"


def parse_document(value: Any, kind: str | None = None, given: Mapping[str, str] | None = None) -> Parsed:
    """Make `value` a document.

    `kind` and the names in `given` come from a URL: they may be left out of `value`, and must agree with it.
    Raises DefinitionError 422.
    """
    if not is_object(value):
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
        problems.append(
            Problem("kind", "is not a known kind", stated, meant(str(stated), list(KINDS), "give one of"))
        )
    if problems:
        raise invalid(problems)
    model = KINDS[fields["kind"]].model
    slots, wrong = _status(status)
    document = None
    try:
        document = model.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        problems = told(error, model, fields)
    problems += wrong
    if problems or document is None:
        raise invalid(problems)
    return Parsed(cast("AnyKind", document), slots)


def _agree(fields: dict[str, Any], name: str, text: str) -> list[Problem]:
    stated = fields.setdefault(name, text)
    if stated == text:
        return []
    return [Problem(name, f"is not {text}, as the URL says", stated, "leave it out, or use the other URL")]


def _status(status: Any) -> tuple[GivenSlots | None, list[Problem]]:
    """The slots in a document's status. The control plane sets the rest of it, so it is not read."""
    if status is None:
        return None, []
    if not is_object(status):
        return None, [Problem("status", "must be an object", status, "leave it out")]
    slots = status.get("slots")
    if slots is None:
        return None, []
    remedy = "leave status out, or give it as GET or export shows it"
    if not is_object(slots):
        return None, [Problem("status.slots", "must be an object", slots, remedy)]
    for route, ranges in slots.items():
        if not _valid_ranges(ranges):
            message = f"must be a list of [start, end], ascending, 0 to {TOTAL}, end exclusive"
            return None, [Problem(f"status.slots.{route[:70]}", message, ranges, remedy)]
    return {route: tuple((one[0], one[1]) for one in ranges) for route, ranges in slots.items()}, []


def _valid_ranges(ranges: Any) -> bool:
    position = 0
    for one in ranges if is_list(ranges) else [None]:
        if not (is_list(one) and len(one) == 2 and all(type(bound) is int for bound in one)):
            return False
        if not position <= one[0] < one[1] <= TOTAL:
            return False
        position = one[1]
    return True


def validate(model: type[BaseModel], value: Any) -> BaseModel:
    """`value` as `model`, for bodies other than documents. Raises DefinitionError 422."""
    if not is_object(value):
        raise invalid([Problem("", "must be an object", value, "write fields and their values")])
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise invalid(told(error, model, value)) from error
