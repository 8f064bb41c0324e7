"""Nacos clients in a process of their own, as applications have them: `nacos_clients ADDRESS DIRECTORY`.

A process that forks must not have gRPC in it, so the tests have not. Reads commands as JSON lines and answers
each with a line: ["register", client, service, [instance]] or ["leave", client].
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from controlplane.registry.nacos import NacosConfig
from tests.registry.nacos_tools import Publisher


async def main(address: str, directory: Path) -> None:
    login = {k: os.environ.get(f"NACOS_{k.upper()}", "") for k in ("username", "password")}
    config = NacosConfig((address,), state_dir=directory, **login)
    clients: dict[str, Publisher] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, name, *rest = json.loads(line)
        try:
            if what == "leave":
                await clients.pop(name).__aexit__()
            else:
                if name not in clients:
                    client = Publisher(config)
                    await client.__aenter__()
                    clients[name] = client
                service, instances = rest
                await clients[name].register(service, *instances)
            answer = ""
        except Exception as error:
            answer = repr(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
