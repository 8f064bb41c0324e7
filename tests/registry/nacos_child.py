"""A process of its own that watches a Nacos server, for tests that stop it: `nacos_child ADDRESS DIRECTORY`.

Prints the ports of sc-A as a JSON list, a line for each state of the catalog.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.registry.nacos_tools import config, watching


async def main(address: str, directory: Path) -> None:
    async with watching(config(address, directory)) as watch:

        def say(_: frozenset[str]) -> None:
            print(json.dumps([i.port for i in watch.service("sc-A")]), flush=True)

        watch.catalog.subscribe(say)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
