"""Clients that come back with much: what is kept of one's request must be right for each other's."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds import messages, returning, wire
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.resource import CLUSTER, ENDPOINT
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.world import World

NAMES = [f"name-{number:03}" for number in range(60)]


def request(names: list[str], versions: Mapping[str, str], order: random.Random) -> messages.Message:
    """As it comes from the wire, with the versions in an order of its own."""
    entries = list(versions.items())
    order.shuffle(entries)
    whole = messages.DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=names)
    whole.initial_resource_versions.update(versions)
    received = messages.OpaqueDeltaRequest.FromString(whole.SerializeToString())
    del received.initial_resource_versions[:]
    received.initial_resource_versions.extend(wire.entry(*entry) for entry in entries)
    return received


versions_of_some = st.fixed_dictionaries(
    {name: st.just("1") for name in NAMES[:36]},
    optional={name: st.sampled_from(["1", "2"]) for name in NAMES[36:46]},
).map(lambda chosen: dict(chosen) | dict.fromkeys(NAMES[46:50], "1"))


@given(st.lists(st.tuples(versions_of_some, st.integers(0, 2)), min_size=1, max_size=8), st.randoms())
def test_what_a_request_says_does_not_depend_on_those_before(
    said: list[tuple[dict[str, str], int]], order: random.Random
) -> None:
    for versions, fewer in said:
        names = NAMES[: len(NAMES) - fewer]
        found = returning.asked(request(names, versions, order))
        assert found == (frozenset(names), frozenset(wire.entry(*entry) for entry in versions.items()))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 9)), min_size=1, max_size=8))
def test_the_names_of_a_request_do_not_depend_on_those_before(said: list[tuple[int, bool, int]]) -> None:
    for first, rejected, nonce in said:
        names = NAMES[first : first + 40]
        whole = messages.SotwRequest(type_url=ENDPOINT, resource_names=names, response_nonce=str(nonce))
        if rejected:
            whole.error_detail.message = "no"
        assert returning.names(whole) == frozenset(names)
        assert whole.HasField("error_detail") == rejected
        assert whole.type_url == ENDPOINT


def test_a_version_that_is_said_twice_is_kept_for_nobody() -> None:
    order = random.Random(1)
    versions = dict.fromkeys(NAMES[:40], "twice")
    twice = request(NAMES, versions, order)
    twice.initial_resource_versions[0] = twice.initial_resource_versions[1]
    assert len(returning.asked(twice)[1]) == 39
    assert len(returning.asked(request(NAMES, versions, order))[1]) == 40


@given(
    st.sets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "2"]), min_size=1),
    st.booleans(),
)
def test_a_client_gets_what_differs_and_is_told_of_what_is_gone(
    there: set[str], had: dict[str, str], wildcard: bool
) -> None:
    now = {name: resource(name, "1") for name in there}
    clock = Clock()
    view = View(clock, {CLUSTER: [Collection(clock, CLUSTER, list(now.values()))]})
    subscription = DeltaSubscription(CLUSTER, view)
    versions = {name: resource(name, content).version for name, content in had.items()}
    names = ["*"] if wildcard else NAMES[:30]
    subscription.receive(
        messages.DeltaRequest(
            type_url=CLUSTER, resource_names_subscribe=names, initial_resource_versions=versions
        )
    )
    composed = subscription.compose()
    reply = messages.DeltaResponse.FromString(b"".join(composed or ()))
    wanted = there if wildcard else there & set(names)
    assert {one.name for one in reply.resources} == {
        name for name in wanted if versions.get(name) != now[name].version
    }
    gone = {name for name in had if name not in there and (wildcard or name in names)}
    missing = set() if wildcard else {name for name in names if name not in there}
    assert set(reply.removed_resources) == gone | missing


@pytest.mark.parametrize("rounds", [2])
async def test_a_fleet_that_comes_back_gets_what_each_lacks(world: World, rounds: int) -> None:
    resources = [resource(name) for name in NAMES]
    for one in resources:
        world[ENDPOINT].put(one)
    had = {one.name: one.version for one in resources}
    changed = resource(NAMES[7], "2")
    world[ENDPOINT].put(changed)
    fleets: list[tuple[dict[str, str], list[str], list[str]]] = [
        (had, [changed.name], []),
        ({**had, changed.name: changed.version}, [], []),
        ({**had, NAMES[3]: "other"}, [NAMES[3], changed.name], []),
        ({**had, "gone": "1"}, [changed.name], ["gone"]),
        ({name: version for name, version in had.items() if name != NAMES[9]}, [changed.name, NAMES[9]], []),
    ]
    for number in range(rounds):
        for index, (versions, lacks, gone) in enumerate(fleets):
            entries = list(versions.items())
            random.Random(index * rounds + number).shuffle(entries)
            stream = world.connect(f"{index}-{number}", delta=True)
            await stream.subscribe(ENDPOINT, [*NAMES, *gone], initial=dict(entries))
            if lacks or gone:
                await stream.expect(ENDPOINT, lacks, removed=gone)
            await stream.quiet()
