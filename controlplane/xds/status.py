"""What is known of connected clients, as plain values for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .canary import Held
from .delta import DeltaSubscription
from .node import Node
from .stream import StreamState
from .subscription import Nack, Subscription


@dataclass(frozen=True, slots=True)
class TypeState:
    """One type on one stream: the version last sent, the one last acknowledged, a standing rejection."""

    sent: str
    acked: str
    nack: Nack | None = None


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """Where a client stands with a resource that it subscribes to. `version` is that of the snapshot.

    missing: there is no such resource. rejected: the client keeps the last good. unanswered: sent, and the
    client has not said how it took it. unsent: changed since. synced: the client has the snapshot's.
    """

    type_url: str
    name: str
    version: str
    state: Literal["missing", "rejected", "unanswered", "unsent", "synced"]
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
    held: tuple[Held, ...]
    """Changes that it does not get because another client rejected them."""
    drift: tuple[ResourceStatus, ...] | None = None
    """What the client does not have as the snapshot has it; None where nobody asked."""


def describe(
    node: Node, state: StreamState[Any], connected: float, held: tuple[Held, ...], *, with_drift: bool = False
) -> ConnectedProxy:
    """The present state of a stream. Drift costs as much as there are resources."""
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
        held=held,
        drift=drift(state) if with_drift else None,
    )


def names(subscription: Subscription) -> list[str]:
    """What a client subscribes to by name, and what there is if it subscribes to all."""
    found = set(subscription.names)
    if subscription.wildcard:
        for part in subscription.parts:
            found.update(part.names())
    return sorted(found)


def of_resource(subscription: Subscription, name: str) -> ResourceStatus:
    """Where a client stands with one resource."""
    type_url = subscription.type_url
    resource = subscription.view.get(type_url, name)
    if resource is None:
        return ResourceStatus(type_url, name, "", "missing")
    rejected = subscription.rejected is None or name in subscription.rejected
    if subscription.nack is not None and rejected:
        return ResourceStatus(type_url, name, resource.version, "rejected", subscription.nack)
    if any(reply.names is None or name in reply.names for reply in subscription.outstanding):
        return ResourceStatus(type_url, name, resource.version, "unanswered")
    if name in subscription.changes():
        return ResourceStatus(type_url, name, resource.version, "unsent")
    return ResourceStatus(type_url, name, resource.version, "synced")


def drift(state: StreamState[Any]) -> tuple[ResourceStatus, ...]:
    """The resources of a stream that its client does not have as the snapshot has them."""
    return tuple(
        found
        for subscription in state.subscriptions.values()
        for name in names(subscription)
        if (found := of_resource(subscription, name)).state != "synced"
    )
