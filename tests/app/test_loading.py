"""How a control plane starts whose definitions are not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from controlplane.app.laneway import Laneway
from controlplane.registry.catalog import Catalog
from controlplane.rpc.choice import transport
from controlplane.store.interface import StoreUnavailable
from controlplane.store.sqlite import SQLiteStore

ROUTE = b"kind: Route\ngateway: edge\nname: a\nmatch: {path: {prefix: /a}}\nservice: sc-A\n"


class Observed(SQLiteStore):
    """Says when it could not be opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, busy_wait=0.0)
        self.refused = asyncio.Event()

    async def open(self) -> None:
        try:
            await super().open()
        except StoreUnavailable:
            self.refused.set()
            raise


async def test_edited_definitions_of_a_store_that_has_some_are_told(tmp_path: Path) -> None:
    gateway = b"kind: Gateway\nname: edge\nlisteners: [{port: 8080}]\n"
    told: list[list[MutableMapping[str, Any]]] = []
    for seed in (gateway, gateway, gateway.replace(b"8080", b"9090") + b"---\n" + ROUTE, b"kind: Gateway\n"):
        store = SQLiteStore(tmp_path / "d.db")
        with capture_logs() as lines:
            await Laneway(store, Catalog([]), transport(), lane_drain=0.0).load(seed)
        assert store.current.revision == 1
        await store.close()
        told.append([line for line in lines if "ignored" in line["event"]])
    assert told[0] == told[1] == []
    (warning,) = told[2]
    assert (warning["would_create"], warning["would_change"]) == (["Route/a"], ["Gateway/edge"])
    assert "laneway apply -f" in warning["remedy"]
    assert "laneway apply -f" in told[3][0]["remedy"]


async def test_what_is_waited_for_is_said_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.app.loading.STORE_RETRY", 0.01)
    first, second = SQLiteStore(tmp_path / "d.db"), Observed(tmp_path / "d.db")
    await first.open()
    laneway = Laneway(second, Catalog([]), transport(), lane_drain=0.0)
    assert laneway.ready() == ["the store of definitions is not loaded"]
    async with asyncio.timeout(30):
        loading = asyncio.create_task(laneway.load())
        await second.refused.wait()
        (waiting,) = laneway.ready()
        assert waiting.startswith("the store of definitions is not loaded: ")
        assert "probably another control plane uses it" in waiting
        await first.close()
        await loading
    assert second.problem == ""
    assert laneway.ready() == ["the first configuration is not published"]
    await second.close()
