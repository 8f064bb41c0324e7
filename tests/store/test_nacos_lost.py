"""A group in Nacos that lost its index, or has another one: told, and never taken for an empty store."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path

import httpx
import pytest

from controlplane.store.fallback import FallbackStore
from controlplane.store.interface import Served, StoreDamaged, StoreUnavailable
from controlplane.store.nacos import NacosStore
from controlplane.store.nacos.items import INDEX
from controlplane.store.snapshots import Snapshots
from tests.cli.run import laneway
from tests.cli.test_serve_nacos import Served as Process
from tests.cli.test_serve_nacos import ready, serving
from tests.nacos_relay import NacosRelay
from tests.store.nacos_tools import behind, connection, opened
from tests.store.test_nacos_store import appears
from tests.store.test_stores import GATEWAY, ROUTE, filled

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]


async def refused(store: NacosStore, served: Served | None, said: str) -> None:
    with pytest.raises(StoreDamaged, match=said) as error:
        await store.open(served)
    assert "\n" not in str(error.value)
    assert store.problem == str(error.value)


async def test_an_index_that_is_gone(nacos_address: str) -> None:
    """The items that are left tell it, and what was served before does, too; `restore` makes a new one."""
    at = connection(nacos_address)
    async with opened(at) as one:
        await filled(one)
        before = one.current
    served = Served(Path("snapshot"), before)
    async with behind(at) as session:
        await session.delete(INDEX)
        await appears(session, INDEX, None)
    fresh = NacosStore(at)
    await refused(fresh, None, "there are items of revision 5")
    await refused(fresh, served, re.escape("revision 5 was served (snapshot)"))
    await refused(fresh, Served(Path("snapshot"), None, problem="x"), "there is a snapshot")
    assert (await fresh.restore(before, "by a test")).revision == 6
    await fresh.close()
    async with opened(at) as again:
        assert again.current.definitions == before.definitions
        assert again.current.revision == 6
        assert (await again.change(lambda now: now.delete("Lane", "one"))).revision == 7
        with pytest.raises(StoreUnavailable, match=r"Nacos has definitions \(revision 7\)"):
            await NacosStore(at).restore(before, "not wanted")


async def test_a_first_attempt_that_was_killed_is_no_loss(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one:
        await one.change(lambda now: now.put(GATEWAY))
    async with behind(at) as session:
        await session.delete(INDEX)
        await appears(session, INDEX, None)
    async with opened(at) as again:
        assert again.current.revision == 0
        assert (await again.change(lambda now: now.put(GATEWAY))).revision == 1


async def test_an_index_that_is_not_the_one_that_was_served(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one:
        first = await one.change(lambda now: now.put(GATEWAY))
        second = await one.change(lambda now: now.put(ROUTE))
    other = Served(Path("snapshot"), type(first)(first.definitions, 2))
    fresh = NacosStore(at)
    await refused(fresh, other, "other definitions at revision 2")
    # A backup of Nacos was restored: its users restart the control planes then.
    await fresh.open(Served(Path("snapshot"), type(first)(second.definitions, 7)))
    assert fresh.current == second
    await fresh.close()


async def test_the_snapshot_is_served_until_nacos_is_there(nacos_address: str, tmp_path: Path) -> None:
    at = connection(nacos_address)
    snapshots = Snapshots("nacos", [tmp_path / "snapshot"])
    relay = NacosRelay(nacos_address)
    async with relay:
        store = FallbackStore(NacosStore(connection(relay.address, namespace=at.namespace)), snapshots)
        await store.open()
        before = await store.change(lambda now: now.put(GATEWAY))
        await store.close()
    again = FallbackStore(NacosStore(connection(relay.address, namespace=at.namespace)), snapshots)
    await again.open()
    assert again.current == before
    assert again.read_only
    assert "Connection refused" in again.problem
    with pytest.raises(StoreUnavailable, match=r"the last snapshot \(revision \d+\) is served, read-only"):
        await again.change(lambda now: now.put(ROUTE))
    async with opened(at) as other:
        after = await other.change(lambda now: now.put(ROUTE))
    told: list[int] = []
    seen = asyncio.Event()
    again.subscribe(lambda old, new: (told.extend((old.revision, new.revision)), seen.set()))
    async with relay, asyncio.timeout(60):
        await seen.wait()
        assert told == [1, 2]
        assert (again.current, again.problem, again.read_only) == (after, "", False)
        await again.change(lambda now: now.delete("Route", ("edge", "a")))
        await again.close()


async def test_serve_and_recover(nacos_address: str, tmp_path: Path) -> None:
    """As a user does it: the index is deleted in the console, and there is no history of it."""
    at = connection(nacos_address)
    state = tmp_path / "state"
    place = {
        "LANEWAY_STORE": "nacos",
        "NACOS_NAMESPACE": at.namespace,
        "LANEWAY_STATE_DIR": str(state),
        "NACOS_SERVER_ADDR": nacos_address,
    }

    async def command(*arguments: str, code: int = 0) -> str:
        said = await asyncio.to_thread(laneway, "store", *arguments, code=code, **place)
        return " ".join(said.split())

    async with serving(nacos_address, tmp_path / "home", **place) as served:
        await served.until("/readyz", ready)
        for path, document in (
            ("gateways/edge", {"listeners": [{"port": 8080}]}),
            ("gateways/edge/routes/a", {"match": {"path": {"prefix": "/"}}, "service": "sc-A"}),
        ):
            assert (await served.http.put(f"/v1/{path}", json=document)).status_code == 201
        before = (await served.http.get("/v1/export")).text
    assert "revision 2, 2 definitions" in await command("check")
    async with behind(at) as session:
        await session.delete(INDEX)
        await appears(session, INDEX, None)
    async with serving(nacos_address, tmp_path / "again", **place) as served:
        told = await served.until("/readyz", ready)
        assert told["store"]["read_only"]
        assert f"the item {INDEX} is missing, although revision 2 was served" in told["store"]["problem"]
        assert (await served.http.get("/v1/export")).text == before
        assert (await served.http.delete("/v1/gateways/edge")).status_code == 503
        assert "revision 2 was served" in await command("check", code=1)
        assert "would make nacos of" in await command("recover", "--dry-run")
        assert "it is revision 3 now" in await command("recover")
        await until_writable(served)
        assert (await served.http.get("/v1/export")).text == before
        assert (await served.http.delete("/v1/gateways/edge")).status_code == 204
    assert "nothing to do" in await command("recover")


async def until_writable(served: Process) -> None:
    def writable(answer: httpx.Response) -> bool:
        with contextlib.suppress(KeyError):
            return answer.json()["store"] == {"problem": None, "read_only": False}
        return False

    await served.until("/readyz", writable)
