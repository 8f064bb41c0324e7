"""Disks that are full, read-only, or not for this user: at a start, and while the control plane runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests import require
from tests.store import disks
from tests.store.disks import Disk
from tests.store.serving import CHANGE, Served, serving

needs_mounts = pytest.mark.usefixtures("mounts")
NOBODY = 65534


@pytest.fixture(scope="module")
def mounts() -> None:
    if why_not := disks.missing():
        require.lacking("mounts", why_not)


@pytest.fixture(scope="module")
def root() -> None:
    if os.geteuid() != 0:
        require.lacking("root", "needs root, to become somebody else")


@pytest.fixture
def small(mounts: None, tmp_path: Path) -> Iterator[Disk]:
    with disks.disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that others than root can enter; those of pytest are not."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def put(served: Served) -> httpx.Response:
    return served.http.put("/v1/gateways/edge", json=CHANGE)


def large(served: Served) -> httpx.Response:
    """A change that needs more room than a log that is there may have."""
    names = "".join(f"---\nkind: Application\nname: a{n}\nservices: [{'x' * 200}]\n" for n in range(500))
    return served.apply(names)


def filled(served: Served) -> str:
    served.ready()
    assert served.apply().status_code == 200
    served.until(lambda _: served.metric("laneway_snapshot_revision") == 1)
    return served.export()


def writable(answer: httpx.Response) -> bool:
    return answer.json()["store"] == {"problem": None, "read_only": False}


@contextmanager
def started_read_only(disk: Disk, before: str, edge: dict[str, bytes], problem: str) -> Iterator[Served]:
    """A control plane that serves what was stored before, says what is wrong, and takes no change."""
    with serving(disk.path, prefix=disk.prefix) as served:
        told = served.ready()
        assert told["read_only"]
        assert problem in told["problem"]
        assert served.export() == before
        assert served.edge() == edge
        yield served


@needs_mounts
@pytest.mark.parametrize("how", ["stopped", pytest.param("killed", marks=pytest.mark.mesh)])
def test_a_start_on_a_full_disk(small: Disk, how: str) -> None:
    with serving(small.path, prefix=small.prefix) as served:
        before = filled(served)
        edge = served.edge()
        if how == "killed":
            served.process.kill()
    small.fill()
    with started_read_only(small, before, edge, "the disk is full") as served:
        assert served.metric("laneway_store_read_only") == 1
        refused = large(served)
        assert refused.status_code == 503
        assert "the disk is full" in refused.json()["detail"]
        assert served.export() == before
        assert len(served.http.get("/v1/revisions").json()["items"]) == 1
        small.free()
        served.until(writable)
        assert put(served).status_code == 200
        assert large(served).status_code == 200


@needs_mounts
@pytest.mark.parametrize("how", ["stopped", pytest.param("killed", marks=pytest.mark.mesh)])
def test_a_start_on_a_read_only_disk(small: Disk, how: str) -> None:
    with serving(small.path, prefix=small.prefix) as served:
        before = filled(served)
        edge = served.edge()
        if how == "killed":
            served.process.kill()
    small.read_only()
    with started_read_only(small, before, edge, "the file system is read-only") as served:
        assert put(served).status_code == 503
        small.read_only(False)
        served.until(writable)
        assert served.export() == before
        assert put(served).status_code == 200


@needs_mounts
def test_a_disk_that_fills_up(small: Disk) -> None:
    with serving(small.path, prefix=small.prefix) as served:
        before = filled(served)
        edge = served.edge()
        small.fill()
        refused = large(served)
        assert refused.status_code == 503
        assert "the disk is full" in refused.json()["detail"]
        told = served.ready()
        assert told["read_only"]
        assert "the disk is full" in told["problem"]
        assert served.export() == before
        assert served.edge() == edge
        small.free()
        served.until(writable)
        assert large(served).status_code == 200
        after = served.export()
        served.process.kill()
    with serving(small.path, prefix=small.prefix) as served:
        served.ready()
        assert served.export() == after


@needs_mounts
def test_a_first_start_on_a_full_disk(small: Disk, tmp_path: Path) -> None:
    """Nothing is made of half a file later."""
    seed = tmp_path / "seed.yaml"
    seed.write_text("kind: Application\nname: x\n")
    small.fill()
    with serving(small.path, "--definitions", str(seed), prefix=small.prefix) as served:
        assert "the disk is full" in served.waiting()
        assert served.http.get("/v1/export").status_code == 503
        small.free()
        served.ready()
        assert "name: x" in served.export()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["unreadable", "not-writable"])
def test_a_file_of_somebody_else(public: Path, mode: int) -> None:
    """Root may read everything: the control plane runs as nobody."""
    home = public / "home"
    home.mkdir()
    shutil.chown(home, NOBODY, NOBODY)
    nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
    with serving(home, prefix=nobody) as served:
        before = filled(served)
    db = home / "laneway.db"
    shutil.chown(db, 0, 0)
    db.chmod(mode)
    with serving(home, prefix=nobody) as served:
        told = served.ready()
        assert told["read_only"]
        assert f"user {NOBODY} is not allowed to" in told["problem"]
        assert served.export() == before
        assert put(served).status_code == 503
        shutil.chown(db, NOBODY, NOBODY)
        db.chmod(0o600)
        served.until(writable)
        assert put(served).status_code == 200


def test_another_control_plane_has_it(tmp_path: Path) -> None:
    """The snapshot is not served: the other one may change the definitions at any time."""
    home = tmp_path / "home"
    home.mkdir()
    with serving(home) as first:
        before = filled(first)
        with serving(home) as second:
            assert "probably another control plane uses it" in second.waiting()
            for path in ("/v1/export", "/v1/gateways", "/v1/gateways/edge", "/v1/lane-groups/order-flow"):
                assert second.http.get(path).status_code == 503
            assert second.http.post("/v1/apply?dry_run=true", json=[]).status_code == 503
            assert put(second).status_code == 503
            first.process.kill()
            assert second.ready() == {"problem": None, "read_only": False}
            assert second.export() == before
