"""`laneway store check|recover|reset`, and the snapshots that they go by."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from controlplane.store import snapshots
from controlplane.store.snapshots import beside, within
from tests.cli.run import laneway
from tests.store.damage import db, missing, text
from tests.store.serving import CHANGE, Served, serving


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store at revision 2, its state directory, and its export beside it."""
    home = tmp_path_factory.mktemp("good") / "home"
    home.mkdir()
    with serving(home, "--state-dir", str(home / "state")) as served:
        served.ready()
        assert served.apply().status_code == 200
        assert served.http.put("/v1/gateways/edge", json=CHANGE).status_code == 200
        home.with_name("all.yaml").write_text(served.export())
    return home


@pytest.fixture
def home(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "home", ignore=shutil.ignore_patterns("state")))


def export_of(good: Path) -> str:
    return good.with_name("all.yaml").read_text()


def store(home: Path, *arguments: str, code: int = 0) -> str:
    said = laneway("store", *arguments, "--store", f"sqlite:{db(home)}", code=code)
    return " ".join(said.split())


def taken(served: Served) -> bool:
    return served.http.get("/readyz").json()["store"] == {"problem": None, "read_only": False}


def test_a_running_control_plane_takes_what_is_recovered(good: Path, home: Path) -> None:
    missing(home)
    with serving(home) as served:
        assert served.ready()["read_only"]
        said = store(home, "check", code=1)
        assert "`laneway store recover` makes a new store from it" in said
        would = store(home, "recover", "--dry-run")
        assert "revision 2, 5 definitions (Gateway 1, Route 1, LaneGroup 1, Lane 2)" in would
        assert not db(home).exists()
        assert "it is revision 3 now" in store(home, "recover")
        served.until(lambda _: taken(served))
        assert served.export() == export_of(good)
        assert served.http.delete("/v1/lane-groups/order-flow/lanes/red").status_code == 204
        numbers = [one["revision"] for one in served.http.get("/v1/revisions").json()["items"]]
        assert numbers == [4, 3]
        for command in ("check", "recover", "reset"):
            assert "probably another control plane uses it" in store(home, command, code=1)
    assert "nothing to do" in store(home, "recover")
    assert "revision 4, 4 definitions" in store(home, "check")


LONG = pytest.mark.mesh


@pytest.mark.parametrize(
    "what", ["snapshot", pytest.param("copy", marks=LONG), pytest.param("export", marks=LONG)]
)
def test_what_can_be_recovered_from(good: Path, home: Path, tmp_path: Path, what: str) -> None:
    given = {"snapshot": beside(db(good)), "copy": db(good), "export": good.with_name("all.yaml")}[what]
    text(home)
    beside(db(home)).unlink()
    broken = db(home).read_bytes()
    with serving(home) as served:
        assert "is damaged: file is not a database" in served.waiting()
        assert "`laneway store recover --from FILE`" in store(home, "check", code=1)
        assert "name a backup of the store or an export with --from" in store(home, "recover", code=1)
        said = store(home, "recover", "--from", str(given))
        served.until(lambda _: taken(served))
        assert served.export() == export_of(good)
    (kept,) = home.glob("laneway.db.damaged-*")
    assert str(kept) in said
    assert kept.read_bytes() == broken


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"kind: Road\nname: x\n", "is not a known kind"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"about": 1}\n', "is not a snapshot of Laneway"),
        (b"SQLite format 3\x00" + bytes(2000), "is damaged"),
    ],
)
def test_what_cannot_be_recovered_from(home: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "given"
    if content is not None:
        file.write_bytes(content)
    before = db(home).read_bytes()
    assert said in store(home, "recover", "--from", str(file), code=1)
    assert db(home).read_bytes() == before


@pytest.mark.mesh
def test_an_older_copy_is_put_back_on_purpose(good: Path, home: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(db(home), tmp_path / "backup.db"))
    with serving(home) as served:
        served.ready()
        assert served.http.delete("/v1/lane-groups/order-flow").status_code == 204
    shutil.copy(copy, db(home))
    assert "is at revision 2, although revision 3 was served" in store(home, "check", code=1)
    store(home, "recover", "--from", str(copy))
    with serving(home) as served:
        assert served.ready() == {"problem": None, "read_only": False}
        assert served.export() == export_of(good)
        assert served.metric("laneway_revision") == 4


@pytest.mark.mesh
def test_reset_begins_anew(home: Path, tmp_path: Path) -> None:
    missing(home)
    assert len(store(home, "reset").split("renamed to ")) == 2
    assert "nothing to do" in store(home, "reset")
    assert "the first start creates the store" in store(home, "check")
    with serving(home) as served:
        assert served.ready() == {"problem": None, "read_only": False}
        assert served.export() == ""
        assert "the store of definitions is empty" in served.log.read_text()


def test_the_whole_directory_is_lost(good: Path, tmp_path: Path) -> None:
    """The state directory has a snapshot, too; one of another store in it says nothing."""
    home, state = tmp_path / "home", tmp_path / "state"
    home.mkdir()
    state.mkdir()
    of_good = within(good / "state", f"sqlite:{db(good)}")
    shutil.copy(of_good, state)
    with serving(home, "--state-dir", str(state)) as served:
        assert served.ready() == {"problem": None, "read_only": False}
    shutil.rmtree(home)
    home.mkdir()
    shutil.copy(of_good, within(state, f"sqlite:{db(home)}"))
    with serving(home, "--state-dir", str(state)) as served:
        assert "is missing, although revision 2 was served from it" in served.ready()["problem"]
        assert served.export() == export_of(good)


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_a_file_that_goes_while_it_is_used(home: Path, tmp_path: Path, what: str) -> None:
    """A change would be written to nothing. What was answered is in the snapshot."""
    with serving(home) as served:
        served.ready()
        assert served.http.delete("/v1/lane-groups/order-flow/lanes/red").status_code == 204
        before, edge = served.export(), served.edge()
        db(home).rename(tmp_path / "ours.db")
        if what == "replaced":
            db(home).write_text("something else\n" * 1000)
        refused = served.http.delete("/v1/lane-groups/order-flow")
        assert refused.status_code == 503
        assert "was deleted or replaced while it was in use" in refused.json()["detail"]
        assert served.ready()["read_only"]
        assert served.export() == before
        assert served.edge() == edge
    with serving(home) as served:
        read_only = served.ready()["read_only"]
        # SQLite may have all pages of what was replaced in its log.
        assert read_only or what == "replaced"
        assert served.export() == before
        if read_only:
            store(home, "recover")
            served.until(lambda _: taken(served))
            assert served.export() == before


def test_a_file_that_is_put_back(home: Path, tmp_path: Path) -> None:
    with serving(home) as served:
        served.ready()
        db(home).rename(tmp_path / "ours.db")
        assert served.http.delete("/v1/lane-groups/order-flow").status_code == 503
        (tmp_path / "ours.db").rename(db(home))
        served.until(lambda _: taken(served))
        assert served.http.delete("/v1/lane-groups/order-flow").status_code == 204


DAMAGED_SNAPSHOTS = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-1],
    "halved": lambda data: data[: len(data) // 2],
    "edited": lambda data: data.replace(b'\\"percent\\":30', b'\\"percent\\":31'),
    "other-revision": lambda data: data.replace(b'"revision": 2', b'"revision": 1'),
    "other-format": lambda data: data.replace(b'"format": 1', b'"format": 2'),
    "no-json": lambda data: b"what?\n",
    "binary": lambda data: bytes(range(256)),
    "nested": lambda data: b"[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGED_SNAPSHOTS)
def test_a_damaged_snapshot(good: Path, kind: str) -> None:
    data = beside(db(good)).read_bytes()
    damaged = DAMAGED_SNAPSHOTS[kind](data)
    assert damaged != data
    with pytest.raises(snapshots.Unreadable) as error:
        snapshots.decode(damaged)
    assert "\n" not in str(error.value)


def test_a_damaged_snapshot_is_made_anew(good: Path, home: Path) -> None:
    beside(db(home)).write_bytes(b"what?")
    with serving(home) as served:
        assert served.ready() == {"problem": None, "read_only": False}
        served.until(lambda _: served.metric("laneway_snapshot_revision") == 2)
        assert "is not a snapshot of Laneway" in served.log.read_text()
    assert snapshots.decode(beside(db(home)).read_bytes())[0].revision == 2


def test_a_damaged_snapshot_still_says_that_there_was_a_store(home: Path) -> None:
    missing(home)
    beside(db(home)).write_bytes(b"what?")
    with serving(home) as served:
        said = served.waiting()
        assert "is missing, although there is a snapshot of it" in said
        assert "is not a snapshot of Laneway" in said
        assert served.http.get("/v1/export").status_code == 503
        assert served.metric("laneway_definitions") is None
