"""The listener is tested on asyncio's own loop, and on the one that the server runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import grpc
import pytest
import uvloop

from controlplane.rpc.choice import TransportName
from tests.rpc.calling import connected
from tests.rpc.wire import Service, serving

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    both = item.path.name in ("test_door.py", "test_listener.py", "test_tls.py")
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})


@pytest.fixture(params=["laneway", "grpcio"])
def name(request: pytest.FixtureRequest) -> TransportName:
    """The transport."""
    return request.param


@pytest.fixture
async def service(name: TransportName) -> AsyncIterator[Service]:
    async with serving(name) as service:
        yield service


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    async with connected(service) as channel:
        yield channel
