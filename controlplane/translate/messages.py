"""Envoy's messages under one roof, and the few shapes that every translation needs.

Upstream documentation: api/envoy/** of envoyproxy/envoy; the generated modules come from xds-protos.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any as AnyType
from urllib.parse import quote

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, extension_pb2
from envoy.config.route.v3 import route_components_pb2
from google.protobuf import any_pb2, duration_pb2, message, struct_pb2

ADS = config_source_pb2.ConfigSource(ads={}, resource_api_version=config_source_pb2.V3)


def pack(value: message.Message) -> any_pb2.Any:
    """`value` in an Any, serialised deterministically so that equal values have equal bytes."""
    return any_pb2.Any(
        type_url=f"type.googleapis.com/{value.DESCRIPTOR.full_name}",
        value=value.SerializeToString(deterministic=True),
    )


def extension(name: str, config: message.Message) -> extension_pb2.TypedExtensionConfig:
    """`config` as the configuration of the extension `name`."""
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(config))


def duration(seconds: float) -> duration_pb2.Duration:
    """`seconds` as a Duration, to the nanosecond."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))


def socket_address(address: str, port: int) -> address_pb2.Address:
    """The TCP address of an IP address and a port."""
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


@lru_cache(maxsize=1 << 16)
def safe(name: str) -> str:
    """A name from a registry as a part of a resource name: all but letters, digits and a few signs is
    percent-encoded.
    """
    return quote(name, safe="/:@._-~+ ")


def header(key: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> base_pb2.HeaderValueOption:
    """Sets the header `key` to `value`. `action` is a name of HeaderAppendAction; by default other lines are
    replaced.
    """
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=key, value=value),
        append_action=action,
    )


def everything() -> route_components_pb2.RouteMatch:
    """Matches every request that has a path."""
    return route_components_pb2.RouteMatch(prefix="/")


def field(number: int, body: bytes) -> bytes:
    """A field of a message, encoded: `number` up to 15, with a message, text or bytes in it.

    For what the generated messages do not know, and for parts that are encoded already.
    """
    size = len(body)
    prefix = bytearray([number << 3 | 2])
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + body


def struct(values: dict[str, AnyType]) -> struct_pb2.Struct:
    """`values`, of JSON's types, as a Struct. Raises ValueError for other types."""
    result = struct_pb2.Struct()
    result.update(values)
    return result
