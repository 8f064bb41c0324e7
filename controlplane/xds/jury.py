"""Chooses the clients that try a change, and counts their votes.

No I/O. Times are seconds of the event loop's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .resource import CLUSTER, Resource
from .resources import Collection, Overrun
from .standing import Client, State, standing_of
from .subscription import Nack, Sent, Subscription

QUORUM = 2
"""Equal votes that decide."""

Result = Literal["accepted", "rejected", "timed_out", "overtaken", "retried", "outvoted"]

Ballot = Literal["party", "address", "node"]
"""Who has one vote together: a gateway or an application, an address, or a node."""

_ORDER: dict[State, int] = {"proved": 0, "new": 1, "slow": 2, "rejecting": 3, "outvoted": 4}


class Timer(Protocol):
    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """What has become of a change. `nodes`: those that rejected it."""

    result: Result
    type_url: str
    resource: Resource | None
    nodes: tuple[str, ...] = ()


class Owner(Protocol):
    """Who has the streams."""

    def clients(self, collection: Collection) -> Iterable[Client]:
        """The streams that have a collection, in the order in which they came."""
        ...

    def now(self) -> float:
        """Seconds of the clock that `Sent.at` is of."""
        ...

    def later(self, seconds: float, what: Callable[[], None]) -> Timer:
        """Call something after so many seconds."""
        ...

    def ask(self, client: Client) -> None:
        """A client that had to wait may have what is tried."""
        ...

    def over(self, collection: Collection) -> None:
        """The clients of that collection may go on."""
        ...

    def tell(self, event: Event) -> None:
        """Something has been decided."""
        ...


@dataclass(frozen=True, slots=True)
class Vote:
    """The answer to `reply`; `nack` is None if it was accepted."""

    nack: Nack | None
    reply: Sent


@dataclass(eq=False, slots=True)
class Case:
    """A change of one resource on trial: `good` is what was before it. `timer` ends a round."""

    good: Resource
    timer: Timer
    votes: dict[Client, Vote] = field(default_factory=dict)
    passed_over: set[Client] = field(default_factory=set)
    """Clients that had the time to answer, and did not."""
    rounds: int = 1
    ballot: Ballot | None = None
    """None until that is decided."""

    def tally(self) -> tuple[set[str], set[str]]:
        """The voters that accepted, and those that rejected."""
        accepted = {self.key(client) for client, vote in self.votes.items() if vote.nack is None}
        return accepted, {self.key(client) for client in self.votes} - accepted

    def rejections(self) -> dict[Client, Vote]:
        return {client: vote for client, vote in self.votes.items() if vote.nack is not None}

    def key(self, client: Client) -> str:
        return key(client, self.ballot or "node")


def key(client: Client, ballot: Ballot) -> str:
    """The voter that a client belongs to."""
    if ballot == "party":
        return client.party
    return client.address if ballot == "address" else client.node.id


def candidates(
    collection: Collection, users: Iterable[Client], now: float, *, outvoted: bool
) -> list[Client]:
    """The clients of `users` that may be asked, those that have been in sync longest first.

    outvoted: also those that are outvoted. Who is silent, or has no answer to its first request yet, is never
    asked.
    """
    found: list[tuple[int, bool, float, Client]] = []
    for client in users:
        subscription = of(client, collection)
        state = standing_of(client, now)
        if state == "silent" or subscription is None or waits_for_an_answer(subscription):
            continue
        if outvoted or state != "outvoted":
            found.append((_ORDER[state], bool(subscription.outstanding), client.standing.since, client))
    return [client for *_, client in sorted(found, key=lambda one: one[:3])]


def ballot_of(users: Sequence[Client], now: float) -> Ballot:
    """Who has one vote among the clients that use a resource.

    Where certificates say who they are, gateways and applications: whatever the clients of one reject, and
    however many they are, is one vote. Within one gateway or application, and where nobody is known:
    addresses, or nodes where all that are not silent have one address.
    """
    if all(client.party for client in users) and len({client.party for client in users}) > 1:
        return "party"
    heard = {client.address for client in users if standing_of(client, now) != "silent"}
    return "address" if len(heard) > 1 else "node"


def of(client: Client, collection: Collection) -> Subscription | None:
    """The client's subscription to the type of a collection."""
    return client.state.subscriptions.get(collection.type_url)


def uses(subscription: Subscription | None, name: str) -> bool:
    """Whether a client subscribes to a resource."""
    return (
        subscription is not None
        and subscription.started
        and (subscription.wildcard or name in subscription.names)
    )


def lags(subscription: Subscription | None) -> bool:
    """Whether there is something to send to a client."""
    try:
        return subscription is None or subscription.dirty()
    except Overrun:
        return True


def covers(reply: Sent, collection: Collection, name: str) -> bool:
    """Whether a reply carried a resource as it is now."""
    return (reply.names is None or name in reply.names) and collection.changed(name) <= reply.after


def rejected_of(names: Sequence[str], nack: Nack | None, type_url: str) -> Sequence[str]:
    """Those of the resources `names` of a reply that its answer rejects.

    Of clusters, Envoy takes those that it can and rejects the others, naming them in its text (CdsApiHelper).
    """
    if nack is None or type_url != CLUSTER:
        return names if nack is not None else ()
    return [name for name in names if name in nack.message] or names


def had(collection: Collection, name: str, cursor: int) -> bool:
    """Whether a client had at `cursor` what there is now."""
    try:
        return name not in collection.changes_since(cursor)
    except Overrun:
        return False


def waits_for_an_answer(subscription: Subscription | None) -> bool:
    """Whether a client has asked for something that it has not been sent yet."""
    if subscription is None:
        return False
    return bool(subscription.pending) or subscription.pending_all or subscription.owed
