"""What a client counts for by what it did, on a model clock."""

from __future__ import annotations

import pytest

from controlplane.xds.resource import ROUTE
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.standing import FORGIVEN, LATE, PROOF, SILENCE, Standing, State, standing_of
from controlplane.xds.streams import Waiter
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.test_trial_rogues_properties import Member


class Client(Member):
    """One that answers when the test says so. Good ones reject what begins with `bad`."""

    def __init__(self, routes: Collection, delta: bool, now: float = 0.0) -> None:
        super().__init__(
            f"node-{id(self)}", "10.0.0.1", "", "good", View(routes.clock, {ROUTE: [routes]}), delta, now
        )
        self.routes = routes
        self.number = 0
        self.round(now, now)

    def round(self, sent: float, answered: float, content: str = "") -> None:
        """It is sent a change, and answers it."""
        self.send(sent, content)
        self.reply(answered)

    def send(self, now: float, content: str = "") -> None:
        self.number += 1
        self.routes.put(resource("a", content or f"good-{self.number}"))
        assert self.take(now) is not None

    def reply(self, now: float) -> None:
        _, (reply, content) = self.due.pop(0)
        sent, _ = self.answer(reply, content)
        self.standing.answered(now, sent.at, self.state.subscriptions.values())

    def at(self, now: float) -> State:
        return standing_of(self, now)


@pytest.fixture
def client(delta: bool) -> Client:
    return Client(Collection(Clock(), ROUTE), delta)


def test_who_is_in_sync_for_a_while_has_proved_itself(client: Client) -> None:
    assert client.at(PROOF - 0.1) == "new"
    assert client.at(PROOF) == "proved"
    client.round(PROOF, PROOF + 0.1)
    assert client.at(PROOF + 0.1) == "proved"


def test_who_rejects_something_proves_itself_anew_when_it_is_in_sync_again(client: Client) -> None:
    client.round(20, 20, "bad")
    assert client.at(20) == client.at(100) == "rejecting"
    client.round(100, 100)
    assert client.at(100 + PROOF - 0.1) == "rejecting"
    assert client.at(100 + PROOF) == "proved"


def test_who_is_outvoted_proves_itself_anew(client: Client) -> None:
    client.round(20, 20, "bad")
    client.standing.outvote(20)
    assert client.at(100) == "outvoted"
    client.round(100, 100)
    assert client.at(100 + PROOF - 0.1) == "outvoted"
    assert client.at(100 + PROOF) == "proved"


def test_who_gives_no_answer_is_silent_until_it_does(client: Client) -> None:
    client.send(20)
    assert client.at(20 + SILENCE - 0.1) == "proved"
    assert client.at(20 + SILENCE) == "silent"
    client.reply(30)
    assert client.at(30) == "new"
    assert client.at(30 + PROOF) == "proved"


def test_who_answers_some_replies_is_silent_while_one_is_old(client: Client) -> None:
    client.send(20)
    for now in (21, 22, 23):
        client.send(now)
    client.reply(21)
    assert client.at(22.9) == "proved"
    assert client.at(23) == "silent"


def test_who_takes_nothing_is_silent(client: Client) -> None:
    client.standing.blocked(20)
    client.standing.blocked(21)
    assert client.at(20 + SILENCE - 0.1) == "proved"
    assert client.at(20 + SILENCE) == "silent"
    client.standing.taking()
    assert client.at(20 + SILENCE) == "proved"


def test_who_is_late_twice_in_a_minute_is_slow_for_a_minute(client: Client) -> None:
    client.round(20, 20 + LATE + 0.1)
    assert client.at(22) == "new"
    client.round(30, 30 + LATE + 0.1)
    assert client.at(32) == "slow"
    client.round(40, 40)
    assert client.at(20 + FORGIVEN) == "slow"
    assert client.at(22 + FORGIVEN) == "proved"


def test_those_that_are_silent_or_slow_are_not_waited_for(delta: bool) -> None:
    clock = Clock()
    silent, slow, *others = (Client(Collection(clock, ROUTE), delta) for _ in range(4))
    for sent in (20, 30):
        slow.round(sent, sent + LATE + 0.1)
    silent.send(30)
    for client in (slow, *others):
        client.send(33)
    waiter: Waiter[Client] = Waiter(clock.now, [silent, slow, *others])
    assert waiter.leave_out_silent(33) == [silent, slow]
    assert list(waiter.streams) == others


def test_slow_ones_are_waited_for_if_most_are_slow(delta: bool) -> None:
    clock = Clock()
    clients = [Client(Collection(clock, ROUTE), delta) for _ in range(3)]
    for client in clients[:2]:
        for sent in (20, 30):
            client.round(sent, sent + LATE + 0.1)
    for client in clients:
        client.send(33)
    waiter: Waiter[Client] = Waiter(clock.now, clients)
    assert waiter.leave_out_silent(33) == []
    assert list(waiter.streams) == clients


def test_who_is_outvoted_and_late_counts_as_both(client: Client) -> None:
    client.standing.outvote(20)
    for sent in (20, 30):
        client.round(sent, sent + LATE + 0.1)
    assert client.at(32) == "outvoted"
    assert client.standing.slow(32)


def test_who_has_not_proved_itself_is_not_waited_for_as_long(delta: bool) -> None:
    clock = Clock()
    fresh, *others = (Client(Collection(clock, ROUTE), delta) for _ in range(3))
    fresh.standing = Standing(33)
    for client in (fresh, *others):
        client.send(33)
    waiter: Waiter[Client] = Waiter(clock.now, [fresh, *others])
    assert waiter.leave_out_silent(33) == []
    assert waiter.leave_out_new(33) == [fresh]
    assert list(waiter.streams) == others


def test_those_that_all_come_back_are_waited_for(delta: bool) -> None:
    clock = Clock()
    clients = [Client(Collection(clock, ROUTE), delta) for _ in range(3)]
    for client in clients:
        client.standing = Standing(33)
        client.send(33)
    waiter: Waiter[Client] = Waiter(clock.now, clients)
    assert waiter.leave_out_new(33) == []


def test_many_streams_of_one_address_are_not_the_most(delta: bool) -> None:
    clock = Clock()
    clients = [Client(Collection(clock, ROUTE), delta) for _ in range(6)]
    for number, client in enumerate(clients):
        client.address = "10.9.9.9" if number < 4 else f"10.0.0.{number}"
    for client in clients[:4]:
        client.standing = Standing(33)
    for client in clients:
        client.send(33)
    waiter: Waiter[Client] = Waiter(clock.now, clients)
    assert waiter.leave_out_new(33) == clients[:4]
