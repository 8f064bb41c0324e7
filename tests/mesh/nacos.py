"""Pods of a mesh in a real Nacos, and ways to make the way to it fail."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests.mesh.harness import Mesh
from tests.mesh.pods import Pod
from tests.nacos_server import free_port
from tests.relaying import relay

T = TypeVar("T")


class Background:
    """An event loop in a thread of its own, for tests that are not asynchronous."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[T], timeout: float = 60.0) -> T:
        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(timeout)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Registrar:
    """Applications as Nacos sees them: clients by name, each with its own connection and instances.

    A client's instances go with it, as when a process ends.
    """

    def __init__(self, address: str, directory: Path, login: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "tests.mesh.nacos_clients", address, str(directory)]
        self._errors = (directory / "clients.log").open("wb")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **(login or {})},
        )
        self._clients: set[str] = set()

    def _ask(self, *command: Any) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == '""\n', answer or "the Nacos clients ended"

    def register(self, client: str, service: str, *instances: dict[str, Any]) -> None:
        """These are the instances of `service` at this client now."""
        self._clients.add(client)
        self._ask("register", client, service, instances)

    def pods(self, client: str, *pods: Pod, **more: Any) -> None:
        """Register pods, by service; `more` is set on each instance."""
        for service in sorted({pod.service for pod in pods}):
            self.register(client, service, *(entry(p) | more for p in pods if p.service == service))

    def leave(self, *clients: str) -> None:
        """End clients, or all."""
        for name in clients or sorted(self._clients):
            self._clients.discard(name)
            self._ask("leave", name)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def entry(pod: Pod) -> dict[str, Any]:
    """What a pod's application registers."""
    instance = pod.instance()
    return {
        "ip": instance["address"],
        "port": instance["port"],
        "metadata": instance["metadata"],
        "healthy": instance["health"] == "healthy",
    }


class Relay:
    """Forwards connections to a Nacos server on `port`, HTTP and gRPC, until told otherwise."""

    def __init__(self, port: int) -> None:
        own = free_port()
        self.address = f"127.0.0.1:{own}"
        self._background = Background()
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._servers = self._background.run(self._listen(own, port))
        self.stall(False)

    async def _listen(self, own: int, port: int) -> list[asyncio.Server]:
        async def passes(answer: bool, data: bytes) -> bool:
            await self._open.wait()
            return True

        servers = []
        for offset in (0, 1000):

            def accept(r: asyncio.StreamReader, w: asyncio.StreamWriter, n: int = port + offset) -> None:
                self._writers.add(w)
                task = asyncio.ensure_future(relay(r, w, ("127.0.0.1", n), self._writers, passes))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

            servers.append(await asyncio.start_server(accept, "127.0.0.1", own + offset))
        return servers

    def stall(self, stalled: bool) -> None:
        """Forward nothing, with every connection left open; or everything that waits, and go on."""
        change = self._open.clear if stalled else self._open.set
        self._background.loop.call_soon_threadsafe(change)

    def cut(self) -> None:
        """End every connection at once; new ones are taken."""

        async def close() -> None:
            for writer in self._writers:
                writer.transport.abort()

        self._background.run(close())

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for server in self._servers:
                await server.wait_closed()

        self._background.run(end())
        self._background.close()


def shown(mesh: Mesh, service: str) -> list[str]:
    """The instances as the admin API shows them, by the names of their pods: `A`, `A held`, `A unhealthy`."""
    answer = mesh.rest.call("GET", f"/v1/services/{service}")
    if answer.status != 200:
        return []
    names = {pod.address: name for name, pod in mesh.pods.items()}
    return sorted(
        names.get(one["address"], one["address"])
        + (" held" if one["held"] else "")
        + (" unhealthy" if one["health"] != "healthy" else "")
        for one in answer.json["instances"]
    )


def options(address: str, state: Path, services: Iterable[str] = ()) -> list[str]:
    """Arguments of `laneway serve` for a Nacos server."""
    chosen = [part for name in services for part in ("--nacos-service", name)]
    return ["--nacos", address, "--state-dir", str(state), *chosen]
