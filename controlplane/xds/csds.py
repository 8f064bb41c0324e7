"""Client status discovery: what each connected client was sent, accepted and rejected.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/status/v3/csds.proto
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from controlplane.rpc.transport import Call, CallEnd, Handler

from . import status
from .messages import (
    ClientResourceStatus,
    ClientStatusRequest,
    ClientStatusResponse,
    ConfigStatus,
    Message,
    NodeMessage,
)
from .node import Node
from .stream import StreamState

Streams = Callable[[], Iterable[tuple[Node, StreamState[Any]]]]
_STATUS = {
    "missing": ("NOT_SENT", ClientResourceStatus.DOES_NOT_EXIST),
    "rejected": ("ERROR", ClientResourceStatus.NACKED),
    "unanswered": ("STALE", ClientResourceStatus.REQUESTED),
    "unsent": ("NOT_SENT", ClientResourceStatus.REQUESTED),
    "synced": ("SYNCED", ClientResourceStatus.ACKED),
}
_SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"


def methods(streams: Streams) -> dict[str, Callable[[Call], Handler]]:
    """The service's methods by path, over what `streams` gives at the time of a request."""
    return {
        f"/{_SERVICE}/{method}": lambda call: _Asked(call, streams)
        for method in ("FetchClientStatus", "StreamClientStatus")
    }


class _Asked:
    """One call: each request is answered when the answer before it has left."""

    def __init__(self, call: Call, streams: Streams) -> None:
        self._call = call
        self._streams = streams

    def message(self, raw: bytes) -> None:
        try:
            response = respond(ClientStatusRequest.FromString(raw), self._streams())
        except (ValueError, DecodeError) as error:
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        self._call.send(response.SerializeToString())
        if not self._call.writable:
            self._call.pause()

    def half_closed(self) -> None:
        self._call.finish()

    def writable(self) -> None:
        self._call.resume()

    def closed(self, end: CallEnd | None) -> None:
        pass


def respond(request: Message, streams: Iterable[tuple[Node, StreamState[Any]]]) -> Message:
    """The status of the clients that the request picks. Raises ValueError for matchers that are not
    understood.
    """
    for matcher in request.node_matchers:
        _matches(matcher, Node(""))  # refuses what is not understood, also while nobody is connected
    response = ClientStatusResponse()
    for node, state in streams:
        if request.node_matchers and not any(_matches(matcher, node) for matcher in request.node_matchers):
            continue
        config = response.config.add()
        config.node.CopyFrom(NodeMessage.FromString(node.message))
        for subscription in state.subscriptions.values():
            for found in status.of_subscription(subscription):
                _describe(config.generic_xds_configs.add(), found, request.exclude_resource_contents)
    return response


def _describe(entry: Any, found: status.ResourceStatus, exclude_contents: bool) -> None:
    entry.type_url = found.type_url
    entry.name = found.name
    entry.version_info = found.version
    config_status, entry.client_status = _STATUS[found.state]
    entry.config_status = ConfigStatus.Value(config_status)
    if found.resource is not None and not exclude_contents:
        entry.xds_config.type_url = found.type_url
        entry.xds_config.value = found.resource.body
    if found.nack is not None:
        entry.error_state.details = found.nack.message
        entry.error_state.version_info = found.nack.version
        entry.error_state.last_update_attempt.FromMilliseconds(int(found.nack.at * 1000))


def _matches(matcher: Message, node: Node) -> bool:
    if matcher.node_metadatas:
        raise ValueError("node matchers by metadata are not supported, match by node_id")
    return not matcher.HasField("node_id") or _matches_text(matcher.node_id, node.id)


def _matches_text(matcher: Message, value: str) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    if kind == "safe_regex":
        raise ValueError("node matchers by regular expression are not supported")
    if kind is None or kind == "custom":
        raise ValueError("a node matcher says nothing that is supported")
    pattern: str = getattr(matcher, kind)
    if matcher.ignore_case:
        pattern, value = pattern.casefold(), value.casefold()
    if kind == "exact":
        return value == pattern
    if kind == "prefix":
        return value.startswith(pattern)
    if kind == "suffix":
        return value.endswith(pattern)
    return pattern in value
