"""What is sent, as an independent library reads it: envoy-data-plane (betterproto2).

It shares no code with xds-protos, which encodes. Its JSON differs from protobuf's in two ways only, which are
evened out here: it writes `5_xx` where Envoy's field is `5xx`, and a wrapped 64-bit number as a number.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from functools import cache
from typing import Any

import betterproto2
import envoy_data_plane
from pydantic import PydanticDeprecatedSince212

_SNAKE = betterproto2.Casing.SNAKE


@cache
def _types() -> dict[str, type[betterproto2.Message]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticDeprecatedSince212)  # the library's, at import
        for module in pkgutil.walk_packages(envoy_data_plane.__path__, "envoy_data_plane."):
            importlib.import_module(module.name)
    pool: Any = importlib.import_module("envoy_data_plane.message_pool").default_message_pool
    return pool.url_to_type


def message(name: str) -> Any:
    """The library's class of the message, whose name is as in the proto files. Raises KeyError."""
    return _types()[f"type.googleapis.com/{name}"]


def decode(type_url: str, body: bytes) -> dict[str, Any]:
    """The message as a dictionary: names as in the proto files, what it packs unpacked. Raises KeyError for a
    type that the library does not know, ValueError for bytes that are none.
    """
    return _even(message(type_url.removeprefix("type.googleapis.com/")).parse(body).to_dict(casing=_SNAKE))


def _even(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("5_xx", "5xx"): _even(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_even(part) for part in value]
    return value
