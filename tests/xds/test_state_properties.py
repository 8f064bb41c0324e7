"""The state of a stream by itself: whatever happens in whatever order, the client ends with the snapshot's
view.

A model client does what the protocol asks of a client. After each drain: what it has equals what the snapshot
holds of what it subscribes to, nothing came that it already had unless there was a reason, nothing is
missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.xds import messages
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.sotw import SotwSubscription
from controlplane.xds.stream_state import StreamState
from controlplane.xds.view import View
from tests.xds.client import resource

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
LEGACY = (CLUSTER, LISTENER)
NAMES = ("a", "b", "c", "d")

types = st.sampled_from(TYPES)
some_names = st.lists(st.sampled_from([*NAMES, "*"]), max_size=3, unique=True)
operations = st.one_of(
    st.tuples(st.just("put"), types, st.sampled_from(NAMES), st.integers(0, 2)),
    st.tuples(st.just("remove"), types, st.sampled_from(NAMES)),
    st.tuples(st.just("subscribe"), types, some_names),
    st.tuples(st.just("unsubscribe"), types, some_names),
    st.tuples(st.just("drain"), st.sampled_from(["ack", "nack", "late"])),
    st.tuples(st.just("reconnect")),
)


class Client:
    """What a client knows of one type, and what it may be sent although it has it."""

    def __init__(self) -> None:
        self.started = False
        self.named = False
        self.wildcard = False
        self.names: set[str] = set()
        self.have: dict[str, str] = {}
        self.rejected: dict[str, str] = {}
        self.reasons: set[str] = set()
        self.stuck = False
        """It rejected a full set, and with it the news of what is gone."""
        self.kept: set[str] = set()
        """Names whose removal it rejected, or cannot be told of."""
        self.version = ""
        self.nonce = ""

    def interested(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def forget(self) -> None:
        self.have = {name: version for name, version in self.have.items() if self.interested(name)}


class Model:
    """A client of one variant, its stream, and the snapshot."""

    def __init__(self, delta: bool) -> None:
        self.delta = delta
        clock = Clock()
        self.shared = {type_url: Collection(clock, type_url) for type_url in TYPES}
        self.own = {type_url: Collection(clock, type_url) for type_url in TYPES}
        self.view = View(clock, {type_url: [self.shared[type_url], self.own[type_url]] for type_url in TYPES})
        self.clients = {type_url: Client() for type_url in TYPES}
        self.now = 0.0
        self.unanswered: list[Any] = []
        self.state = self._stream()

    def _stream(self) -> StreamState[Any]:
        return StreamState(self.view, DeltaSubscription if self.delta else SotwSubscription)

    def put(self, type_url: str, name: str, content: int) -> None:
        # a and b live in the shared collection, c and d in the node's own
        (self.shared if name < "c" else self.own)[type_url].put(resource(name, str(content)))

    def remove(self, type_url: str, name: str) -> None:
        (self.shared if name < "c" else self.own)[type_url].remove(name)

    def subscribe(self, type_url: str, names: Sequence[str]) -> None:
        client = self.clients[type_url]
        wanted = set(names)
        if self.delta:
            if not client.started:
                client.wildcard = "*" in wanted or (not wanted and type_url in LEGACY)
                client.reasons |= set(client.rejected)  # of which a new stream knows nothing
            elif "*" in wanted:
                client.wildcard = True
            client.names |= wanted - {"*"}
            client.reasons |= set(NAMES) if client.wildcard and "*" in wanted else wanted
            self._send(type_url, resource_names_subscribe=names)
        else:
            all_names = client.names | wanted
            wildcard = (client.wildcard and client.named) or "*" in wanted
            self._state_of_the_world(type_url, all_names | ({"*"} if wildcard else set()))

    def unsubscribe(self, type_url: str, names: Sequence[str]) -> None:
        client = self.clients[type_url]
        if not client.started:
            return
        dropped = set(names)
        if self.delta:
            client.wildcard = client.wildcard and "*" not in dropped
            client.names -= dropped
            client.reasons |= dropped
            self._send(type_url, resource_names_unsubscribe=names)
            client.forget()
        elif client.named:
            left = client.names - dropped
            wildcard = client.wildcard and "*" not in dropped
            self._state_of_the_world(type_url, left | ({"*"} if wildcard else set()))

    def _state_of_the_world(self, type_url: str, names: set[str]) -> None:
        client = self.clients[type_url]
        client.named = client.named or bool(names)
        wildcard = "*" in names or (not client.named and type_url in LEGACY)
        if client.wildcard and not wildcard:
            client.version = ""
        client.wildcard = wildcard
        if client.names - names:
            # Who dropped names cannot claim on the next stream to have what the version stands for.
            client.version = ""
        client.names = names - {"*"}
        client.reasons |= set(NAMES)
        self._send(
            type_url, resource_names=sorted(names), response_nonce=client.nonce, version_info=client.version
        )
        client.forget()

    def reconnect(self) -> None:
        """A new stream, on which the client says what it has."""
        self.unanswered.clear()
        self.state = self._stream()
        for type_url, client in self.clients.items():
            client.nonce = ""
            client.reasons |= set(client.rejected) | client.names - client.have.keys()
            there = {part.name for parts in self.view.of(type_url) for part in parts}
            # What is not there now is news on this stream when it comes back, rejected earlier or not.
            client.rejected = {name: version for name, version in client.rejected.items() if name in there}
            if not client.started:
                continue
            if self.delta:
                names = [*client.names, *(["*"] if client.wildcard else [])]
                if not names:
                    client.started = False
                    continue
                self._send(type_url, resource_names_subscribe=names, initial_resource_versions=client.have)
            else:
                client.reasons |= set(NAMES)
                names = sorted(client.names) + (["*"] if client.wildcard and client.named else [])
                if not names and client.named:
                    client.started = client.named = False
                    client.version = ""
                    continue
                self._send(type_url, resource_names=names, version_info=client.version)

    def _send(self, type_url: str, **fields: Any) -> None:
        self.clients[type_url].started = True
        kind = messages.DeltaRequest if self.delta else messages.SotwRequest
        self.state.receive(kind(type_url=type_url, **fields))

    def drain(self, answer: str) -> None:
        """Take responses until there are none, then answer those that were answered late."""
        for _ in range(200):
            raw = self.state.next(self.now)
            if raw is None:
                at = self.state.wake_at()
                if at is not None and not self.unanswered:
                    self.now = at
                    continue
                if not self.unanswered:
                    return
                for reply in self.unanswered:
                    self._answer(reply, "")
                self.unanswered.clear()
                continue
            kind = messages.DeltaResponse if self.delta else messages.SotwResponse
            reply = kind.FromString(b"".join(raw))
            reject = answer == "nack" and bool(reply.resources)
            self._take(reply, reject)
            if answer == "late":
                self.unanswered.append(reply)
            else:
                self._answer(reply, "no" if reject else "")
        raise AssertionError("the stream does not come to rest")

    def _answer(self, reply: Any, error: str) -> None:
        client = self.clients[reply.type_url]
        fields: dict[str, Any] = {"response_nonce": reply.nonce}
        if not self.delta:
            names = sorted(client.names) + (["*"] if client.wildcard and client.named else [])
            fields |= {"resource_names": names, "version_info": client.version}
        kind = messages.DeltaRequest if self.delta else messages.SotwRequest
        request = kind(type_url=reply.type_url, **fields)
        if error:
            request.error_detail.message = error
        self.state.receive(request)

    def _take(self, reply: Any, reject: bool) -> None:
        client = self.clients[reply.type_url]
        client.nonce = reply.nonce
        if self.delta:
            got = {part.name: part.version for part in reply.resources}
        else:
            bodies = [part.value.decode().split("|") for part in reply.resources]
            got = {name: resource(name, content).version for name, content in bodies}
        full = not self.delta and (client.wildcard or reply.type_url in LEGACY)
        for name, version in got.items():
            if not full and client.interested(name):
                refused = client.rejected.get(name)
                again = version == (client.have.get(name) if refused is None else refused)
                # Who rejected, or cannot be told, that it is gone may still have it when it is back.
                allowed = name in client.reasons or name in client.kept
                assert not again or allowed, f"{name} was sent again without reason"
        if reply.type_url == CLUSTER:
            # A cluster that is sent lets its endpoints be sent again.
            self.clients[ENDPOINT].reasons |= set(got)
        client.stuck = reject and full
        if reject:
            client.rejected |= got
            client.kept |= set(reply.removed_resources) if self.delta else set()
            return
        for name in got:
            client.rejected.pop(name, None)  # it took another version since: the rejected one is news again
        wanted = {name: version for name, version in got.items() if client.interested(name)}
        client.have = wanted if full else client.have | wanted
        client.version = "" if self.delta else reply.version_info
        if self.delta:
            for name in reply.removed_resources:
                client.have.pop(name, None)
                client.rejected.pop(name, None)

    def check(self) -> None:
        for type_url, client in self.clients.items():
            snapshot = {part.name: part.version for parts in self.view.of(type_url) for part in parts}
            client.reasons.clear()
            if not client.started:
                continue
            for name in NAMES:
                expected = snapshot.get(name) if client.interested(name) else None
                have = client.have.get(name)
                if (
                    expected is None
                    and not self.delta
                    and type_url in (ENDPOINT, ROUTE)
                    and not client.wildcard
                ):
                    client.kept.add(name)  # this variant cannot say of these that they are gone
                    continue
                if expected is None and (client.stuck or name in client.kept):
                    continue
                if expected is not None and client.rejected.get(name) == expected:
                    continue  # rejected, and not sent again until it changes
                assert have == expected, (type_url, name)
            assert self.state.settled(0)


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(drained=st.booleans(), steps=st.lists(operations, min_size=25, max_size=60))
def test_the_view_of_the_client_is_the_snapshots(
    delta: bool, drained: bool, steps: list[tuple[Any, ...]]
) -> None:
    model = Model(delta)
    for step, *arguments in steps:
        getattr(model, step)(*arguments)
        if step == "drain":
            model.check()
        elif step in ("subscribe", "unsubscribe", "reconnect") and drained:
            model.drain("ack")
            model.check()
    model.drain("ack")
    model.check()
    assert model.state.next(model.now) is None
