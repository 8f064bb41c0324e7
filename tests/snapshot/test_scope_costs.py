"""What sidecars cost that each name other services in `calls`: in proportion to what they name."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Instance, Service
from controlplane.snapshot import scope
from controlplane.snapshot.nodes import SidecarNode, parse_node
from controlplane.snapshot.publisher import Publisher
from controlplane.snapshot.sidecars import SidecarView
from controlplane.translate import outbound
from controlplane.translate.domains import Domains
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.messages import DeltaRequest
from controlplane.xds.resource import CLUSTER, Resource
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.view import View

SERVICES, NAMED, VIEWS = 100, 80, 60


def publisher(*, contested: bool = False) -> Publisher:
    """A mesh of services with two instances each; where `contested`, all of them claim one address."""
    services: dict[str, Service] = {}
    for number in range(SERVICES):
        places = [f"10.0.{number}.1", f"10.0.{number}.2"] + (["10.1.0.1"] if contested else [])
        instances = tuple(Instance(address, 80, None, f"app-{number}") for address in places)
        services[f"file///s{number}"] = Service(f"file///s{number}", "file", f"s{number}", instances)

    def resolve(name: str) -> str:
        if f"file///{name}" in services:
            return f"file///{name}"
        raise LookupError(name)

    made = Publisher()
    made.publish(Definitions(), Deployed(), services, resolve)
    return made


def node(number: int, named: int = NAMED) -> SidecarNode:
    names = random.Random(number).sample(range(SERVICES), named)
    calls = [f"s{one}" for one in names] + [f"unknown-{number}"]
    parsed = parse_node("app", {"role": "sidecar", "address": "10.9.9.9", "calls": calls}, None)
    assert isinstance(parsed, SidecarNode)
    return parsed


def connect(made: Publisher, number: int, named: int = NAMED) -> View:
    """A sidecar with calls of its own that takes all of its clusters."""
    view = made.view(node(number, named))
    subscription = DeltaSubscription(CLUSTER, view)
    subscription.receive(DeltaRequest(type_url=CLUSTER, resource_names_subscribe=["*"]))
    assert subscription.compose()
    return view


def test_what_a_scope_of_its_own_holds_is_little_and_is_freed() -> None:
    made = publisher()
    connect(made, 0, SERVICES).release()  # what all have in common is made
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        views = [connect(made, number) for number in range(1, VIEWS)]
        held = tracemalloc.get_traced_memory()[0] - before
        while views:
            views.pop().release()
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held / VIEWS / NAMED < 750  # bytes for each name; a name of two letters is 8 on the wire
    assert left < held / 20  # and the collector was not needed


def test_names_in_calls_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    made = publisher()
    monkeypatch.setattr(scope, "MOST_NAMES", 2 * (NAMED + 1))
    first, second, third = (made.view(node(number)) for number in range(3))
    again = made.view(node(0))  # equal to the first, and costs nothing

    def size(view: View) -> int:
        return sum(len(part) for part in view.of(CLUSTER))

    assert isinstance(third, SidecarView)
    assert size(first) == size(second) == size(again) < size(third) == size(made.view(node(9, SERVICES)))
    assert "may call everything" in third.warnings()[-1]
    assert not any("may call everything" in text for one in (first, again) for text in one.warnings())
    first.release()
    again.release()
    fourth = made.view(node(4))
    assert size(fourth) == size(second)
    for one in (second, third, fourth):
        one.release()


def test_hosts_and_addresses_are_worked_out_once_for_all_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = publisher()
    worked = itertools.count()
    of = Domains.of
    monkeypatch.setattr(Domains, "of", lambda *given: (next(worked), of(*given))[1])
    for number in range(20):
        connect(made, number)
    assert next(worked) <= SERVICES


def test_an_address_of_many_services_is_shared_in_each_scope() -> None:
    made = publisher(contested=True)
    for number in range(3):
        view = made.view(node(number))
        hosts = {host.name for part in view.collections.values() for one in part for host in one}
        assert outbound.shared_name(True, "10.1.0.1:80") in hosts


# A collection that is made with its resources is the same as one that got them one after the other.

Step = tuple[str, int | None]
steps = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 2)), max_size=12)


def resource(name: str, content: int) -> Resource:
    return Resource.of(name, f"{content}".encode(), (f"alias of {name}",) if content else ())


@given(st.sets(st.sampled_from("abcd")), steps)
def test_a_collection_remembers_what_it_was_made_with(start: set[str], changes: list[Step]) -> None:
    first = [resource(name, 0) for name in sorted(start)]
    clock = Clock()
    filled, grown = Collection(clock, CLUSTER, first), Collection(clock, CLUSTER)
    for one in first:
        grown.put(one)
    cursors = [(0, 0), (filled.changed_at, grown.changed_at)]
    for name, content in changes:
        for collection in (filled, grown):
            if content is None:
                collection.remove(name)
            else:
                collection.put(resource(name, content))
        cursors.append((filled.changed_at, grown.changed_at))
    for one, other in cursors:
        assert filled.changes_since(one) == grown.changes_since(other)
    assert filled.weight == grown.weight
    assert {one.name for one in filled} == {one.name for one in grown}
    assert [filled.get(f"alias of {name}") for name in "abcd"] == [
        grown.get(f"alias of {name}") for name in "abcd"
    ]
