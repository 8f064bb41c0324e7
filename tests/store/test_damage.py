"""A store that was lost, damaged or edited by hand: it is told, and the last snapshot is served meanwhile."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from controlplane.model.definitions import Definitions
from controlplane.store import recovery
from controlplane.store.fallback import FallbackStore
from controlplane.store.interface import Stored, StoreDamaged, StoreUnavailable
from controlplane.store.snapshots import Snapshots, beside
from controlplane.store.sqlite import SQLiteStore
from tests.store.damage import KINDS, LOOKS_NEW, UNNOTICED, db, overwritten, settled
from tests.store.serving import CHANGE, serving


class Good:
    """A store at revision 2 whose control plane was killed, so that its write-ahead log is there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        with serving(home) as served:
            served.ready()
            assert served.apply().status_code == 200
            assert served.http.put("/v1/gateways/edge", json=CHANGE).status_code == 200
            served.until(lambda _: served.metric("laneway_snapshot_revision") == 2)
            self.export = served.export()
            self.edge = served.edge()
            served.process.kill()

    def copied(self, to: Path) -> Path:
        return Path(shutil.copytree(self.home, to))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return Good(tmp_path_factory.mktemp("good") / "home")


async def opened(home: Path) -> Stored:
    """What a store without a snapshot makes of the file."""
    store = SQLiteStore(db(home), busy_wait=0.0)
    try:
        await store.open()
        return store.current
    finally:
        await store.close()


IN_A_PROCESS = ("missing", "empty-but-log", "fifo", "no-database", "newer", "no-utf8", "slots-lost", "edited")
"""Kinds that a whole control plane meets in `make test`; the rest of them in `make test-mesh`."""


@pytest.mark.parametrize("kind", KINDS)
async def test_the_store_serves_the_last_snapshot_and_refuses_changes(
    good: Good, tmp_path: Path, kind: str
) -> None:
    damage, said = KINDS[kind]
    home = good.copied(tmp_path / "home")
    damage(home)
    snapshots = Snapshots("", [beside(db(home))])
    kept = snapshots.read()
    assert kept is not None
    store = FallbackStore(SQLiteStore(db(home), busy_wait=0.0), snapshots)
    await store.open()
    try:
        assert store.read_only
        assert said in store.problem
        assert f"laneway store recover --store sqlite:{db(home)}" in store.problem
        assert store.problem.endswith("the last snapshot (revision 2) is served, read-only")
        assert store.current == kept.stored
        for refused in (store.change(lambda _: Definitions()), store.undo(2), store.revisions()):
            with pytest.raises(StoreUnavailable, match=re.escape(said)):
                await refused
    finally:
        await store.close()


@pytest.mark.parametrize(
    "kind", [kind if kind in IN_A_PROCESS else pytest.param(kind, marks=pytest.mark.mesh) for kind in KINDS]
)
def test_the_last_snapshot_is_served_read_only(good: Good, tmp_path: Path, kind: str) -> None:
    damage, said = KINDS[kind]
    home = good.copied(tmp_path / "home")
    damage(home)
    with serving(home) as served:
        told = served.ready()
        assert told["read_only"], told
        assert said in told["problem"]
        assert f"laneway store recover --store sqlite:{db(home)}" in told["problem"]
        assert "the last snapshot (revision 2) is served, read-only" in told["problem"]
        assert served.export() == good.export
        assert served.edge() == good.edge
        answer = served.http.get("/v1/lane-groups/order-flow/lanes")
        assert len(answer.json()["items"]) == 2
        assert said.encode("ascii", "replace").decode() in answer.headers["x-laneway-read-only"]
        for refused in (
            served.http.delete("/v1/lane-groups/order-flow"),
            served.apply(),
            served.http.post("/v1/lane-groups/order-flow/lanes/red/disable"),
            served.http.get("/v1/revisions"),
        ):
            assert refused.status_code == 503
            assert said in refused.json()["detail"]
        assert served.metric("laneway_store_read_only") == served.metric("laneway_store_problem") == 1
        assert said in served.log.read_text()


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_snapshot_it_is_told_or_at_least_not_wrong(
    good: Good, tmp_path: Path, kind: str
) -> None:
    home = good.copied(tmp_path / "home")
    KINDS[kind][0](home)
    beside(db(home)).unlink()
    if kind in LOOKS_NEW | UNNOTICED:
        await opened(home)
        return
    with pytest.raises(StoreDamaged) as error:
        await opened(home)
    assert str(error.value).startswith(str(db(home)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_recovered_from_the_snapshot(good: Good, tmp_path: Path, kind: str) -> None:
    home = good.copied(tmp_path / "home")
    KINDS[kind][0](home)
    served = Snapshots("", [beside(db(home))]).read()
    assert served is not None
    assert served.stored is not None
    number, _ = recovery.recover(db(home), served.stored, served.revision, "by a test")
    assert number == 3
    assert await opened(home) == Stored(served.stored.definitions, 3)
    assert recovery.look(db(home), served).problem == ""


async def test_random_bytes_anywhere(good: Good, tmp_path: Path) -> None:
    """Told, or harmless: what is read is what was stored."""
    whole = good.copied(tmp_path / "whole")
    size = settled(whole).stat().st_size
    before = await opened(whole)
    assert before.definitions != Definitions()
    for start in range(0, size, 1024):
        home = Path(shutil.copytree(whole, tmp_path / str(start)))
        overwritten(start, 200)(home)
        found = recovery.look(db(home), Snapshots("", [beside(db(home))]).read())
        assert found.problem or found.stored == before
