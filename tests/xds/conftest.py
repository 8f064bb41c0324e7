"""A server on a port of its own for each test, and streams that end with the test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.xds.world import World, Worlds


@pytest.fixture
async def worlds() -> AsyncIterator[Worlds]:
    """Makes worlds; `await worlds().start()`."""
    made: list[World] = []

    def make(**settings: object) -> World:
        made.append(World(**settings))  # pyright: ignore[reportArgumentType]
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
