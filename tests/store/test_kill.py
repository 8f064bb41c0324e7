"""kill -9 in the middle of writes loses nothing that was answered, and leaves nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from controlplane.store import snapshots
from controlplane.store.sqlite import SQLiteStore

WRITER = Path(__file__).with_name("writer.py")


async def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    before = 0
    for answers in (30, 40, 17):
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
            [sys.executable, str(WRITER), str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(answers):
                writer.stdout.readline()
            writer.kill()
            answered = [int(line) for line in writer.stdout.read().split("\n") if line]
            last = max([before + answers, *answered])
        kept = snapshots.read(snapshots.beside(path))
        assert kept is not None
        assert kept.stored is not None, kept.problem
        store = SQLiteStore(path)
        await store.open(kept)
        assert kept.revision <= store.current.revision
        # One more may be durable without having been answered.
        assert last <= store.current.revision <= last + 1
        names = set(store.current.definitions.applications)
        assert names == {
            f"{side}-{n}" for side in ("left", "right") for n in range(1, store.current.revision + 1)
        }
        before = store.current.revision
        await store.close()
