"""Checks and recovers definitions in Nacos, for `laneway store`."""

from __future__ import annotations

import asyncio

from controlplane.nacos import NacosConnection
from controlplane.store.interface import Served, Stored, StoreUnavailable
from controlplane.store.nacos.shared_store import NacosStore
from controlplane.store.recovery import NotRecovered


def look(connection: NacosConnection, served: Served | None) -> tuple[Stored | None, str]:
    """What a control plane would find, given the snapshot `served`: the definitions, and what is wrong or "".

    The definitions are None where there are none yet, or where they cannot be used.
    """

    async def opened() -> tuple[Stored | None, str]:
        store = NacosStore(connection)
        try:
            await store.open(served)
        except StoreUnavailable as error:
            return None, str(error)
        finally:
            await store.close()
        return (store.current if store.current.revision else None), ""

    return asyncio.run(opened())


def recover(connection: NacosConnection, stored: Stored, least: int, note: str) -> int:
    """Store the definitions `stored` where there is no index; returns their revision.

    It is greater than `least`; `note` is kept with it. Raises NotRecovered.
    """

    async def made() -> int:
        store = NacosStore(connection)
        try:
            base = Stored(stored.definitions, max(stored.revision, least))
            return (await store.restore(base, note)).revision
        except StoreUnavailable as error:
            raise NotRecovered(str(error)) from error
        finally:
            await store.close()

    return asyncio.run(made())
