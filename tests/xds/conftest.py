"""A server on a port of its own for each test, and streams that end with the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from controlplane.rpc.choice import TransportName
from controlplane.xds.node import Node
from controlplane.xds.view import View
from tests.xds.trio import NEVER, Trio
from tests.xds.world import World, Worlds


@pytest.fixture(params=["laneway", "grpcio"])
def transport(request: pytest.FixtureRequest) -> TransportName:
    """The transport below the xDS server: the rules are the same."""
    return request.param


@pytest.fixture
async def worlds(transport: TransportName) -> AsyncIterator[Worlds]:
    """Makes worlds; `await worlds().start()`."""
    made: list[World] = []

    def make(classify: Callable[[Node], View] | None = None, **settings: Any) -> World:
        made.append(World(transport, classify, **settings))
        return made[-1]

    yield make
    for world in made:
        await world.close()


@pytest.fixture
async def world(worlds: Worlds) -> World:
    return await worlds().start()


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def delta(request: pytest.FixtureRequest) -> bool:
    """The variant, for rules that hold in both."""
    return request.param


@pytest.fixture
async def trio(worlds: Worlds, delta: bool) -> Trio:
    trio = Trio(await worlds(trial_wait=NEVER, trial_retry=0.1).start(), delta)
    await trio.start()
    return trio
