"""The node at the other end of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError

from .identity import Identity
from .messages import Message, NodeMessage

_MOST_KEPT = 16 << 10  # bytes of a node, for client status
_MOST_VALUES = 5_000  # in one key of the metadata
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class InvalidNode(Exception):
    """The node can never be served: its stream ends with INVALID_ARGUMENT and this text."""


class DeniedNode(Exception):
    """The client may not speak for the node: its stream ends with PERMISSION_DENIED and this text."""


class NotReady(Exception):
    """The node cannot be served yet: its stream waits for the server's next `set_ready`."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a client says about itself in the first request of a stream.

    `metadata` is the Struct as plain values (numbers are floats) while its view is made, and later empty.
    `version` is the client's build, for Envoy `1.40.0`, for others the user agent's version. `message` is the
    serialised Node, for client status replies. `incremental`: it speaks the delta variant.
    """

    id: str
    cluster: str = ""
    metadata: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)
    version: str = ""
    agent: str = ""
    region: str = ""
    zone: str = ""
    message: bytes = field(default=b"", repr=False, compare=False)
    incremental: bool = True
    identity: Identity | None = None
    """Who the client's certificate says that it is; None where no certificate is asked for."""
    addresses: tuple[str, ...] = ()
    """The only addresses that the certificate allows; empty: any."""


NOBODY = Node("")
"""The node of a stream that has not sent its first request."""


def read(raw: bytes, incremental: bool = True) -> Node:
    """Read an encoded Node message. Raises InvalidNode for bytes that are not one."""
    try:
        message = NodeMessage.FromString(raw)
    except DecodeError as error:
        raise InvalidNode(f"the node is not a Node message: {error}") from None
    build = message.user_agent_build_version.version
    version = f"{build.major_number}.{build.minor_number}.{build.patch}"
    return Node(
        id=message.id,
        cluster=message.cluster,
        metadata=_Metadata(message.metadata),
        version=version if message.HasField("user_agent_build_version") else message.user_agent_version,
        agent=message.user_agent_name,
        region=message.locality.region,
        zone=message.locality.zone,
        message=_reduced(message),
        incremental=incremental,
    )


def known(node: Node) -> Node:
    """The node without its metadata: who serves it has read them, and a thousand streams would hold them."""
    return Node(  # a tenth of what dataclasses.replace takes
        node.id,
        node.cluster,
        _NOTHING,
        node.version,
        node.agent,
        node.region,
        node.zone,
        node.message,
        node.incremental,
        node.identity,
        node.addresses,
    )


class _Metadata(Mapping[str, Any]):
    """A google.protobuf.Struct, converted as json_format does, except for numbers that JSON lacks (NaN,
    infinity).

    A key is converted when it is read, so unread keys cost nothing. Raises InvalidNode for a key with too
    many values.
    """

    def __init__(self, struct: Message) -> None:
        self._fields = struct.fields

    def __getitem__(self, key: str) -> Any:
        if key not in self._fields:
            raise KeyError(key)
        return _plain(self._fields[key], key, iter(range(_MOST_VALUES)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def _plain(value: Message, key: str, left: Iterator[int]) -> Any:
    if next(left, None) is None:
        raise InvalidNode(f"node.metadata.{key[:100]} has more than {_MOST_VALUES} values")
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _plain(one, key, left) for name, one in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(one, key, left) for one in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _reduced(message: Message) -> bytes:
    """What is kept of the message: without the list of extensions, which is most of an Envoy's and which
    nobody asks for, and without metadata that are larger than what is worth showing.
    """
    copy = NodeMessage()
    copy.CopyFrom(message)
    copy.ClearField("extensions")
    copy.ClearField("client_features")
    if copy.ByteSize() > _MOST_KEPT:
        copy.ClearField("metadata")
    if copy.ByteSize() > _MOST_KEPT:
        copy = NodeMessage(id=message.id)
    return copy.SerializeToString()
