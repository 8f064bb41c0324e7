"""What is known of connected clients, as plain values for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .delta import DeltaSubscription
from .node import Node
from .stream import StreamState
from .subscription import Nack


@dataclass(frozen=True, slots=True)
class TypeState:
    """One type on one stream: the version last sent, the one last acknowledged, a standing rejection."""

    sent: str
    acked: str
    nack: Nack | None = None


@dataclass(frozen=True, slots=True)
class ConnectedProxy:
    """One stream and the node at its end. `connected` in epoch seconds; `types` by type URL.

    `variant` is "delta" or "sotw". A node that uses separate services has one stream, and one entry, for
    each.
    """

    id: str
    cluster: str
    metadata: Mapping[str, Any]
    version: str
    variant: str
    connected: float
    types: Mapping[str, TypeState]
    node: Node


def describe(node: Node, state: StreamState[Any], connected: float) -> ConnectedProxy:
    """The present state of a stream."""
    return ConnectedProxy(
        id=node.id,
        cluster=node.cluster,
        metadata=node.metadata,
        version=node.version,
        variant="delta" if state.variant is DeltaSubscription else "sotw",
        connected=connected,
        types={
            type_url: TypeState(subscription.sent, subscription.acked, subscription.nack)
            for type_url, subscription in state.subscriptions.items()
        },
        node=node,
    )
