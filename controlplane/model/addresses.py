"""Addresses that a gateway listens on, one or a list of them, and those of clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from controlplane.ip import ip_address
from controlplane.model.fields import refuse


def _address(value: str, remedy: str = "write 0.0.0.0, 127.0.0.1 or ::") -> str:
    try:
        address = ip_address(value)
    except ValueError:
        refuse("is not an IP address", remedy)
    if "%" in value:
        refuse("has a zone", "leave out what follows '%'")
    return str(address) if value.startswith("[") else value


_ADDRESS_SCHEMA: dict[str, Any] = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


def _client(value: str) -> str:
    return _address(value, "write an address such as 10.1.2.3 or fd00::1")


ClientAddress = Annotated[str, AfterValidator(_client), WithJsonSchema(_ADDRESS_SCHEMA)]
"""The IP address of somebody who sends requests."""


def _addresses(value: Any) -> Any:
    remedy = 'write one address, such as 0.0.0.0, or a list: [0.0.0.0, "::"]'
    if isinstance(value, str):
        return _address(value)
    if not isinstance(value, list | tuple) or not value:
        refuse("is neither an IP address nor a list of them", remedy)
    found: list[str] = []
    for index, one in enumerate(cast("Iterable[Any]", value)):
        if not isinstance(one, str):
            refuse("is not an IP address", remedy, index)
        try:
            found.append(_address(one))
        except PydanticCustomError as error:
            context = error.context or {}
            refuse(context["text"], context["remedy"], index)
    return tuple(found)


Addresses = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_addresses),
    WithJsonSchema({"anyOf": [_ADDRESS_SCHEMA, {"type": "array", "items": _ADDRESS_SCHEMA, "minItems": 1}]}),
]
"""One IP address, or several of them."""
