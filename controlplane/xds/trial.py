"""A change of configuration is tried first: it goes to one of the clients that use it before the others.

A listener or a route configuration that one Envoy rejects is rejected by every Envoy, and each is then in
another state than the control plane means it to be. So a change of one that several nodes subscribe to goes
to one of them, and the others wait (`Gate.keeps_from`) until that one has accepted it or `wait` seconds are
over. When it is rejected, the collection goes back to the last good state, which all others have, and the
change is held until there is another one.

What is new or removed is not tried, nor is what only one node uses, nor what is put within `at_once`. A
client that connects or asks during a trial is answered with the change. While a change is on trial or held,
clients keep the removed clusters that the last good state may use (`Gate.withholds`).

No I/O. Everything belongs to the event loop's thread; time comes by `later`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from .gate import Subscriber
from .node import Node
from .resource import Resource, identity
from .resources import Clock, Collection, Overrun
from .stream import StreamState
from .subscription import Nack, Sent, Subscription


class Client(Protocol):
    """A stream and who is at its end."""

    @property
    def node(self) -> Node: ...

    @property
    def state(self) -> StreamState[Any]: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Held:
    """A change to `resource` that is held because the client `node` rejected it."""

    resource: Resource
    type_url: str
    node: str
    nack: Nack


@dataclass(eq=False, slots=True)
class _Trial:
    """Changes of one collection that not everyone may have yet: `good` is what was before them, by name."""

    timer: Timer
    good: dict[str, Resource] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    """Those that get the changes first."""


class Trials:
    """The gate of all collections whose changes are tried.

    wait: seconds after which a change goes to everyone although nobody answered. clients: the streams that
    have a collection. later: call something after so many seconds. over: is told of a collection whose
    clients may go on. count: is told what has become of how many changes.
    """

    def __init__(
        self,
        wait: float,
        *,
        clients: Callable[[Collection], Iterable[Client]],
        later: Callable[[float, Callable[[], None]], Timer],
        over: Callable[[Collection], None],
        count: Callable[[str, int], None],
    ) -> None:
        self._wait = wait
        self._clients = clients
        self._later = later
        self._over = over
        self._count = count
        self._trials: dict[Collection, _Trial] = {}
        self._held: WeakKeyDictionary[Collection, dict[str, Held]] = WeakKeyDictionary()
        self._open = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is put meanwhile goes to everyone at once."""
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def held(self) -> list[Held]:
        """The changes that are held."""
        return [one for held in self._held.values() for one in held.values()]

    def held_from(self, state: StreamState[Any]) -> tuple[Held, ...]:
        """Those of what a client subscribes to."""
        return tuple(
            one
            for subscription in state.subscriptions.values()
            for part in subscription.parts
            for name, one in self._held.get(part, {}).items()
            if _uses(subscription, name)
        )

    # What collections and subscriptions ask.

    def allows(self, collection: Collection, before: Resource | None, after: Resource | None) -> bool:
        held = self._held.get(collection)
        if held:
            name = after.name if after is not None else before.name if before is not None else ""
            if name in held and after is not None and identity(held[name].resource) == identity(after):
                return False
            if held.pop(name, None) is not None and not held:
                del self._held[collection]
                self._over(collection)
        if identity(before) == identity(after):
            return True
        if before is None or after is None:
            if before is not None:
                self._settle(collection, [before.name])
        elif self._open:
            self._end(collection, "trials_overtaken")
        else:
            self._try(collection, before, after)
        return True

    def keeps_from(self, collection: Collection, subscriber: Subscriber) -> bool:
        trial = self._trials.get(collection)
        if trial is None or not (subscriber.wildcard or not subscriber.names.isdisjoint(trial.good)):
            return False
        if subscriber.pending_all or not subscriber.pending.isdisjoint(trial.good):
            return False  # it asks, and would wait
        return not any(_of(client, collection) is subscriber for client in trial.clients)

    def withholds(self, collection: Collection) -> bool:
        return collection in self._trials or collection in self._held

    # What happens to clients.

    def choose(self, collection: Collection) -> None:
        """Choose those that get the changes first; called before changes are pushed."""
        trial = self._trials.get(collection)
        if trial is None:
            return
        present = [_of(client, collection) for client in trial.clients]
        left = {name for name in trial.good if not any(_uses(one, name) for one in present)}
        first: dict[str, Client] = {}
        for client in sorted(self._clients(collection), key=lambda client: _busy(client, collection)):
            if not left:
                break
            subscription = _of(client, collection)
            for name in [name for name in left if _uses(subscription, name)]:
                if name not in first:
                    first[name] = client
                elif first[name].node.id != client.node.id:
                    left.discard(name)
                    if first[name] not in trial.clients:
                        trial.clients.append(first[name])
        self._settle(collection, left)  # one node or nobody uses it

    def answered(self, client: Client, type_url: str, reply: Sent, nack: Nack | None) -> list[Held]:
        """A client has answered a reply. Returns what is held because of that."""
        subscription = client.state.subscriptions.get(type_url)
        if not self._trials or subscription is None:
            return []
        found: list[Held] = []
        for collection in subscription.parts:
            trial = self._trials.get(collection)
            if trial is None:
                continue
            if nack is not None:
                names = [
                    name
                    for name in trial.good
                    if (reply.names is None or name in reply.names)
                    and collection.changed(name) <= reply.after
                    and _uses(subscription, name)
                ]
                if names:
                    found += self._refuse(collection, client, names, reply, nack)
            elif not subscription.outstanding and not _lags(subscription):
                accepted = [name for name in trial.good if _uses(subscription, name)]
                self._settle(collection, accepted, "trials_accepted")
        return found

    def left(self, client: Client) -> None:
        """A stream has ended: what it was to try is tried by another, in what is left of the time."""
        for collection in [one for one, trial in self._trials.items() if client in trial.clients]:
            self._trials[collection].clients.remove(client)
            self.choose(collection)
            self._over(collection)

    def close(self) -> None:
        for trial in self._trials.values():
            trial.timer.cancel()
        self._trials.clear()

    def _try(self, collection: Collection, before: Resource, after: Resource) -> None:
        trial = self._trials.get(collection)
        if trial is None:
            if len({client.node.id for client in self._clients(collection)}) < 2:
                return
            timer = self._later(self._wait, lambda: self._end(collection, "trials_timed_out"))
            trial = self._trials[collection] = _Trial(timer)
        good = trial.good.setdefault(before.name, before)
        if identity(good) == identity(after):
            self._settle(collection, [before.name])

    def _refuse(
        self, collection: Collection, client: Client, names: list[str], reply: Sent, nack: Nack
    ) -> list[Held]:
        """Take back what a client rejected in a reply."""
        good = self._trials[collection].good
        subscription = client.state.subscriptions[collection.type_url]
        had_all = not _lags(subscription)
        found: list[Held] = []
        for name in names:
            tried = collection.get(name)
            assert tried is not None  # what is removed is on trial no more
            found.append(Held(tried, collection.type_url, client.node.id, nack))
            collection.restore(good[name])
        if had_all and not reply.asked and collection.changes_since(reply.before).isdisjoint(names):
            # It had the last good state and has kept it, as the protocol wants it: it is not sent it again.
            subscription.cursor = Clock.now
        self._held.setdefault(collection, {}).update({one.resource.name: one for one in found})
        self._settle(collection, names, "trials_rejected")
        return found

    def _settle(self, collection: Collection, names: Iterable[str], how: str = "") -> None:
        """Nobody waits for these names any more."""
        trial = self._trials.get(collection)
        settled = [name for name in names if trial is not None and trial.good.pop(name, None) is not None]
        if trial is None or not settled:
            return
        if not trial.good:
            trial.timer.cancel()
            del self._trials[collection]
        if how:
            self._count(how, len(settled))
        self._over(collection)

    def _end(self, collection: Collection, how: str) -> None:
        trial = self._trials.get(collection)
        if trial is not None:
            self._settle(collection, list(trial.good), how)


def _of(client: Client, collection: Collection) -> Subscription | None:
    return client.state.subscriptions.get(collection.type_url)


def _uses(subscription: Subscription | None, name: str) -> bool:
    return (
        subscription is not None
        and subscription.started
        and (subscription.wildcard or name in subscription.names)
    )


def _busy(client: Client, collection: Collection) -> bool:
    subscription = _of(client, collection)
    return subscription is None or bool(subscription.outstanding)


def _lags(subscription: Subscription) -> bool:
    try:
        return subscription.dirty()
    except Overrun:
        return True
