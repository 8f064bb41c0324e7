"""The store in Nacos on real servers: all that every store does, and what several stores do together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application
from controlplane.model.export import export
from controlplane.model.parsing import parse_documents
from controlplane.model.problems import DefinitionError
from controlplane.nacos import NacosConnection
from controlplane.store.history import changes_between
from controlplane.store.interface import Revision, Stored, StoreUnavailable
from controlplane.store.nacos import NacosStore, items
from controlplane.store.nacos import shared_store as store_module
from controlplane.store.nacos.item_session import ItemSession
from controlplane.store.nacos.items import INDEX
from controlplane.store.nacos.waiting import tries
from controlplane.store.sqlite import SQLiteStore
from tests.store.nacos_tools import behind, connection, names, opened, until
from tests.store.test_stores import GATEWAY, ROUTE, filled, lane

# The same tests as for the other stores; here `store` is in Nacos.
from tests.store.test_stores import test_a_change_is_finished_although_who_asked_is_gone as test_finished
from tests.store.test_stores import test_a_change_without_effect_makes_no_revision as test_no_revision
from tests.store.test_stores import test_a_refused_change_changes_nothing as test_refused
from tests.store.test_stores import test_concurrent_changes_are_all_kept as test_all_kept
from tests.store.test_stores import test_subscribers_see_old_and_new_and_cannot_break_a_change as test_told
from tests.store.test_stores import test_undo_of_what_was_changed_since_is_refused as test_undo_refused
from tests.store.test_stores import test_undo_restores_documents_and_slots as test_undo_restores

__all__ = [
    "test_all_kept",
    "test_finished",
    "test_no_revision",
    "test_refused",
    "test_told",
    "test_undo_refused",
    "test_undo_restores",
]

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]


@pytest.fixture
async def store(nacos_address: str) -> AsyncIterator[NacosStore]:
    async with opened(connection(nacos_address)) as one:
        yield one


async def test_what_one_changes_the_other_is_told(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one, opened(at) as other:
        told: list[tuple[Stored, Stored]] = []
        other.subscribe(lambda old, new: told.append((old, new)))
        await filled(one)
        await one.change(lambda now: now.delete("Lane", "two"))
        assert await until(other, lambda now: now.revision == 6) == one.current
        assert all(old.revision < new.revision for old, new in told)
        assert told[0][0] == Stored()
        assert told[-1][1] == one.current
        assert await other.revisions() == await one.revisions()
        undone = await other.undo(6, "ann")
        assert sorted(undone.definitions.lanes) == ["one", "two"]
        assert await until(one, lambda now: now.revision == 7) == other.current


async def test_a_change_runs_on_what_another_store_wrote_meanwhile(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one, opened(at) as other:
        await one.change(lambda now: now.put(Application(name="x", services=("1",))))

        def add(definitions: Definitions, what: str) -> Definitions:
            services = definitions.applications["x"].services
            return definitions.put(Application(name="x", services=(*services, what)))

        await asyncio.gather(
            *(
                store.change(lambda now, what=what: add(now, what))
                for store, what in ((one, "2"), (other, "3"))
            )
        )
        seen = await until(one, lambda now: now.revision == 3)
        assert sorted(seen.definitions.applications["x"].services) == ["1", "2", "3"]


async def test_a_lane_name_is_taken_in_every_control_plane(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one, opened(at) as other:
        await filled(one)
        group = one.current.definitions.groups["g"].model_copy(update={"name": "h"})
        taken = lane("one", 1).model_copy(update={"group": "h"})
        with pytest.raises(DefinitionError, match="is the name of a lane of group g"):
            await other.change(lambda now: now.change([(group, None), (taken, None)]))


async def test_what_is_written_but_not_named_by_the_index_is_not_there(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one, opened(at) as other, behind(at) as session:
        await filled(one)
        before = one.current
        now = before.definitions.put(Application(name="half"))
        made = Revision(6, 1.0, "", "", changes_between(before.definitions, now), "")
        half = items.attempt(one._index, now, [made], "dead")
        for name, text in half.items.items():
            await session.publish(name, text, "yaml")
        async with opened(at) as fresh:
            assert fresh.current == before
        after = await one.change(lambda now: now.put(Application(name="x")))
        assert await until(other, lambda now: now.revision == after.revision) == after
        assert after.definitions == before.definitions.put(Application(name="x"))


async def test_an_index_that_comes_before_its_items_is_waited_for(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one, behind(at) as session:
        await filled(one)
        now = one.current.definitions.put(Application(name="late"))
        made = Revision(6, 1.0, "", "", changes_between(one.current.definitions, now), "")
        attempt = items.attempt(one._index, now, [made], "0001")
        await session.publish(INDEX, attempt.text, "json")
        waiting = asyncio.create_task(until(one, lambda now: now.revision == 6))
        await asyncio.wait({waiting}, timeout=0.5)
        assert one.current.revision == 5
        for name, text in attempt.items.items():
            await session.publish(name, text, "yaml")
        assert (await waiting).definitions == now


async def test_an_item_that_was_edited_by_hand_is_not_taken(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at) as one, behind(at) as session:
        await filled(one)
        name = next(name for name in one._index.items() if name.startswith("Route:edge:a"))
        text = None
        async for _ in tries(20.0):
            if (text := await session.get(name)) is not None:
                break
        assert text is not None
        await session.publish(name, text.replace("sc-A", "sc-B"), "yaml")
        await appears(session, name, text.replace("sc-A", "sc-B"))
        fresh = NacosStore(at)
        with pytest.raises(StoreUnavailable, match=f"{name} was changed by another program than Laneway"):
            await fresh.open()
        await session.publish(name, text, "yaml")
        await appears(session, name, text)
        await fresh.open()
        assert fresh.current == one.current
        await fresh.close()


async def appears(session: ItemSession, name: str, text: str | None) -> None:
    """Return when readers see this content."""
    async for last in tries(20.0):
        if await session.get(name) == text:
            return
        assert not last


async def says(store: NacosStore, problem: str, seconds: float = 20.0) -> None:
    """Return when `problem`, a regular expression, is that of the store."""
    async for last in tries(seconds):
        if re.search(problem, store.problem):
            return
        assert not last, store.problem


@pytest.mark.parametrize("what", ["gone", "older", "edited", "broken"])
async def test_an_index_that_cannot_be_right_is_not_taken(
    nacos_address: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Deleted, restored from a backup, or edited so that a rule is broken: what was read last goes on."""
    monkeypatch.setattr(store_module, "LAG", 3.0)
    at = connection(nacos_address)
    async with opened(at) as one, behind(at) as session:
        await one.change(lambda now: now.put(GATEWAY))
        older = await session.get(INDEX)
        assert older is not None
        await filled(one)
        before, text = one.current, await session.get(INDEX)
        assert text is not None
        if what == "gone":
            await session.delete(INDEX)
            await appears(session, INDEX, None)
        else:
            other = older if what == "older" else re.sub(r'"Gateway:edge": "[^"]*",\n', "", text)
            if what == "broken":  # as earlier versions wrote it
                other = re.sub(r',\n"check": "[^"]*"', "", other)
            await session.publish(INDEX, other, "json")
            await appears(session, INDEX, other)
        said = {
            "gone": "item index is missing in Nacos",
            "older": "revision 1, but revision 5 was read before",
            "edited": "the index of revision 5 was changed by another program than Laneway",
            "broken": "break a rule: .*gateway",
        }
        with pytest.raises(StoreUnavailable, match=said[what]):
            await one.change(lambda now: now.put(Application(name="x")))
        assert one.current is before
        await says(one, said[what])
        await session.publish(INDEX, text, "json")
        await appears(session, INDEX, text)
        await says(one, "^$", 6.0)
        after = await one.change(lambda now: now.put(Application(name="x")))
        assert after.revision == before.revision + 1
        assert after.definitions == before.definitions.put(Application(name="x"))


async def test_definitions_move_from_sqlite(nacos_address: str, tmp_path: Path) -> None:
    old = SQLiteStore(tmp_path / "d.db")
    await old.open()
    await filled(old)
    await old.change(lambda now: now.put(lane("one", 35)))
    await old.change(lambda now: now.put(lane("two", 5, enabled=False)))
    exported = export(old.current.definitions)
    documents = parse_documents(exported.encode())
    at = connection(nacos_address)
    async with opened(at) as new, opened(at) as other:
        await new.change(lambda now: now.apply(documents).definitions)
        assert new.current.definitions == old.current.definitions
        await until(other, lambda now: now.revision == 1)
        assert export(other.current.definitions) == exported
    await old.close()


async def test_many_definitions_are_one_change(nacos_address: str) -> None:
    at = connection(nacos_address)
    documents = [
        (GATEWAY, None),
        *((ROUTE.model_copy(update={"name": f"r{number}"}), None) for number in range(300)),
    ]
    async with opened(at) as one, opened(at) as other:
        sizes: list[int] = []
        other.subscribe(lambda _, new: sizes.append(len(new.definitions.routes)))
        await one.change(lambda now: now.apply(documents).definitions)
        await until(other, lambda now: now.revision == 1)
        assert sizes == [300]
        assert other.current == one.current
        await one.undo(1)
        await until(other, lambda now: now.revision == 2)
        assert other.current.definitions == Definitions()


async def test_revisions_are_bounded_and_their_items_go(nacos_address: str) -> None:
    at = connection(nacos_address)
    count = items.REVISIONS_KEPT + 30
    async with opened(at) as store:
        for start in range(0, count, 46):
            await asyncio.gather(
                *(
                    store.change(lambda now, n=n: now.put(Application(name="a", services=(f"s{n}",))))
                    for n in range(start, start + 46)
                )
            )
        assert store.current.revision == count
        kept = await store.revisions(1000)
        assert [one.number for one in kept] == list(range(count, count - items.REVISIONS_KEPT, -1))
        with pytest.raises(DefinitionError) as refused:
            await store.undo(30)
        assert refused.value.status == 404
    assert await names(at) == store._index.items()
    assert len(await names(at)) == items.REVISIONS_KEPT + 2


async def test_nothing_is_written_by_reading(nacos_address: str) -> None:
    at = connection(nacos_address)
    async with opened(at):
        assert await names(at) == set()


async def test_a_server_that_is_away_is_passed_over(nacos_address: str) -> None:
    at = connection(nacos_address)
    both = NacosConnection(("127.0.0.1:9", nacos_address), at.namespace)
    async with opened(both) as store:
        await store.change(lambda now: now.put(GATEWAY))
        async with opened(at) as other:
            assert other.current == store.current


async def test_after_close_nothing_is_taken(nacos_address: str) -> None:
    async with opened(connection(nacos_address)) as store:
        pass
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.change(lambda now: now.put(GATEWAY))
