"""The trial of a change of configuration: it goes to two of the clients that use it before the others.

A listener or a route configuration that one Envoy rejects is rejected by every Envoy, and each is then in
another state than the control plane means it to be. So a change of one that several nodes subscribe to goes
to `QUORUM` of them, and the others wait (`Gate.keeps_from`). Two that accept it let it go to all. Two that
reject it hold it: the collection goes back to the last good state, which all others have. One of each is
decided by a third. Who was alone in rejecting is outvoted. The same is done with clusters where users'
patches change them (`Collection.tried`); what refers to clusters waits with them.

Anyone may be a client, so those that were in sync for a while are asked first, those for the longest time
before others; who has rejected something of late only confirms a rejection; who is silent is not asked (see
`standing`). All clients of one gateway or application have one vote together, so what those of one refuse is
held back from nobody else. Where all are of one, or where nobody has a certificate, all clients of one
address have one vote together; if all are of one address, too, each node has one. A held change is tried
again, with clients that have not had it, when those that rejected it leave.

What is new or removed is not tried, nor is what only one node uses, nor what is put within `at_once`. While
a change is on trial or held, clients keep the removed clusters that the last good state may use
(`Gate.withholds`).

No I/O. Everything belongs to the event loop's thread; time comes by `Owner.now` and `Owner.later`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .held import Held, Holds
from .jury import (
    QUORUM,
    Ballot,
    Case,
    Event,
    Owner,
    Result,
    Vote,
    ballot_of,
    candidates,
    covers,
    had,
    lags,
    of,
    rejected_of,
    uses,
    waits_for_an_answer,
)
from .resource import Resource, identity
from .resources import Collection, Subscriber
from .standing import Client, ClientState
from .subscription import Nack, Sent

ROUNDS = 3
"""Times that a trial waits for answers, each time for those of other clients as well."""


@dataclass(eq=False, slots=True)
class _Trial:
    """The changes of one collection that not everyone may have yet, by name."""

    cases: dict[str, Case] = field(default_factory=dict)
    clients: dict[Client, None] = field(default_factory=dict)
    """Those that get the changes first: all of them, for a stream has one cursor for a type."""


class Trials:
    """The gate of all collections whose changes are tried.

    Seconds: `wait` is that of one round, `retry` see Holds.
    """

    def __init__(self, wait: float, retry: float, owner: Owner) -> None:
        self._wait = wait
        self._owner = owner
        self._trials: dict[Collection, _Trial] = {}
        self._holds = Holds(owner, self._again, retry)
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
        return self._holds.all()

    def held_from(self, state: ClientState) -> tuple[Held, ...]:
        """Those of what a client subscribes to."""
        return self._holds.of(state)

    # What collections and subscriptions ask.

    def allows(self, collection: Collection, before: Resource | None, after: Resource | None) -> bool:
        if collection in self._holds:
            if after is not None and self._holds.has(collection, after):
                return False
            changed = after if after is not None else before
            if changed is not None and self._holds.let_go(collection, changed.name):
                self._owner.over(collection)
        if identity(before) == identity(after):
            return True
        if before is None or after is None:
            if before is not None:
                self._settle(collection, [before.name])
        elif self._open:
            self._settle(collection, self.names(collection), "overtaken")
        elif not collection.tried:
            self._settle(collection, [before.name], "overtaken")
        else:
            self._try(collection, before, after)
        return True

    def keeps_from(self, collection: Collection, subscriber: Subscriber) -> bool:
        trial = self._trials.get(collection)
        if trial is None or not (subscriber.wildcard or not subscriber.names.isdisjoint(trial.cases)):
            return False
        return not any(of(client, collection) is subscriber for client in trial.clients)

    def withholds(self, collection: Collection) -> bool:
        return collection in self._trials or collection in self._holds

    # What happens to clients.

    def choose(self, collection: Collection) -> None:
        """Choose those that get the changes first; called before changes are pushed."""
        for name in self.names(collection):
            self._judge(collection, name)

    def answered(self, client: Client, type_url: str, reply: Sent, nack: Nack | None) -> None:
        """A client has answered a reply. Of those that are asked, that is a vote."""
        if not self._trials:
            return
        subscription = client.state.subscriptions.get(type_url)
        if subscription is None:
            return
        for collection in subscription.parts:
            trial = self._trials.get(collection)
            if trial is None or client not in trial.clients:
                continue
            names = [name for name in trial.cases if uses(subscription, name)]
            if nack is not None:
                names = [name for name in names if covers(reply, collection, name)]
            elif subscription.outstanding or lags(subscription):
                continue
            else:
                rejected = {name for name in names if client in trial.cases[name].rejections()}
                names = [one for one in names if one not in rejected or covers(reply, collection, one)]
            refused = rejected_of(names, nack, type_url)
            now = self._owner.now()
            if now - reply.at > self._wait / 2:
                client.standing.demote(now)
            for name in names:
                trial.cases[name].votes[client] = Vote(nack if name in refused else None, reply)
                self._judge(collection, name)

    def left(self, client: Client) -> None:
        """A stream has ended: it has no vote any more."""
        for collection, trial in tuple(self._trials.items()):
            if client in trial.clients or any(client in case.votes for case in trial.cases.values()):
                trial.clients.pop(client, None)
                for case in trial.cases.values():
                    case.votes.pop(client, None)
                    case.passed_over.discard(client)
                self.choose(collection)
        self._holds.left(client)

    def close(self) -> None:
        for trial in self._trials.values():
            for case in trial.cases.values():
                case.timer.cancel()
        self._trials.clear()
        self._holds.close()

    # What is on trial.

    def names(self, collection: Collection) -> list[str]:
        """What is on trial of a collection."""
        trial = self._trials.get(collection)
        return [] if trial is None else list(trial.cases)

    def _users(self, collection: Collection, name: str) -> list[Client]:
        return [one for one in self._owner.clients(collection) if uses(of(one, collection), name)]

    def _try(self, collection: Collection, before: Resource, after: Resource) -> None:
        trial = self._trials.get(collection)
        case = None if trial is None else trial.cases.get(before.name)
        if case is None:
            if len({client.node.id for client in self._owner.clients(collection)}) > 1:
                self._begin(collection, before)
        elif identity(case.good) == identity(after):
            self._settle(collection, [before.name])
        else:
            case.votes.clear()  # they were for something else; the time goes on, or it might never end

    def _begin(self, collection: Collection, good: Resource) -> Case:
        case = Case(good, self._owner.later(self._wait, lambda: self._late(collection, good.name, case)))
        self._trials.setdefault(collection, _Trial()).cases[good.name] = case
        return case

    def _late(self, collection: Collection, name: str, case: Case) -> None:
        """A round is over."""
        now = self._owner.now()
        for client in self._trials[collection].clients:
            if client not in case.votes and uses(of(client, collection), name):
                case.passed_over.add(client)
                client.standing.demote(now)
        if case.rounds == ROUNDS:
            self._settle(collection, [name], "timed_out")
            return
        case.rounds += 1
        case.timer = self._owner.later(self._wait, lambda: self._late(collection, name, case))
        self._judge(collection, name)

    def _judge(self, collection: Collection, name: str) -> None:
        """Decide a case, or ask as many clients as it takes."""
        case = self._trials[collection].cases[name]
        if case.ballot is None:
            users = self._users(collection, name)
            if len({client.node.id for client in users}) < 2:
                self._settle(collection, [name])  # one node or nobody uses it
                return
            case.ballot = ballot_of(users, self._owner.now())
        accepted, rejected = case.tally()
        if len(rejected) >= QUORUM:
            self._hold(collection, name)
        elif len(accepted) >= QUORUM:
            self._accept(collection, name)
        elif not self._ask(collection, name, case):
            if accepted:
                self._accept(collection, name)
            elif not rejected:
                self._settle(collection, [name], "timed_out" if case.passed_over else None)
            elif not case.passed_over or any(
                waits_for_an_answer(of(one, collection)) for one in self._users(collection, name)
            ):
                # Nobody else is there, or only those that come with it: it is tried again with them, when
                # they have the last good state.
                self._hold(collection, name)

    def _ask(self, collection: Collection, name: str, case: Case) -> bool:
        """Let as many clients have a change as can decide it. False if no answer is waited for."""
        clients = self._trials[collection].clients
        asked = [client for client in clients if uses(of(client, collection), name)]
        accepted, rejected = case.tally()
        known = accepted | rejected
        known |= {case.key(one) for one in asked if one not in case.votes and one not in case.passed_over}
        missing = QUORUM - max(len(accepted), len(rejected))
        if len(known) - len(accepted | rejected) < missing:
            late = {case.key(client) for client in case.passed_over}
            users, now = self._users(collection, name), self._owner.now()
            found = candidates(collection, users, now, outvoted=not asked)
            for client in sorted(found, key=lambda client: case.key(client) in late):
                if len(known) - len(accepted | rejected) == missing:
                    break
                if client not in clients and case.key(client) not in known:
                    clients[client] = None
                    known.add(case.key(client))
                    self._owner.ask(client)
        return len(known) > len(accepted | rejected)

    def _accept(self, collection: Collection, name: str) -> None:
        case = self._trials[collection].cases[name]
        accepted, rejected = case.tally()
        for client in case.rejections():
            if len(accepted) >= QUORUM and case.key(client) in rejected:  # else nobody knows who is right
                client.standing.outvote(self._owner.now())
                nodes = (client.node.id,)
                self._owner.tell(Event("outvoted", collection.type_url, collection.get(name), nodes))
        self._settle(collection, [name], "accepted")

    def _hold(self, collection: Collection, name: str) -> None:
        """Take a change back."""
        case = self._trials[collection].cases[name]
        tried = collection.get(name)
        assert tried is not None  # what is removed is on trial no more
        votes = case.rejections()
        caught_up = [client for client in votes if not lags(of(client, collection))]
        collection.restore(case.good)
        for client in caught_up:
            reply = votes[client].reply
            if not reply.asked and had(collection, name, reply.before):
                # It had the last good state and has kept it, as the protocol wants it: it is not sent again.
                client.state.subscriptions[collection.type_url].cursor = collection.clock.now
        self._settle(collection, [name], "rejected", tried)
        self._holds.add(collection, tried, votes)

    def _settle(
        self,
        collection: Collection,
        names: Iterable[str],
        result: Result | None = None,
        tried: Resource | None = None,
    ) -> None:
        """Nobody waits for these names any more."""
        trial = self._trials.get(collection)
        if trial is None:
            return
        settled = {name: case for name in names if (case := trial.cases.pop(name, None)) is not None}
        if not trial.cases:
            del self._trials[collection]
        for name, case in settled.items():
            case.timer.cancel()
            if result is not None:
                nodes = tuple(sorted({client.node.id for client in case.rejections()}))
                self._owner.tell(Event(result, collection.type_url, tried or collection.get(name), nodes))
        if settled:
            self._owner.over(collection)

    def _again(self, collection: Collection, held: Held, votes: dict[Client, Vote], ballot: Ballot) -> None:
        """Try a held change again; `votes` are those against it."""
        good = collection.get(held.resource.name)
        assert good is not None  # what is removed is not held
        case = self._begin(collection, good)
        case.ballot = ballot
        case.votes.update(votes)
        collection.restore(held.resource)
        self._owner.tell(Event("retried", collection.type_url, held.resource))
