"""Long runs of `test_uploads`: every size and form, many at once, and the memory of the proxies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh, seen_anew
from tests.mesh.test_uploads import GRAY, dead
from tests.mesh.uploads import BLOCK, FORMS, Uploaded, upload

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(900)]
MIB = 1 << 20
SIZES = (1 << 10, 64 << 10, MIB - 1, MIB, MIB + 1, 2 * MIB, 8 * MIB, 32 * MIB, 200 * MIB)


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    made.pod("A", "sc-A", "a")
    made.pod("Agray", "sc-A", "a", tag="gray")
    made.start(route("a", "sc-A"), group("order-flow", "a"), lane("gray"))
    made.wait_chain(["Agray"], GRAY)
    return made


@pytest.mark.parametrize("form", FORMS)
def test_every_size(mesh: Mesh, form: str) -> None:
    """None is lost, but for one over 1 MiB that meets a connection whose window has grown to megabytes."""
    lost: list[int] = []
    with dead(mesh, "Agray", "application") as pod:
        for size in SIZES:
            seen_anew(mesh, pod)
            answer = asyncio.run(upload(mesh.edge_address, form, size))
            if answer.status in (503, 507):
                lost.append(size)
                answer = asyncio.run(upload(mesh.edge_address, form, size))
            assert answer == Uploaded(200, ("A",), size)
    assert len(lost) <= 1
    assert all(size > MIB for size in lost)
    seen_anew(mesh, pod)
    mesh.wait_chain(["Agray"], GRAY)


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_many_at_once_as_the_application_dies(mesh: Mesh, form: str) -> None:
    """Twenty uploads that all meet a dead application which nobody has found yet, ten times.

    One upload per proxy and ten seconds may be lost (decision 17).
    """
    found: Counter[Uploaded] = Counter()

    async def together() -> list[Uploaded]:
        return await asyncio.gather(*(upload(mesh.edge_address, form, 4 * MIB) for _ in range(20)))

    with dead(mesh, "Agray", "application") as pod:
        for _ in range(10):
            seen_anew(mesh, pod)
            found.update(asyncio.run(together()))
    assert found.pop(Uploaded(200, ("A",), 4 * MIB)) >= 198
    assert {answer.status for answer in found} <= {503, 507}
    seen_anew(mesh, pod)
    mesh.wait_chain(["Agray"], GRAY)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def test_proxies_keep_a_megabyte_of_each(mesh: Mesh) -> None:
    """Forty uploads that have sent 20 MiB each, and stay open."""
    pod = mesh.pods["Agray"]
    assert mesh.edge_envoy is not None
    assert pod.envoy is not None
    proxies = [mesh.edge_envoy.process.pid, pod.envoy.process.pid]

    async def hold() -> None:
        writers = []
        for _ in range(40):
            _, writer = await asyncio.open_connection(*mesh.edge_address)
            writer.write(
                f"POST /a HTTP/1.1\r\nhost: x\r\ncanary: gray\r\ncontent-length: {40 * MIB}\r\n\r\n".encode()
            )
            writers.append(writer)

        async def fill(writer: asyncio.StreamWriter) -> None:
            for _ in range(20 * MIB // len(BLOCK)):
                writer.write(BLOCK)
                await writer.drain()

        await asyncio.gather(*(fill(w) for w in writers))
        before_end.extend(resident(pid) for pid in proxies)
        for writer in writers:
            writer.transport.abort()

    before_end: list[int] = []
    before = [resident(pid) for pid in proxies]
    asyncio.run(hold())
    grown = [now - then for now, then in zip(before_end, before, strict=True)]
    assert max(grown) < 40 * 2 * MIB
    until(lambda: mesh.stats(mesh.edge_admin, "http.edge.downstream_rq_active$") == 0, 20, "the end of all")
