"""The state of connected clients, as plain values to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .delta import DeltaSubscription
from .held import Held
from .node import Node
from .resource import Resource
from .resources import Overrun
from .standing import State
from .stream_state import StreamState
from .subscription import Nack, Subscription
from .view import View


@dataclass(frozen=True, slots=True)
class TypeState:
    """One type on one stream: the version last sent, the one last acknowledged, a standing rejection."""

    sent: str
    acked: str
    nack: Nack | None = None


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """Where a client stands with a resource that it subscribes to. `resource` is the snapshot's.

    missing: there is no such resource. rejected: the client keeps the last good. unanswered: sent, and the
    client has not said how it took it. unsent: changed since. synced: the client has the snapshot's.
    """

    type_url: str
    name: str
    resource: Resource | None
    state: Literal["missing", "rejected", "unanswered", "unsent", "synced"]
    nack: Nack | None = None

    @property
    def version(self) -> str:
        """Of the snapshot's resource; empty where there is none."""
        return "" if self.resource is None else self.resource.version


@dataclass(frozen=True, slots=True)
class ConnectedProxy:
    """One stream and the node at its end. `connected` in epoch seconds; `types` by type URL.

    `variant` is "delta" or "sotw". A node that uses separate services has one stream, and one entry, for
    each.
    """

    id: str
    cluster: str
    version: str
    variant: str
    connected: float
    types: Mapping[str, TypeState]
    node: Node
    view: View
    held: tuple[Held, ...]
    """Changes held back from it because other clients rejected them."""
    standing: State
    """See `standing`."""
    drift: tuple[ResourceStatus, ...] | None = None
    """Resources that differ from the snapshot; None if drift was not asked for."""


def describe(
    node: Node,
    state: StreamState[Any],
    connected: float,
    held: tuple[Held, ...],
    standing: State,
    *,
    with_drift: bool = False,
) -> ConnectedProxy:
    """The present state of a stream. Drift costs as much as there are resources."""
    return ConnectedProxy(
        id=node.id,
        cluster=node.cluster,
        version=node.version,
        variant="delta" if state.variant is DeltaSubscription else "sotw",
        connected=connected,
        types={
            type_url: TypeState(subscription.sent, subscription.acked, subscription.nack)
            for type_url, subscription in state.subscriptions.items()
        },
        node=node,
        view=state.view,
        held=held,
        standing=standing,
        drift=drift(state) if with_drift else None,
    )


def names(subscription: Subscription) -> list[str]:
    """What a client subscribes to by name, and what there is if it subscribes to all; in no order."""
    if not subscription.wildcard:
        return list(subscription.names)
    found = set(subscription.names)
    for part in subscription.parts:
        found.update(part.names())
    return list(found)


def of_subscription(subscription: Subscription) -> Iterator[ResourceStatus]:
    """Where a client stands with each resource of one type."""
    wanted = names(subscription)
    try:
        changed = subscription.changes()
    except Overrun:
        changed = frozenset(wanted)  # the stream is about to end, and the next one is sent everything
    for name in wanted:
        yield _of_resource(subscription, name, changed)


def _of_resource(subscription: Subscription, name: str, changed: frozenset[str]) -> ResourceStatus:
    type_url = subscription.type_url
    resource = subscription.view.get(type_url, name)
    if resource is None:
        return ResourceStatus(type_url, name, None, "missing")
    rejected = subscription.rejected is None or name in subscription.rejected
    if subscription.nack is not None and rejected:
        return ResourceStatus(type_url, name, resource, "rejected", subscription.nack)
    if any(reply.names is None or name in reply.names for reply in subscription.outstanding):
        return ResourceStatus(type_url, name, resource, "unanswered")
    if name in changed:
        return ResourceStatus(type_url, name, resource, "unsent")
    return ResourceStatus(type_url, name, resource, "synced")


def of_state(state: StreamState[Any]) -> Iterator[ResourceStatus]:
    """Where the client of a stream stands with each resource, by type and name."""
    for subscription in state.subscriptions.values():
        yield from sorted(of_subscription(subscription), key=lambda one: one.name)


def drift(state: StreamState[Any]) -> tuple[ResourceStatus, ...]:
    """The resources of a stream that its client does not have as the snapshot has them."""
    return tuple(found for found in of_state(state) if found.state != "synced")
