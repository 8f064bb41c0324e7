"""Who is at the other end of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from google.protobuf import json_format

from .messages import Message, NodeMessage


class InvalidNode(Exception):
    """The node cannot be served, whatever the time: its stream ends with INVALID_ARGUMENT and this text."""


class NotReady(Exception):
    """The node cannot be served yet: its stream waits for the server's next `set_ready`."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a client says of itself in the first request of a stream.

    `metadata` is the Struct as plain values (numbers are floats). `version` is the client's build, for Envoy
    `1.40.0`, for others the user agent's version. `message` is the serialised Node, for client status
    replies. `incremental`: it speaks the delta variant.
    """

    id: str
    cluster: str = ""
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    version: str = ""
    agent: str = ""
    region: str = ""
    zone: str = ""
    message: bytes = field(default=b"", repr=False, compare=False)
    incremental: bool = True


def from_message(message: Message, incremental: bool = True) -> Node:
    """Read the Node message of a request."""
    build = message.user_agent_build_version.version
    version = f"{build.major_number}.{build.minor_number}.{build.patch}"
    return Node(
        id=message.id,
        cluster=message.cluster,
        metadata=MappingProxyType(cast("dict[str, Any]", json_format.MessageToDict(message.metadata))),
        version=version if message.HasField("user_agent_build_version") else message.user_agent_version,
        agent=message.user_agent_name,
        region=message.locality.region,
        zone=message.locality.zone,
        # The extensions list is some 40 KiB for an Envoy: nobody asks for it and a thousand streams hold it.
        message=_without_extensions(message),
        incremental=incremental,
    )


def _without_extensions(message: Message) -> bytes:
    copy = NodeMessage()
    copy.CopyFrom(message)
    copy.ClearField("extensions")
    copy.ClearField("client_features")
    return copy.SerializeToString()
