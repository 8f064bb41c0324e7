"""Users' patches on the resources of a gateway: JSON patches on the protobuf JSON of a message.

A patch is applied to every resource that it names, or, where that fails for one of them, to none. What
results is encoded as everything else is, so that equal patches give equal versions.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jsonpatch
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from controlplane.model.patches import EnvoyPatch

MESSAGE = 300
"""Characters of a reason that are shown."""
TYPE = re.compile(r"type\.googleapis\.com/((?:envoy|xds|udpa|google)(?:\.[a-z0-9_]+)+)\.[A-Z][A-Za-z0-9]*")
_WRONG = (
    jsonpatch.JsonPatchException,
    jsonpatch.JsonPointerException,
    json_format.Error,
    TypeError,
    ValueError,
    LookupError,
)

M = TypeVar("M", bound=Message)
Lost = dict[tuple[str, bytes], bytes]
"""By type and encoding of what JSON holds: the whole encoding."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A patch, by its place in the list, that cannot be applied. `operation`: which one fails, if known."""

    patch: int
    reason: str
    operation: int | None = None


class _Failed(Exception):
    def __init__(self, reason: str, operation: int | None = None) -> None:
        self.reason = reason
        self.operation = operation


def patched(
    kind: str, resources: Sequence[M], patches: Sequence[EnvoyPatch]
) -> tuple[list[M], list[Failure]]:
    """`resources`, which have names, with those of `patches` that are about their kind and can be applied."""
    found = list(resources)
    failures: list[Failure] = []
    for index, patch in enumerate(patches):
        if patch.resource != kind:
            continue
        at = [place for place, one in enumerate(found) if patch.name in (None, _name(one))]
        try:
            if not at:
                raise _Failed(_unknown(kind, patch.name, map(_name, found)))
            changed = [_applied(found[place], patch) for place in at]
        except _Failed as error:
            failures.append(Failure(index, error.reason, error.operation))
        else:
            for place, one in zip(at, changed, strict=True):
                found[place] = one
    return found, failures


def _name(resource: Message) -> str:
    return getattr(resource, "name", "")


def _unknown(kind: str, name: str | None, known: Iterable[str]) -> str:
    listed = ", ".join(sorted(known)[:10])
    words = kind.replace("_", " ")
    wanted = f"no {words} {name}" if name is not None else f"no {words}"
    return f"the gateway has {wanted}; it has {listed or 'none'}"


def _applied(resource: M, patch: EnvoyPatch) -> M:
    lost: Lost = {}
    _note_lost(resource, lost)
    value: Any = json_format.MessageToDict(resource, preserving_proto_field_name=True)
    for number, operation in enumerate(patch.operations):
        for package in set(_packages(operation.value)):
            _load(package)
        try:
            one = operation.model_dump(mode="json")
            value = jsonpatch.JsonPatch([one]).apply(value)
        except _WRONG as error:
            raise _Failed(f"{operation.op} {operation.path}: {_short(error)}", number) from None
    result = type(resource)()
    try:
        json_format.ParseDict(value, result)
    except _WRONG as error:
        name = type(resource).DESCRIPTOR.full_name
        raise _Failed(f"what results is no {name}: {_short(error)}") from None
    if _name(result) != _name(resource):
        raise _Failed(f"it changes the name {_name(resource)}, by which proxies know the resource")
    _settle(result, lost)
    return result


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]}…"


def _packages(value: Any) -> Iterator[str]:
    """The packages of all types that a value names."""
    if isinstance(value, dict):
        for key, part in value.items():  # type: ignore[reportUnknownVariableType]
            if key == "@type" and isinstance(part, str) and (found := TYPE.fullmatch(part)):
                yield found[1]
            yield from _packages(part)
    elif isinstance(value, list | tuple):
        for part in value:  # type: ignore[reportUnknownVariableType]
            yield from _packages(part)


def _load(package: str) -> None:
    """Import the generated modules of a package of Envoy's API, so that its messages are known."""
    try:
        module = importlib.import_module(package)
    except ImportError:
        return
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if found.name.endswith("_pb2"):
            importlib.import_module(f"{package}.{found.name}")


def _inner(packed: any_pb2.Any) -> Message:
    """What `packed` holds. Raises KeyError for a type that is not known."""
    pool = descriptor_pool.Default()
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(packed.type_url.rpartition("/")[2]))
    return kind.FromString(packed.value)


def _parts(message: Message) -> Iterator[Message]:
    """The messages in `message`, one level down."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                yield from value.values()
        elif isinstance(value, Message):
            yield value
        else:
            yield from value


def _note_lost(message: Message, lost: Lost) -> None:
    """Note every Any with fields that are newer than the generated messages: JSON cannot hold them."""
    if isinstance(message, any_pb2.Any):
        inner = _inner(message)
        _note_lost(inner, lost)
        inner.DiscardUnknownFields()
        known = inner.SerializeToString(deterministic=True)
        if len(known) != len(message.value):
            lost[message.type_url, known] = message.value
        return
    for part in _parts(message):
        _note_lost(part, lost)


def _settle(message: Message, lost: Lost) -> None:
    """Encode every Any in `message` anew: in a fixed order, and with what was lost of it."""
    if isinstance(message, any_pb2.Any):
        inner = _inner(message)
        _settle(inner, lost)
        known = inner.SerializeToString(deterministic=True)
        message.value = lost.get((message.type_url, known), known)
        return
    for part in _parts(message):
        _settle(part, lost)
