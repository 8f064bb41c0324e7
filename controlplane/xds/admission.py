"""Which streams may begin: how many, how often, and how large a node."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from controlplane.rpc.transport import CallEnd

from .bounds import LONGEST_ID, Bounds, TokenBucket, TokenBuckets
from .discovery import DiscoveryStream
from .node import Node
from .node_streams import NodeStreams


class Admission:
    """Holds new streams to `bounds`. nodes: the open streams of each node. streams: the number of all."""

    def __init__(
        self, bounds: Bounds, nodes: NodeStreams[DiscoveryStream], streams: Callable[[], int]
    ) -> None:
        self._bounds = bounds
        self._nodes = nodes
        self._streams = streams
        self._bucket = TokenBucket(bounds.stream_rate, bounds.stream_burst)
        self._buckets = TokenBuckets(bounds.stream_rate_per_client, bounds.stream_burst_per_client)

    def admit(self, client: str, now: float) -> None:
        """Count a call of `client` at `now`, in seconds of a steady clock.

        Raises CallEnd if there were too many of late.
        """
        if not self._buckets.admit(client, now):
            text = f"too many new streams of {client}, try again later"
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if not self._bucket.admit(now):
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many new streams, try again later")

    def check_size(self, node: bytes) -> None:
        """Raises CallEnd if the encoded node is too large to be decoded."""
        if len(node) > self._bounds.node_bytes:
            text = f"the node has {len(node)} bytes, more than {self._bounds.node_bytes}: leave out metadata"
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, text)

    def check(self, node: Node, client: str) -> None:
        """Raises CallEnd if the node has no id or a long one, or if too many streams are open already: of the
        node, of the client, or in all.
        """
        bounds = self._bounds
        if not node.id:
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, "the first request has no node id")
        if len(node.id) > LONGEST_ID or len(node.cluster) > LONGEST_ID:
            text = f"node.id or node.cluster has more than {LONGEST_ID} characters"
            raise CallEnd(grpc.StatusCode.INVALID_ARGUMENT, text)
        if self._nodes.of_node(client, node.id) >= bounds.streams_per_node:
            text = f"node {node.id} has {bounds.streams_per_node} open streams, the most that a node may have"
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if self._nodes.of_client(client) >= bounds.streams_per_client:
            text = f"{client} has {bounds.streams_per_client} open streams, the most that one client may have"
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if self._streams() >= bounds.streams:
            text = f"{bounds.streams} streams are open, the most that the server serves"
            raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
