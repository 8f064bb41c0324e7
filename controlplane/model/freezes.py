"""A freeze: while it holds, releases take no step forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse
from controlplane.model.time_fields import Instant, seconds_of


class _FreezeHead(Document):
    kind: Literal["Freeze"] = "Freeze"
    name: fields.Name


if TYPE_CHECKING:
    _WithFrom = _FreezeHead
else:  # `from` is a word of Python, so that a class statement cannot have a field of this name.
    _WithFrom = create_model("_WithFrom", __base__=_FreezeHead, **{"from": (Instant | None, None)})


class Freeze(_WithFrom):
    """From `from` to `until`, else as long as the document exists, no release takes a step forward.

    groups: only the releases of these lane groups. An abort is never held up.
    """

    until: Instant | None = None
    groups: Annotated[tuple[fields.Name, ...], Field(min_length=1, max_length=1000)] | None = None
    reason: Annotated[str, AfterValidator(fields.printable), Field(min_length=1, max_length=500)] | None = (
        None
    )

    @model_validator(mode="after")
    def _in_order(self) -> Freeze:
        if (
            self.begin is not None
            and self.until is not None
            and seconds_of(self.until) <= seconds_of(self.begin)
        ):
            refuse(f"is not after from, {self.begin}", "give a later time", "until")
        return self

    @property
    def begin(self) -> str | None:
        """The field `from`."""
        return getattr(self, "from")

    def holds(self, group: str, at: float) -> bool:
        """Whether releases of `group` wait `at` seconds since the epoch."""
        begun = self.begin is None or at >= seconds_of(self.begin)
        over = self.until is not None and at >= seconds_of(self.until)
        return begun and not over and (self.groups is None or group in self.groups)
