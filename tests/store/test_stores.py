"""What every store does: serialised changes, revisions, undo, subscribers; and SQLite's restart."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application, Gateway, Lane, LaneGroup, Listener, Ratio, Route
from controlplane.model.problems import DefinitionError
from controlplane.store.history import REVISIONS_KEPT
from controlplane.store.interface import DefinitionStore, Stored, StoreUnavailable
from controlplane.store.memory import MemoryStore
from controlplane.store.sqlite import SQLiteStore

GATEWAY = Gateway(name="edge", listeners=(Listener(port=80),))
ROUTE = Route(gateway="edge", name="a", service="sc-A")
GROUP = LaneGroup(name="g", gateway="edge", applications=("x",))


def lane(name: str, percent: float, enabled: bool = True) -> Lane:
    return Lane(group="g", name=name, tag=name, enabled=enabled, ratio=Ratio(percent=percent))


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DefinitionStore]:
    one: DefinitionStore = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "d.db")
    await one.open()
    yield one
    await one.close()


async def filled(store: DefinitionStore) -> DefinitionStore:
    for document in (GATEWAY, ROUTE, GROUP, lane("one", 10), lane("two", 20)):
        await store.change(lambda now, document=document: now.put(document), "joe")
    return store


async def test_concurrent_changes_are_all_kept(store: DefinitionStore) -> None:
    await asyncio.gather(
        *(store.change(lambda now, n=n: now.put(Application(name=f"a{n}"))) for n in range(50))
    )
    assert len(store.current.definitions.applications) == store.current.revision == 50


async def test_a_change_without_effect_makes_no_revision(store: DefinitionStore) -> None:
    await filled(store)
    before = store.current
    assert await store.change(lambda now: now.put(GATEWAY)) is before
    assert len(await store.revisions()) == before.revision


async def test_a_refused_change_changes_nothing(store: DefinitionStore) -> None:
    await filled(store)
    before = store.current
    with pytest.raises(DefinitionError):
        await store.change(lambda now: now.put(lane("three", 90)))
    assert store.current is before


async def test_subscribers_see_old_and_new_and_cannot_break_a_change(store: DefinitionStore) -> None:
    seen: list[tuple[Stored, Stored]] = []

    def broken(_: Stored, __: Stored) -> None:
        raise RuntimeError

    store.subscribe(broken)
    end = store.subscribe(lambda old, new: seen.append((old, new)))
    first = await store.change(lambda now: now.put(GATEWAY))
    end()
    await store.change(lambda now: now.put(ROUTE))
    assert seen == [(Stored(), first)]


async def test_a_change_is_finished_although_who_asked_is_gone(store: DefinitionStore) -> None:
    done = asyncio.Event()
    store.subscribe(lambda _, __: done.set())
    asking = asyncio.create_task(store.change(lambda now: now.put(GATEWAY)))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await done.wait()
    assert store.current.definitions.gateways == {"edge": GATEWAY}


async def test_undo_restores_documents_and_slots(store: DefinitionStore) -> None:
    await filled(store)
    before = store.current.definitions
    deleted = await store.change(lambda now: now.delete("LaneGroup", "g"), "joe")
    assert not deleted.definitions.lanes
    undone = await store.undo(deleted.revision, "ann")
    assert undone.definitions == before
    newest = (await store.revisions(1))[0]
    assert (newest.author, newest.note) == ("ann", f"undo of revision {deleted.revision}")
    assert [change.what for change in newest.changes] == [
        "created LaneGroup/g", "created Lane/one", "created Lane/two",
    ]  # fmt: skip


async def test_undo_of_what_was_changed_since_is_refused(store: DefinitionStore) -> None:
    await filled(store)
    for wrong, status in ((4, 409), (1, 409), (77, 404)):
        if wrong == 4:
            await store.change(lambda now: now.put(lane("one", 11)))
        with pytest.raises(DefinitionError) as refused:
            await store.undo(wrong)
        assert refused.value.status == status


async def test_revisions_are_bounded(store: DefinitionStore) -> None:
    count = REVISIONS_KEPT + 20
    if isinstance(store, SQLiteStore):
        # A thousand commits to a disk say nothing more than the ones around the bound.
        await store.change(lambda now: now.put(GATEWAY))
        store._current = Stored(store.current.definitions, count - 2)
        await store.change(lambda now: now.put(ROUTE))
        assert [one.number for one in await store.revisions(5)] == [count - 1]
        return
    for n in range(count):
        await store.change(lambda now, n=n: now.put(Application(name="a", services=(str(n),))))
    assert len(await store.revisions(2000)) == REVISIONS_KEPT


async def test_a_restart_gives_equal_definitions(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "sub" / "d.db")
    await store.open()
    await filled(store)
    await store.change(lambda now: now.put(lane("one", 30)))
    await store.change(lambda now: now.put(lane("two", 20, enabled=False)))
    stored, revisions = store.current, await store.revisions()
    await store.close()
    again = SQLiteStore(tmp_path / "sub" / "d.db")
    await again.open()
    assert again.current == stored
    assert await again.revisions() == revisions
    await again.close()


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    first, second = SQLiteStore(tmp_path / "d.db"), SQLiteStore(tmp_path / "d.db", busy_wait=0.05)
    await first.open()
    with pytest.raises(StoreUnavailable, match="another control plane"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await second.change(lambda now: now.put(GATEWAY))


async def test_a_failing_disk_leaves_the_last_state(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "d.db")
    await store.open()
    await filled(store)
    before = store.current
    assert store._connection is not None
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    many = [(Application(name=f"a{n}", services=("x" * 500,)), None) for n in range(500)]
    with pytest.raises(StoreUnavailable, match="full"):
        await store.change(lambda now: now.change(many))
    assert store.current is before
    store._connection.execute("PRAGMA max_page_count=100000")
    await store.change(lambda now: now.change(many))
    await store.close()


@pytest.mark.parametrize("content", ["newer", "garbage"])
async def test_a_file_that_is_not_ours_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "d.db"
    if content == "newer":
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=99")
        connection.close()
    else:
        path.write_bytes(b"no database at all " * 100)
    store = SQLiteStore(path)
    with pytest.raises(StoreUnavailable, match=str(path)):
        await store.open()
    await store.close()
    assert store.current.definitions == Definitions()
