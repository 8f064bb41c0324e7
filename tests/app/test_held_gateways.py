"""A gateway that another control plane changed is tried before edges get it, and held where it fails."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.app.laneway import Laneway
from controlplane.app.patch_check import PatchCheck
from controlplane.model.kinds import Key
from controlplane.model.parsing import parse_documents
from controlplane.model.problems import DefinitionError
from controlplane.registry.catalog import Catalog
from controlplane.rpc.choice import transport
from controlplane.store.memory import MemoryStore

ENVOY = Path(sys.executable).with_name("envoy")
MANAGER = "/filter_chains/0/filters/0/typed_config"


def gateway(port: int = 8080, value: object = None, path: str = "/stat_prefix") -> dict[str, Any]:
    """With a patch that puts `value` at `path` of the connection manager."""
    operations = [{"op": "add", "path": MANAGER + path, "value": value}]
    patches = [{"resource": "listener", "operations": operations}]
    return {
        "kind": "Gateway",
        "name": "edge",
        "listeners": [{"port": port, "address": "127.0.0.1"}],
        **({} if value is None else {"envoy_patches": patches}),
    }


GOOD = gateway(8081, "mine")
BROKEN = gateway(8082, "-5s", "/drain_timeout")


async def laneway_of(check: PatchCheck, *documents: dict[str, Any]) -> Laneway:
    """It has loaded the documents, and has no sources."""
    store = MemoryStore()
    await store.open()
    if documents:
        await store.change(applying(*documents))
    laneway = Laneway(store, Catalog([]), transport(), lane_drain=0.0, patch_check=check)
    await laneway.load()
    return laneway


def applying(*documents: dict[str, Any]) -> Any:
    parsed = parse_documents(yaml.safe_dump_all(documents).encode())
    return lambda now: now.apply(parsed).definitions


def port(laneway: Laneway) -> int | None:
    """The port of what edges get."""
    served = laneway.held_gateways.served(laneway.store.current.definitions).gateways["edge"]
    return served.listeners[0].port if served.listeners else None


def warned(laneway: Laneway) -> str:
    return " ".join(laneway.warnings().of(Key("Gateway", "", "edge")))


async def decided(laneway: Laneway) -> None:
    async with asyncio.timeout(60):
        while "are being tried" in warned(laneway):  # noqa: ASYNC110 - what users see, not an event
            await asyncio.sleep(0.01)


@pytest.fixture
async def laneway() -> AsyncIterator[Laneway]:
    laneway = await laneway_of(PatchCheck(True, ENVOY), gateway())
    yield laneway
    await laneway.store.close()


async def test_what_another_control_plane_stores_is_tried_first(laneway: Laneway) -> None:
    """The store is written past the API of this one, as the other one does it."""
    await laneway.store.change(applying(GOOD))
    assert (port(laneway), len(laneway.held_gateways)) == (8080, 1)
    await decided(laneway)
    assert (port(laneway), len(laneway.held_gateways), warned(laneway)) == (8081, 0, "")
    await laneway.store.change(applying(BROKEN))
    await decided(laneway)
    assert (port(laneway), len(laneway.held_gateways)) == (8081, 1)
    assert "edges go on with it as it was: envoy_patches[0] is rejected by Envoy: " in warned(laneway)
    # Other changes go on, and this one as soon as it is mended.
    route = {"kind": "Route", "gateway": "edge", "name": "a", "match": {"path": {"prefix": "/a"}}}
    await laneway.store.change(applying({**route, "service": "sc-A"}))
    served = laneway.held_gateways.served(laneway.store.current.definitions)
    assert served.routes.keys() == {("edge", "a")}
    assert port(laneway) == 8081
    await laneway.store.change(applying(gateway(8083)))
    assert (port(laneway), len(laneway.held_gateways), warned(laneway)) == (8083, 0, "")


async def test_a_new_gateway_has_no_listeners_until_it_was_tried(laneway: Laneway) -> None:
    """A patch may be what keeps strangers out."""
    await laneway.store.change(lambda now: now.delete("Gateway", "edge"))
    await laneway.store.change(applying(GOOD))
    assert port(laneway) is None
    await decided(laneway)
    assert port(laneway) == 8081


async def test_what_came_by_the_own_api_is_served_at_once(laneway: Laneway) -> None:
    before = laneway.store.current.definitions
    await laneway.check(before, applying(GOOD)(before), labelled=False)
    await laneway.store.change(applying(GOOD))
    assert (port(laneway), len(laneway.held_gateways)) == (8081, 0)


async def test_where_patches_are_not_allowed_those_of_others_are_held(tmp_path: Path) -> None:
    laneway = await laneway_of(PatchCheck(False), gateway())
    await laneway.store.change(applying(GOOD))
    await decided(laneway)
    assert port(laneway) == 8080
    assert "are not allowed by this control plane" in warned(laneway)


async def test_the_file_of_the_start_is_tried_too() -> None:
    for check, document, text in (
        (PatchCheck(False), GOOD, "not allowed"),
        (PatchCheck(True, ENVOY), BROKEN, "rejected by Envoy"),
    ):
        laneway = Laneway(MemoryStore(), Catalog([]), transport(), lane_drain=0.0, patch_check=check)
        with pytest.raises(DefinitionError, match=text):
            await laneway.load(yaml.safe_dump(document).encode())
