"""How many names one client may subscribe to, and what they may cost: who asks for more ends alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds import messages, wire
from controlplane.xds.bounds import Bounds
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.resource import CLUSTER, ENDPOINT
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.sotw import SotwSubscription
from controlplane.xds.subscription import NOTHING, frozen, joined, share, without
from controlplane.xds.view import View
from tests.xds.client import resource
from tests.xds.test_hostile import PROMPT, a_good_stream, latency
from tests.xds.world import World, Worlds

PATIENCE = 20.0  # seconds until a test gives up
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT

MANY = [f"n{index}" for index in range(Bounds().names + 1)]


async def test_a_request_with_too_many_names(world: World, delta: bool) -> None:
    good = await a_good_stream(world)
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, MANY)
    code, text = await stream.status()
    assert (code, "names" in text) == (EXHAUSTED, True)
    assert await latency(world, good, 2) < PROMPT


@given(
    names=st.lists(st.one_of(st.text(max_size=300), st.just("x" * 20_000)), max_size=40),
    most=st.integers(min_value=0, max_value=40),
    delta=st.booleans(),
)
def test_fields_are_counted_without_decoding(names: list[str], most: int, delta: bool) -> None:
    request = (
        messages.DeltaRequest(resource_names_subscribe=names)
        if delta
        else messages.SotwRequest(resource_names=names)
    )
    raw = request.SerializeToString()
    counted = sum(16 if len(name.encode()) >= 1 << 14 else 1 for name in names)
    assert not wire.more_fields(raw, counted)
    if len(names) > most:
        assert wire.more_fields(raw, most)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=20))
def test_fields_of_anything_are_counted(raw: bytes, most: int) -> None:
    assert wire.more_fields(raw, most) in (True, False)


async def test_names_as_many_as_fit_are_not_decoded(world: World, delta: bool) -> None:
    opaque = messages.OpaqueDeltaRequest if delta else messages.OpaqueSotwRequest
    field = b"\x1a\x07n\xff\xff\xff\xff\xff\xff"  # no text: decoding it would fail
    stream = world.connect(delta=delta)
    await stream.write(opaque(type_url=ENDPOINT).SerializeToString() + field * 100_000)
    code, text = await stream.status()
    assert (code, "more than 50000 names" in text) == (EXHAUSTED, True), text


async def test_names_of_all_types_count_together(worlds: Worlds, delta: bool) -> None:
    world = await worlds(names=100).start()
    stream = world.connect(delta=delta)
    await stream.subscribe(ENDPOINT, MANY[:60])
    await stream.reply() if delta else None
    await stream.subscribe(CLUSTER, MANY[:60])
    assert (await stream.status())[0] is EXHAUSTED


async def test_names_one_after_the_other_count_together(worlds: Worlds, delta: bool) -> None:
    world = await worlds(names=100).start()
    stream = world.connect(delta=delta)
    for index in range(101):
        await stream.subscribe(ENDPOINT, [MANY[index]] if delta else MANY[: index + 1])
    assert (await stream.status())[0] is EXHAUSTED


async def test_names_may_come_and_go(worlds: Worlds) -> None:
    world = await worlds(names=100, name_bytes=600).start()
    stream = world.connect(delta=True)
    await stream.subscribe(ENDPOINT, MANY[:90])
    await stream.reply()
    for index in range(500):
        await stream.subscribe(ENDPOINT, [f"x{index:03}"], unsubscribe=[f"x{index - 1:03}"])
    await stream.subscribe(CLUSTER)
    while (await stream.reply()).type_url != CLUSTER:
        pass


async def test_the_bytes_of_names_have_a_bound(worlds: Worlds, delta: bool) -> None:
    world = await worlds(name_bytes=10_000).start()
    stream = world.connect(delta=delta)
    for size in (4_000, 4_001, 4_002):
        await stream.subscribe(
            ENDPOINT, ["x" * size] if delta else ["x" * one for one in range(4_000, size + 1)]
        )
    assert (await stream.status())[0] is EXHAUSTED


sets = st.sets(st.sampled_from([f"{index}" for index in range(200)])).map(frozenset)


@given(sets, st.lists(st.tuples(st.booleans(), sets)))
def test_names_with_and_without_others(
    start: frozenset[str], changes: list[tuple[bool, frozenset[str]]]
) -> None:
    known: Any = share(start)
    expected = set(start)
    for more, names in changes:
        known = joined(known, names) if more else without(known, names)
        expected = expected | names if more else expected - names
        assert known == expected
        assert frozen(known) == expected
    assert share(start) == start


def cost(names: int, change: Callable[[DeltaSubscription, int], None]) -> float:
    """Seconds that 300 small requests take with so many names, the best of three."""
    clock = Clock()
    view = View(clock, {ENDPOINT: [Collection(clock, ENDPOINT)]})
    found: list[float] = []
    for _ in range(3):
        subscription = DeltaSubscription(ENDPOINT, view)
        request = messages.DeltaRequest(
            type_url=ENDPOINT, resource_names_subscribe=[f"n{index}" for index in range(names)]
        )
        subscription.receive(request)
        began = time.process_time()
        for index in range(300):
            change(subscription, index)
        found.append(time.process_time() - began)
    return min(found)


def subscribe(subscription: DeltaSubscription, index: int) -> None:
    subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=[f"x{index}"]))


def toggle(subscription: DeltaSubscription, index: int) -> None:
    changed = {f"resource_names_{'un' * (index % 2)}subscribe": ["n1"]}
    subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, **changed))


@pytest.mark.parametrize("change", [subscribe, toggle], ids=lambda change: change.__name__)
def test_a_small_request_costs_little_on_a_stream_with_many_names(
    change: Callable[[DeltaSubscription, int], None],
) -> None:
    assert cost(40_000, change) < 20 * cost(100, change)


def test_names_that_changed_are_shared_again() -> None:
    clock = Clock()
    view = View(clock, {ENDPOINT: [Collection(clock, ENDPOINT)]})
    subscriptions = [DeltaSubscription(ENDPOINT, view) for _ in range(2)]
    for subscription in subscriptions:
        for names in ([f"n{index}" for index in range(1_000)], *([f"x{index}"] for index in range(40))):
            subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=names))
        for _ in range(20):
            subscription.receive(messages.DeltaRequest(type_url=ENDPOINT, response_nonce="1"))
    assert subscriptions[0].names is subscriptions[1].names
    assert len(subscriptions[0].names) == 1_040


@pytest.mark.parametrize("variant", [DeltaSubscription, SotwSubscription])
def test_names_of_resources_are_kept_once_for_all_clients(
    variant: type[DeltaSubscription] | type[SotwSubscription],
) -> None:
    clock = Clock()
    parts = [
        Collection(clock, ENDPOINT, [resource(f"{kind}{index}") for index in range(100)]) for kind in "ab"
    ]
    view = View(clock, {ENDPOINT: parts})
    for left_out in range(3):
        subscription = variant(ENDPOINT, view)
        asked = ["none", *(name for part in parts for name in part.names() if name != f"a{left_out}")]
        for more in (asked, [*asked, f"a{left_out}"]):
            raw = message(variant, more).SerializeToString()  # the names that are read are new objects
            subscription.receive(message(variant, []).FromString(raw))
            assert subscription.names == set(more)
            own = {name for part in parts for name in part.names()}
            assert {id(name) for name in subscription.names if name != "none"} <= {id(name) for name in own}
        assert subscription.name_bytes == sum(map(len, asked)) + len(f"a{left_out}")


def message(variant: type[DeltaSubscription] | type[SotwSubscription], names: list[str]) -> Any:
    if variant is DeltaSubscription:
        return messages.DeltaRequest(type_url=ENDPOINT, resource_names_subscribe=names)
    return messages.SotwRequest(type_url=ENDPOINT, resource_names=names)


def test_names_that_were_never_subscribed_are_not_answered() -> None:
    clock = Clock()
    subscription = DeltaSubscription(CLUSTER, View(clock, {CLUSTER: [Collection(clock, CLUSTER)]}))
    subscription.receive(messages.DeltaRequest(type_url=CLUSTER, resource_names_subscribe=["*"]))
    assert subscription.compose() is not None
    subscription.receive(messages.DeltaRequest(type_url=CLUSTER, resource_names_unsubscribe=MANY))
    assert subscription.pending == NOTHING
