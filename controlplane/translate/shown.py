"""Resources as people read them: the JSON of Envoy's config_dump."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, json_format


class Unreadable(Exception):
    """A resource, or a part of it, is of a type that is not known here; the text says which."""


def fields_of(type_url: str, body: bytes) -> dict[str, Any]:
    """An encoded resource as JSON's values, its fields named as in `.proto` files. Raises Unreadable."""
    try:
        found: dict[str, Any] = json_format.MessageToDict(
            any_pb2.Any(type_url=type_url, value=body), preserving_proto_field_name=True
        )
    except (TypeError, ValueError, json_format.Error) as error:
        raise Unreadable(f"It cannot be shown as JSON: {error}") from None
    return found
