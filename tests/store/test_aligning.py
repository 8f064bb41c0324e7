"""Tables of slots of an earlier version are brought into line when they are loaded, once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions, SlotRange
from controlplane.model.parsing import parse_documents
from controlplane.model.shares import slots_astray
from controlplane.store.fallback import FallbackStore
from controlplane.store.nacos import items
from controlplane.store.snapshots import Snapshots
from controlplane.store.sqlite import SQLiteStore

TEXT = """
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: Route, gateway: edge, name: api, service: api, match: {path: {prefix: /api}}}
---
{kind: Route, gateway: edge, name: page, service: page}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [page, api]}
---
{kind: Lane, group: g, name: gray, tag: gray, ratio: {percent: 30, sticky: {cookie: uid}}}
---
{kind: Lane, group: g, name: off, tag: off, enabled: false, ratio: {percent: 5, sticky: {cookie: uid}}}
"""
# As a version made them that looked at each route alone.
OLD = {
    ("edge", "api"): ((500, 3500, "gray"),),
    ("edge", "page"): ((0, 3000, "gray"), (9000, 9500, "off")),
}


def defined() -> Definitions:
    return Definitions().apply(parse_documents(TEXT.encode())).definitions


def older(slots: dict[tuple[str, str], tuple[tuple[int, int, str], ...]]) -> Definitions:
    tables = {key: tuple(SlotRange(*one) for one in table) for key, table in slots.items()}
    return Definitions.of(defined().documents(), tables)


async def old_file(path: Path) -> None:
    """A file as an earlier version left it."""
    store = SQLiteStore(path)
    await store.open()
    await store.change(lambda _: older(OLD))
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id=0")
    connection.close()


def delete(path: Path) -> None:
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_file_of_an_earlier_version_is_aligned_once_and_says_how_many_move(
    tmp_path: Path, kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "laneway.db"
    await old_file(path)
    inner = SQLiteStore(path)
    store = FallbackStore(inner, Snapshots("s", [tmp_path / "snapshot"])) if kept else inner
    await store.open()
    assert "not on every route" in slots_astray(store.current.definitions)["gray"][0]
    await store.align()
    now = store.current.definitions
    assert slots_astray(now) == {}
    assert now.slots_of("gray")["page"] == now.slots_of("gray")["api"]
    assert now.slots_of("off") == {"page": [[9000, 9500]]}, "what is reserved stays reserved"
    (last, *_) = await store.revisions()
    assert last.author == "laneway"
    assert "10 % of the requests on route" in last.note
    assert [change.what for change in last.changes] == ["changed Lane/gray"]
    assert "10 % of the requests" in capsys.readouterr().out
    revision = store.current.revision
    await store.close()

    # What the present rules leave apart, for lack of room, is left alone at the next start.
    again = SQLiteStore(path)
    await again.open()
    await again.change(lambda _: older(OLD))
    await again.close()
    last_time = SQLiteStore(path)
    await last_time.open()
    await last_time.align()
    assert last_time.current.revision == revision + 1
    assert last_time.current.definitions == older(OLD)
    await last_time.close()


async def test_a_file_in_which_nothing_is_apart_is_marked_by_its_next_change(tmp_path: Path) -> None:
    path = tmp_path / "laneway.db"
    store = SQLiteStore(path)
    await store.open()
    await store.change(lambda _: defined())
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id=0")
    connection.close()
    again = SQLiteStore(path)
    await again.open()
    await again.align()
    assert (again.current.revision, again.current.definitions) == (1, defined())
    await again.change(lambda _: older(OLD))  # apart, by a change of this version
    await again.close()
    third = SQLiteStore(path)
    await third.open()
    await third.align()
    assert third.current.definitions == older(OLD)
    await third.close()


def test_an_index_in_nacos_says_whether_its_slots_are_aligned() -> None:
    new = items.encode_index(items.Index(1, {}, ("1-0123456789abcdef",)))
    old = items.encode_index(items.Index(1, {}, ("1-0123456789abcdef",), aligned=False))
    assert items.decode_index(new).aligned
    assert not items.decode_index(old).aligned
    assert "slots" not in old


starts = st.lists(st.integers(0, 7000), min_size=2, max_size=2)


@given(st.integers(1, 3000), starts)
@settings(max_examples=100, deadline=None)
def test_as_few_as_can_be_move(share: int, begin: list[int]) -> None:
    """One lane with the same share on two routes: what it has on both stays, and nothing else can."""
    text = TEXT.replace("percent: 30", f"percent: {share / 100}")
    made = Definitions().apply(parse_documents(text.encode())).definitions
    slots = {
        ("edge", route): (SlotRange(start, start + share, "gray"),)
        for route, start in zip(("api", "page"), begin, strict=True)
    }
    now, moved = Definitions.of(made.documents(), slots).aligned()
    assert slots_astray(now) == {}
    assert now.slots_of("gray")["api"] == now.slots_of("gray")["page"]
    common = max(0, share - abs(begin[0] - begin[1]))
    # Who leaves the lane on one route, and who comes into it: of the two sets one can stay as it is.
    assert sum(moved.values()) == 2 * (share - common)


async def test_tables_that_cannot_be_stored_are_served_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "laneway.db"
    await old_file(path)
    store = SQLiteStore(path)
    await store.open()
    delete(path)
    await store.align()
    assert not store.aligned
    assert store.current.definitions == older(OLD)
    assert "slots of an earlier version are served as they are" in capsys.readouterr().out
    await store.close()
