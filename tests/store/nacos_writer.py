"""A control plane's store in a process of its own: `nacos_writer ADDRESS NAMESPACE TASKS`.

Each of TASKS counts up numbers that are kept in applications, as fast as it can, and says `APPLICATION VALUE`
for every answered change, `unknown` or `unavailable REASON` for others. On a line of standard input it ends
its changes; a number there is the revision that it waits for before it says `state REVISION HASH SECONDS`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import time

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application
from controlplane.model.export import export
from controlplane.store.interface import OutcomeUnknown, StoreUnavailable
from tests.store.nacos_tools import connection, opened, until

APPLICATIONS = [f"counter-{n}" for n in range(10)]


def count(definitions: Definitions, name: str) -> int:
    application = definitions.applications.get(name)
    return 0 if application is None else int(application.services[0].removeprefix("n-"))


async def main(address: str, namespace: str, tasks: int) -> None:
    async with opened(connection(address, namespace=namespace)) as store:
        stopping = False

        async def work() -> None:
            while not stopping:
                name = random.choice(APPLICATIONS)

                def up(definitions: Definitions, name: str = name) -> Definitions:
                    services = (f"n-{count(definitions, name) + 1}",)
                    return definitions.put(Application(name=name, services=services))

                try:
                    stored = await store.change(up, "writer")
                    print(name, count(stored.definitions, name), flush=True)
                except OutcomeUnknown:
                    print("unknown", flush=True)
                except StoreUnavailable as error:
                    print("unavailable", error, flush=True)

        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(work())
            await asyncio.to_thread(sys.stdin.readline)
            stopping = True
        print("stopped", flush=True)
        wanted = int(await asyncio.to_thread(sys.stdin.readline))
        before = time.monotonic()
        stored = await until(store, lambda now: now.revision >= wanted)
        digest = hashlib.sha256(export(stored.definitions).encode()).hexdigest()
        print("state", stored.revision, digest, time.monotonic() - before, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
