"""The trial of changes by itself: whatever happens in whatever order, two clients have a change before all,
and what they reject reaches nobody else.

Three to five model clients share one view. A route's content names the cluster that it uses; a change brings
the new cluster and takes the old one away. Beside the trial's own rules: clients end with the view, nobody is
sent what it has, and nobody is told that a cluster is gone which its route uses.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controlplane.xds import messages
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.jury import QUORUM, Event
from controlplane.xds.node import Node
from controlplane.xds.resource import CLUSTER, LISTENER, ROUTE
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.sotw import SotwSubscription
from controlplane.xds.standing import Standing
from controlplane.xds.stream_state import StreamState
from controlplane.xds.trial import Trials
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.trial_owner import TrialOwner

TYPES = (CLUSTER, LISTENER, ROUTE)
CONTENTS = ("p", "q", "r")

MEMBERS = 5
WAIT = 0.5
RETRY = 1.0

clients = st.integers(0, MEMBERS - 1)
tried = st.sampled_from([LISTENER, ROUTE])
names = st.sampled_from(["a", "b"])
operations = st.one_of(
    st.tuples(st.just("change"), tried, names, st.sampled_from(CONTENTS), st.booleans()),
    st.tuples(st.just("change"), tried, names, st.sampled_from(CONTENTS), st.just(False)),
    st.tuples(st.just("remove"), tried, names),
    st.tuples(st.just("flush")),
    st.tuples(st.just("take"), clients),
    st.tuples(st.just("answer"), clients, st.sampled_from(["", "", "no"])),
    st.tuples(st.just("drain"), clients, st.sampled_from(["", "", "no"])),
    st.tuples(st.just("pass_time"), st.sampled_from([WAIT, WAIT, 3.0, 12.0])),
    st.tuples(st.just("reconnect"), clients),
)


class Client:
    def __init__(self, number: int, view: View, delta: bool, now: float, address: str = "") -> None:
        self.node = Node(f"node-{number}")
        self.address = address
        self.party = ""
        self.standing = Standing(now)
        self.delta = delta
        self.state: StreamState[Any] = StreamState(view, DeltaSubscription if delta else SotwSubscription)
        self.have: dict[str, dict[str, str]] = {type_url: {} for type_url in TYPES}
        self.sent: dict[str, dict[str, str]] = {type_url: {} for type_url in TYPES}
        self.rejected: dict[str, dict[str, list[str]]] = {type_url: {} for type_url in TYPES}
        """By name what it rejected since it accepted something of that name."""
        self.doubted: set[tuple[str, str]] = set()
        """What it rejected something of, or what was removed: it may be told once more what it has."""
        self.versions: dict[str, str] = {}
        self.unanswered: list[Any] = []
        self.new = set(TYPES)
        self._request = messages.DeltaRequest if delta else messages.SotwRequest
        for type_url in TYPES:
            named = {"resource_names_subscribe" if delta else "resource_names": self.names(type_url)}
            self.state.receive(self._request(type_url=type_url, **named))  # pyright: ignore[reportArgumentType]

    @staticmethod
    def names(type_url: str) -> list[str]:
        return ["a", "b"] if type_url == ROUTE else []

    def take(self, now: float) -> tuple[Any, dict[str, str]] | None:
        raw = self.state.next(now)
        if raw is None:
            return None
        reply = (messages.DeltaResponse if self.delta else messages.SotwResponse).FromString(b"".join(raw))
        bodies = [part.resource.value if self.delta else part.value for part in reply.resources]
        self.unanswered.append(reply)
        return reply, dict(body.decode().split("|") for body in bodies)

    def answer(self, reply: Any, error: str) -> tuple[str, Any]:
        request = self._request(type_url=reply.type_url, response_nonce=reply.nonce)
        if not self.delta:
            if not error:
                self.versions[reply.type_url] = reply.version_info
            request.resource_names.extend(self.names(reply.type_url))
            request.version_info = self.versions.get(reply.type_url, "")
        if error:
            request.error_detail.message = error
        return reply.type_url, self.state.receive(request)


class Fleet(TrialOwner[Client]):
    """The clients, and the owner of the trials."""

    def __init__(self, delta: bool) -> None:
        super().__init__()
        self.delta = delta
        clock = Clock()
        self.parts = {type_url: Collection(clock, type_url) for type_url in TYPES}
        self.view = View(clock, {type_url: [part] for type_url, part in self.parts.items()})
        self.events: list[Event] = []
        self.trials = Trials(WAIT, RETRY, self)
        for type_url in (LISTENER, ROUTE):
            self.parts[type_url].gate = self.trials
        self.wanted: dict[tuple[str, str], str] = {}
        self.shown: dict[tuple[str, str, str], set[Client]] = {}
        self.free: set[tuple[str, str, str]] = set()
        self.nacked: set[tuple[str, str, str]] = set()
        self.spare = 0
        for type_url in (LISTENER, ROUTE):
            for name in ("a", "b"):
                self.change(type_url, name, "p", False)
        self.members = [Client(number, self.view, delta, 0.0) for number in range(MEMBERS)]
        for number in range(MEMBERS):
            self.drain(number, "")

    # The owner.

    def over(self, collection: Collection) -> None:
        """Everyone may have what is not on trial."""
        for part in collection:
            if not self.on_trial(collection.type_url, part.name):
                self.free.add((collection.type_url, part.name, content(part)))

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def on_trial(self, type_url: str, name: str) -> bool:
        return name in self.trials.names(self.parts[type_url])

    # What happens.

    def change(self, type_url: str, name: str, content: str, at_once: bool) -> None:
        part = self.parts[type_url]
        used = set(self.wanted.values())
        self.wanted[type_url, name] = content
        self.parts[CLUSTER].put(resource(content))
        with self.trials.at_once() if at_once else nullcontext():
            changed = part.put(resource(name, content))
        if changed and self.on_trial(type_url, name):
            self.free.discard((type_url, name, content))
            self.shown.pop((type_url, name, content), None)
        self.over(part)
        for gone in used - set(self.wanted.values()):
            self.parts[CLUSTER].remove(gone)

    def remove(self, type_url: str, name: str) -> None:
        self.wanted.pop((type_url, name), None)
        self.parts[type_url].remove(name)
        for client in self.members:
            client.doubted.add((type_url, name))

    def flush(self) -> None:
        for part in self.parts.values():
            self.trials.choose(part)

    def pass_time(self, seconds: float) -> None:
        until = self.time + seconds
        while due := [timer for timer in self.timers if timer.at <= until and timer.what is not None]:
            timer = min(due, key=lambda timer: timer.at)
            self.time = max(self.time, timer.at)
            what, timer.what = timer.what, None
            assert what is not None
            what()
            self.spare += 1  # who had the time to answer is replaced
            self.flush()
        self.time = until
        self.timers = [timer for timer in self.timers if timer.what is not None]

    def take(self, number: int) -> bool:
        client = self.members[number]
        taken = client.take(self.time)
        if taken is None:
            return False
        reply, got = taken
        type_url = reply.type_url
        asked = type_url in client.new
        client.new.discard(type_url)
        have = client.have[type_url]
        full = not self.delta and type_url in (CLUSTER, LISTENER)
        gone = have.keys() - got.keys() if full else set(getattr(reply, "removed_resources", ()))
        if type_url == CLUSTER:
            there = [part.name for part in self.parts[ROUTE]]
            sure = [client.have[ROUTE].get(name) for name in there] if not client.rejected[ROUTE] else []
            assert gone.isdisjoint(sure), "it was told that a cluster is gone which its route uses"
        for name, new in got.items():
            again = new == client.sent[type_url].get(name)
            allowed = full or type_url == CLUSTER or asked or (type_url, name) in client.doubted
            assert allowed or not again, f"{name} was sent again"
            if new != have.get(name) and not asked and type_url != CLUSTER:
                self._show(client, (type_url, name, new))
            client.doubted.discard((type_url, name))
        client.sent[type_url] |= got
        for name in gone:
            have.pop(name, None)
            client.sent[type_url].pop(name, None)
            client.rejected[type_url].pop(name, None)
        return True

    def _show(self, client: Client, key: tuple[str, str, str]) -> None:
        shown = self.shown.setdefault(key, set())
        shown.add(client)
        assert key in self.free or len(shown) <= QUORUM + 1 + self.spare, f"{key} went to many untried"

    def answer(self, number: int, error: str) -> None:
        client = self.members[number]
        if not client.unanswered:
            return
        reply = client.unanswered.pop(0)
        type_url = reply.type_url
        bodies = [part.resource.value if self.delta else part.value for part in reply.resources]
        got = dict(body.decode().split("|") for body in bodies)
        if not got or type_url == CLUSTER:
            error = ""
        keys = {(type_url, name, new) for name, new in got.items()}
        if error:
            self.nacked |= keys
            client.doubted |= {(type_url, name) for name in got}
            for name, new in got.items():
                if client.have[type_url].get(name) != new:
                    client.rejected[type_url].setdefault(name, []).append(new)
        else:
            for name, new in got.items():
                client.rejected[type_url].pop(name, None)
                client.have[type_url][name] = new
        type_url, sent = client.answer(reply, error)
        if sent is None:
            return
        client.standing.answered(self.time, sent.at, client.state.subscriptions.values())
        nack = client.state.subscriptions[type_url].nack if error else None
        before = self.trials.held()
        self.trials.answered(client, type_url, sent, nack)
        for held in self.trials.held():
            if held not in before:
                key = (held.type_url, held.resource.name, content(held.resource))
                assert key in self.nacked

    def drain(self, number: int, error: str) -> None:
        self.flush()
        for _ in range(100):
            if self.members[number].unanswered:
                self.answer(number, error)
            elif not self.take(number):
                return
        raise AssertionError("the stream does not come to rest")

    def reconnect(self, number: int) -> None:
        left = self.members[number]
        self.members[number] = Client(number, self.view, self.delta, self.time)
        self.spare += 1
        self.trials.left(left)

    # What must hold in the end.

    def check(self) -> None:
        for _ in range(6):
            self.flush()
            for number in range(MEMBERS):
                self.drain(number, "")
            self.pass_time(WAIT)
        held = {(one.type_url, one.resource.name): one for one in self.trials.held()}
        for (type_url, name), wanted in self.wanted.items():
            now = self.parts[type_url].get(name)
            assert now is not None
            if (type_url, name) in held:
                assert content(held[type_url, name].resource) == wanted != content(now)
                assert (type_url, name, wanted) in self.nacked
                assert held[type_url, name].confirmed
            else:
                assert content(now) == wanted
        for client in self.members:
            assert client.state.settled(0)
            for type_url in (LISTENER, ROUTE):
                assert not any(part.waits() for part in client.state.subscriptions.values())
                for part in self.parts[type_url]:
                    if content(part) not in client.rejected[type_url].get(part.name, ()):
                        assert client.have[type_url].get(part.name) == content(part)


def content(part: Any) -> str:
    return part.body.decode().split("|")[1]


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    report_multiple_bugs=False,
)
@given(steps=st.lists(operations, min_size=10, max_size=50))
@example(steps=[("reconnect", 0), ("change", ROUTE, "a", "r", False), ("drain", 0, "no")])
def test_two_clients_have_a_change_before_the_others(delta: bool, steps: list[tuple[Any, ...]]) -> None:
    fleet = Fleet(delta)
    for step, *arguments in steps:
        getattr(fleet, step)(*arguments)
    fleet.check()


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
def test_removed_clusters_stay_as_long_as_a_change_is_held(delta: bool) -> None:
    fleet = Fleet(delta)
    fleet.change(ROUTE, "a", "q", True)
    for number in range(MEMBERS):
        fleet.drain(number, "")
    fleet.change(ROUTE, "a", "r", False)  # q is used no more, and gone
    for number in range(MEMBERS):
        fleet.drain(number, "no")
    assert [one.resource.name for one in fleet.trials.held()] == ["a"]
    for client in fleet.members:
        assert client.state.next(1e6) is None
        assert client.state.wake_at() is None
        assert "q" in client.have[CLUSTER]
    fleet.change(ROUTE, "a", "p", False)
    fleet.check()
    for client in fleet.members:
        assert "q" not in client.have[CLUSTER]
