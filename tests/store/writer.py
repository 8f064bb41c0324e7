"""Changes a store as fast as it can, and says each change that was answered. Killed by the test."""

from __future__ import annotations

import asyncio
import sys

from controlplane.model.documents import Application
from controlplane.store.sqlite import SQLiteStore


async def main() -> None:
    store = SQLiteStore(sys.argv[1])
    await store.open()
    number = store.current.revision
    while True:
        number += 1
        pair = [(Application(name=f"{side}-{number}"), None) for side in ("left", "right")]
        stored = await store.change(lambda now, pair=pair: now.change(pair), "writer")
        print(stored.revision, flush=True)


asyncio.run(main())
