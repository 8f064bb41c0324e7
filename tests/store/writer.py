"""Changes a store as fast as it can, and says each change that was answered. Killed by the test."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from controlplane.model.documents import Application
from controlplane.store import fallback
from controlplane.store.fallback import FallbackStore
from controlplane.store.snapshots import Snapshots, beside
from controlplane.store.sqlite import SQLiteStore


async def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    fallback.SNAPSHOT_WAIT = 0.0  # a snapshot is being written at all times
    path = Path(sys.argv[1])
    store = FallbackStore(SQLiteStore(path), Snapshots("", [beside(path)]))
    await store.open()
    number = store.current.revision
    while True:
        number += 1
        pair = [(Application(name=f"{side}-{number}"), None) for side in ("left", "right")]
        stored = await store.change(lambda now, pair=pair: now.change(pair), "writer")
        print(stored.revision, flush=True)


asyncio.run(main())
