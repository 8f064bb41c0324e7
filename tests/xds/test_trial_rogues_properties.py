"""Whoever connects, and whatever it says: what good clients accept reaches all of them in time, what all of
them reject reaches two of them, and nothing stays held when those who rejected it have left.

Model clients on a model clock. Good ones answer at once, as an Envoy does; rogues reject, accept or ignore
all that changes, or answer late. Those of one rogue have any number of streams and node ids, but one address.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controlplane.xds import messages
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.jury import QUORUM, Ballot
from controlplane.xds.node import Node
from controlplane.xds.resource import ROUTE
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.sotw import SotwSubscription
from controlplane.xds.standing import Standing
from controlplane.xds.stream_state import StreamState
from controlplane.xds.trial import ROUNDS, Trials
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.trial_owner import TrialOwner

WAIT = 0.5
RETRY = 1.0
FIRST = "0"
KINDS = ("reject", "accept", "ignore", "late")

numbers = st.integers(0, 9)
events = st.one_of(
    st.tuples(st.just("join"), st.sampled_from(["good", "good", *KINDS])),
    st.tuples(st.just("leave"), numbers),
    st.tuples(st.just("answer_and_leave"), numbers),
    st.tuples(st.just("come_back"), numbers),
    st.tuples(st.just("ask_again"), numbers),
)
operations = st.one_of(
    st.tuples(st.just("change"), st.booleans()),
    st.tuples(st.just("change"), st.booleans(), events),
    events,
    st.tuples(st.just("run"), st.sampled_from([0.1, 3.0, 12.0])),
)


class Member:
    """A client of the route `a`; `kind` says how it answers changes."""

    def __init__(
        self, node: str, address: str, party: str, kind: str, view: View, delta: bool, now: float
    ) -> None:
        self.party = party
        self.node = Node(node)
        self.address = address
        self.kind = kind
        self.standing = Standing(now)
        self.delta = delta
        self.state: StreamState[Any] = StreamState(view, DeltaSubscription if delta else SotwSubscription)
        self.have = ""
        self.first = True
        self.due: list[tuple[float, Any]] = []
        self._version = ""
        self._request = messages.DeltaRequest if delta else messages.SotwRequest
        named = {"resource_names_subscribe" if delta else "resource_names": ["a"]}
        self.state.receive(self._request(type_url=ROUTE, **named))  # pyright: ignore[reportArgumentType]

    @property
    def good(self) -> bool:
        return self.kind == "good"

    def take(self, now: float) -> str | None:
        """The content that it is sent, if it is sent any."""
        raw = self.state.next(now)
        if raw is None:
            return None
        reply = (messages.DeltaResponse if self.delta else messages.SotwResponse).FromString(b"".join(raw))
        bodies = [part.resource.value if self.delta else part.value for part in reply.resources]
        content = bodies[0].decode().split("|")[1] if bodies else ""
        wait = {"late": 0.8, "ignore": 1e9}.get(self.kind, 0.0) if not self.first else 0.0
        self.due.append((now + wait, (reply, content)))
        return content

    def answer(self, reply: Any, content: str) -> tuple[Any, Any]:
        rejected = content.startswith("bad") if self.good else self.kind == "reject" and not self.first
        self.first = False
        request = self._request(type_url=ROUTE, response_nonce=reply.nonce)
        if rejected:
            request.error_detail.message = "no"
        elif content:
            self.have = content
        if not self.delta:
            self._version = self._version if rejected else reply.version_info
            request.resource_names.append("a")
            request.version_info = self._version
        sent = self.state.receive(request)
        return sent, self.state.subscriptions[ROUTE].nack if rejected else None

    def ask(self) -> None:
        if self.delta:
            self.state.receive(messages.DeltaRequest(type_url=ROUTE, resource_names_subscribe=["a"]))


class Population(TrialOwner[Member]):
    """The clients, and the owner of the trials."""

    def __init__(self, delta: bool, ballot: Ballot) -> None:
        super().__init__()
        self.delta = delta
        self.ballot = ballot
        clock = Clock()
        self.routes = Collection(clock, ROUTE, [resource("a", FIRST)])
        self.view = View(clock, {ROUTE: [self.routes]})
        self.trials = Trials(WAIT, RETRY, self)
        self.routes.gate = self.trials
        self.wanted = FIRST
        self.reached: set[Member] = set()
        """Good ones that were sent the present change."""
        self.gone = 0
        """Clients that left since it was made."""
        self._number = 0

    # What happens.

    def join(self, kind: str) -> None:
        self._number += 1
        rogues = [member for member in self.members if not member.good]
        if kind == "good":
            address = f"10.0.0.{self._number}" if self.ballot == "address" else "10.0.0.1"
            self._add(f"good-{self._number}", address, kind)
        elif self.ballot == "address":
            self._add(f"rogue-{self._number}", "10.9.9.9", kind)
        elif self.ballot == "party":
            self._add(f"rogue-{self._number}", "10.0.0.1", kind)
        elif len(rogues) < 3:
            self._add("rogue", "10.0.0.1", kind)

    def _add(self, node: str, address: str, kind: str) -> None:
        party = "" if self.ballot != "party" else f"application {node if kind == 'good' else 'rogue'}"
        self.members.append(Member(node, address, party, kind, self.view, self.delta, self.time))
        self._take(self.members[-1])
        self.run(0.01)

    def leave(self, number: int) -> None:
        if number < len(self.members):
            left = self.members.pop(number)
            self.gone += 1
            self.trials.left(left)
            self.run(0.01)

    def answer_and_leave(self, number: int) -> None:
        if number < len(self.members):
            self._take(self.members[number])
            self._answer(self.members[number])
            self.leave(number)

    def come_back(self, number: int) -> None:
        if number < len(self.members):
            left = self.members[number]
            self.leave(number)
            self._add(left.node.id, left.address, left.kind)

    def ask_again(self, number: int) -> None:
        if number < len(self.members):
            self.members[number].ask()
            self._take(self.members[number])
            self.run(0.01)

    def change(self, good: bool, amid: tuple[Any, ...] | None = None) -> None:
        """Change the route, and let something happen amid that. Then what must hold is looked at."""
        self._number += 1
        self.wanted = f"{'good' if good else 'bad'}-{self._number}"
        self.reached = set()
        self.gone = 0
        self.routes.put(resource("a", self.wanted))
        self.trials.choose(self.routes)
        if amid is not None:
            getattr(self, amid[0])(*amid[1:])
        self.run(ROUNDS * WAIT + RETRY + 0.01)
        self.check()

    def run(self, seconds: float) -> None:
        """Let everyone take and answer, and time go on."""
        until = self.time + seconds
        while True:
            self._work()
            timers = [timer.at for timer in self.timers if timer.what is not None]
            times = [*timers, *(at for member in self.members for at, _ in member.due)]
            at = min((at for at in times if at > self.time), default=until)
            if at >= until:
                self.time = until
                return
            self.time = at

    def _work(self) -> None:
        busy = True
        while busy:
            busy = False
            for timer in self.timers:
                if timer.what is not None and timer.at <= self.time:
                    what, timer.what = timer.what, None
                    what()
                    busy = True
            self.timers = [timer for timer in self.timers if timer.what is not None]
            self.trials.choose(self.routes)
            for member in tuple(self.members):
                busy |= self._take(member) or self._answer(member)

    def _take(self, member: Member) -> bool:
        content = member.take(self.time)
        if content == self.wanted and member.good:
            self.reached.add(member)
        return content is not None

    def _answer(self, member: Member) -> bool:
        if not member.due or member.due[0][0] > self.time:
            return False
        _, (reply, content) = member.due.pop(0)
        sent, nack = member.answer(reply, content)
        if sent is not None:
            member.standing.answered(self.time, sent.at, member.state.subscriptions.values())
            self.trials.answered(member, ROUTE, sent, nack)
        return True

    # What must hold.

    def check(self) -> None:
        good = [member for member in self.members if member.good]
        if self.wanted.startswith("bad"):
            assert len(self.reached) <= QUORUM + self.gone, "a bad change went to many"
        else:
            assert all(member.have == self.wanted for member in good), "a good change was held back"

    def all_rogues_leave(self) -> None:
        for number in reversed(range(len(self.members))):
            if not self.members[number].good:
                self.leave(number)
        if not self.members:
            self.join("good")  # nobody is left to try what is held with
        self.run(2 * RETRY + 2 * ROUNDS * WAIT)
        if not self.wanted.startswith("bad"):
            assert self.trials.held() == []
            assert all(member.have == self.wanted for member in self.members)


COMMON = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    report_multiple_bugs=False,
)
variants = pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
many = st.lists(st.sampled_from(["good", "good", "good", *KINDS]), min_size=2, max_size=8)


@variants
@pytest.mark.parametrize("ballot", ["address", "node", "party"])
@COMMON
@given(first=many, steps=st.lists(operations, max_size=25))
@example(first=["reject", "good", "good"], steps=[("change", True)])
@example(first=["good", "good", "reject"], steps=[("change", True), ("ask_again", 2)])
@example(first=["accept", *["good"] * 5], steps=[("change", False)] * 5)
@example(first=["ignore", "good", "good"], steps=[("run", 12.0), ("change", False)])
@example(first=["ignore"] * 3 + ["good"] * 3, steps=[("run", 12.0), ("change", False)])
@example(first=["good"] * 2, steps=[("change", False, ("join", "good"))])
@example(first=["reject", "good", "good"], steps=[("change", False, ("answer_and_leave", 0))])
def test_a_rogue_neither_holds_back_nor_forces_a_change(
    delta: bool, ballot: Ballot, first: list[str], steps: list[tuple[Any, ...]]
) -> None:
    """Rogues have one vote: an address, a node, or an application with as many nodes as they like."""
    population = Population(delta, ballot)
    for kind in first:
        population.join(kind)
    for step, *arguments in steps:
        getattr(population, step)(*arguments)
    population.all_rogues_leave()


@variants
@COMMON
@given(first=many, steps=st.lists(operations, max_size=15), last=st.booleans())
def test_what_many_rogues_hold_is_let_go_when_they_leave(
    delta: bool, first: list[str], steps: list[tuple[Any, ...]], last: bool
) -> None:
    """More rogues than a jury can bear: each has an address."""
    population = Population(delta, "address")
    population.check = lambda: None  # what is held while they are there is not promised
    for kind in first:
        population.join(kind)
        population.members[-1].address += f"{len(population.members)}"
    for step, *arguments in steps:
        getattr(population, step)(*arguments)
    population.change(last)
    population.all_rogues_leave()
