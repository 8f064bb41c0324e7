"""What every document and every part of one has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_serializer


class Document(BaseModel):
    """Base of every model here: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: Any) -> dict[str, Any]:
        """An absent field stays absent: no field has null as a value."""
        return {name: value for name, value in handler(self).items() if value is not None}
