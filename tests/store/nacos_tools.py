"""Stores on a real Nacos, and waiting for what comes to them by itself."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from controlplane.nacos import NacosConnection
from controlplane.store.interface import Stored, StoreUnavailable
from controlplane.store.nacos import NacosStore
from controlplane.store.nacos.api import ConfigApi
from controlplane.store.nacos.item_session import ItemSession
from controlplane.store.nacos.limits import GROUP


def connection(address: str, **more: Any) -> NacosConnection:
    """A namespace that nobody else uses, unless told."""
    return NacosConnection((address,), **{"namespace": uuid.uuid4().hex[:12], **more})


@contextlib.asynccontextmanager
async def opened(at: NacosConnection, seconds: float = 60.0) -> AsyncIterator[NacosStore]:
    """An open store; waits for the server as the control plane does."""
    store = NacosStore(at)
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await store.open()
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.1)
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def behind(at: NacosConnection) -> AsyncIterator[ItemSession]:
    """The configuration items of a store, past the store."""
    api = ConfigApi(at, GROUP)
    try:
        async with api.session() as session:
            yield session
    finally:
        await api.close()


async def names(at: NacosConnection) -> set[str]:
    """Of all items of a store."""
    api = ConfigApi(at, GROUP)
    try:
        return await api.names()
    finally:
        await api.close()


async def until(store: NacosStore, condition: Callable[[Stored], bool], seconds: float = 30.0) -> Stored:
    """The state in which `condition` holds, now or after some change. Raises TimeoutError."""
    changed = asyncio.Event()
    end = store.subscribe(lambda _, __: changed.set())
    try:
        async with asyncio.timeout(seconds):
            while not condition(store.current):
                changed.clear()
                await changed.wait()
    finally:
        end()
    return store.current
