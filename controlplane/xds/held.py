"""Changes that are held back because the clients that tried them rejected them. See `trial`.

No I/O. Everything belongs to the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from .jury import QUORUM, Ballot, Owner, Timer, Vote, ballot_of, candidates, key, of, uses
from .resource import Resource, identity
from .resources import Collection
from .standing import Client, ClientState
from .subscription import Nack


@dataclass(frozen=True, slots=True)
class Held:
    """A change to `resource` that is held: `node` rejected it first, and those of `confirmed` did, too."""

    resource: Resource
    type_url: str
    node: str
    nack: Nack | None
    confirmed: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class _Hold:
    """A change that is held, and the votes of those that rejected it and are still there."""

    change: Held
    votes: dict[Client, Vote]


Again = Callable[[Collection, Held, dict[Client, Vote], Ballot], None]
"""Try a held change again: (collection, change, votes against it, who has one vote)."""


class Holds:
    """The changes that are held, by collection and name.

    retry: seconds until clients are looked for to try a change with again.
    """

    def __init__(self, owner: Owner, again: Again, retry: float) -> None:
        self._owner = owner
        self._again = again
        self._retry_wait = retry
        self._held: WeakKeyDictionary[Collection, dict[str, _Hold]] = WeakKeyDictionary()
        self._retry: Timer | None = None

    def __contains__(self, collection: Collection) -> bool:
        return collection in self._held

    def all(self) -> list[Held]:
        return [one.change for held in self._held.values() for one in held.values()]

    def of(self, state: ClientState) -> tuple[Held, ...]:
        """The held changes of resources that a client subscribes to."""
        return tuple(
            one.change
            for subscription in state.subscriptions.values()
            for part in subscription.parts
            for name, one in self._held.get(part, {}).items()
            if uses(subscription, name)
        )

    def has(self, collection: Collection, resource: Resource) -> bool:
        """Whether exactly this change is held."""
        hold = self._held.get(collection, {}).get(resource.name)
        return hold is not None and identity(hold.change.resource) == identity(resource)

    def add(self, collection: Collection, resource: Resource, votes: dict[Client, Vote]) -> None:
        """Hold a change that the clients of `votes` rejected."""
        (first, vote), *_ = votes.items()
        confirmed = sorted({client.node.id for client in votes} - {first.node.id})
        change = Held(resource, collection.type_url, first.node.id, vote.nack, tuple(confirmed))
        self._held.setdefault(collection, {})[resource.name] = _Hold(change, votes)
        self._look_again()

    def let_go(self, collection: Collection, name: str) -> bool:
        """Release a held change, because a newer one came or it is tried again. True if it was held."""
        held = self._held.get(collection, {})
        found = held.pop(name, None)
        if found is not None and not held:
            del self._held[collection]
        return found is not None

    def left(self, client: Client) -> None:
        """A stream has ended, and with it its vote."""
        holds = [hold for held in self._held.values() for hold in held.values() if client in hold.votes]
        for hold in holds:
            del hold.votes[client]
        if holds:
            self._look_again()

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _try_again(self) -> None:
        """Try changes again that too few clients reject by now, with new clients; wait if there are none."""
        self._retry = None
        later = False
        for collection, held in tuple(self._held.items()):
            for name, hold in tuple(held.items()):
                later |= not self._decided(collection, name, hold)
        if later:
            self._look_again()

    def _look_again(self) -> None:
        """Try in a moment: a client that has just connected has the last good state by then."""
        if self._retry is None:
            self._retry = self._owner.later(self._retry_wait, self._try_again)

    def _decided(self, collection: Collection, name: str, hold: _Hold) -> bool:
        """Whether there are enough votes against a change, or it is tried again."""
        now = self._owner.now()
        users = [one for one in self._owner.clients(collection) if uses(of(one, collection), name)]
        ballot = ballot_of(users, now)
        against = {key(client, ballot) for client in hold.votes}
        if len(against) >= QUORUM:
            return True
        found = candidates(collection, users, now, outvoted=True)
        if all(key(client, ballot) in against for client in found):
            return False
        self.let_go(collection, name)
        self._again(collection, hold.change, hold.votes, ballot)
        return True
