"""What a user changes in the resources of a gateway's edges, where Laneway has no field for it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse

PATCHES = 32
OPERATIONS = 64
POINTER = r"/([^~]|~[01])*"


def _pointer(value: str) -> str:
    fields.printable(value)
    if re.fullmatch(POINTER, value) is None:
        refuse("is not a JSON pointer", "begin it with '/'; in a name write ~1 for '/' and ~0 for '~'")
    return value


class Operation(Document):
    """One operation of a JSON patch (RFC 6902); `path` is a JSON pointer (RFC 6901) with Envoy's names."""

    op: Literal["add", "remove", "replace", "test"]
    path: Annotated[str, Field(max_length=1024), AfterValidator(_pointer)]
    value: Any = None

    @model_validator(mode="after")
    def _fits(self) -> Operation:
        if self.op == "remove" and self.value is not None:
            refuse("cannot be combined with remove", "leave it out", "value")
        if self.op != "remove" and self.value is None:
            refuse(f"is missing, and {self.op} needs it", "give what stands at the path then", "value")
        return self


class EnvoyPatch(Document):
    """`name`: of one resource as Envoy knows it; absent: all of the gateway's resources of this kind."""

    resource: Literal["listener", "route_configuration", "cluster"]
    name: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(fields.printable)] | None = None
    operations: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=OPERATIONS)]


EnvoyPatches = Annotated[tuple[EnvoyPatch, ...], Field(min_length=1, max_length=PATCHES)]
