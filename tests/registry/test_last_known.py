"""What is known last: on disk while a source is heard, served as held where it is not at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from controlplane.registry.catalog import Catalog
from controlplane.registry.hold import Times
from controlplane.registry.last_known import LastKnown
from controlplane.registry.source import RawInstance, RawService, Sink

META = MappingProxyType({"lane": "gray", "app": "shop"})
SERVICE = RawService(
    "a",
    (
        RawInstance("10.0.0.1", 1, weight=2.5, protocol="http2"),
        RawInstance("10.0.0.1", 2, healthy=False),
        RawInstance("10.0.0.1", 3, metadata=META),
        RawInstance("::1", 4),
    ),
)


class Scripted:
    name = "test"

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def catalog(directory: Path) -> AsyncIterator[Catalog]:
    """A running catalog; what it knows is on disk when the block has ended."""
    made = Catalog([Scripted()], last_known=LastKnown(directory), times=Times(reconnect_wait=60))
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)  # let it begin
    yield made
    made.flush()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def shown(made: Catalog, name: str = "test/a") -> list[str]:
    service = made.services.get(name)
    return [f"{i.port}{i.tag or ''}{' held' if i.held else ''}" for i in service.instances] if service else []


async def known(directory: Path) -> None:
    async with catalog(directory) as made:
        made.sinks["test"].update("test/a", SERVICE)
        made.sinks["test"].update("test/b", RawService("b", (RawInstance("10.0.0.2", 1),)))
        made.sinks["test"].synced()


async def test_a_source_that_is_down_at_the_start(tmp_path: Path) -> None:
    await known(tmp_path)
    async with catalog(tmp_path) as made:
        sink = made.sinks["test"]
        assert not made.synced()
        sink.unreachable("no way")
        assert made.synced()
        assert shown(made) == ["1 held", "2", "3gray", "4 held"]
        first = made.services["test/a"].instances[0]
        assert (first.weight, first.protocol.value, first.application) == (2.5, "http2", "a")
        assert made.services["test/a"].instances[2].application == "shop"
        assert made.status()[0].error == "no way"
        assert not made.status()[0].connected
        sink.reconnected()
        sink.update("test/a", RawService("a", (RawInstance("10.0.0.1", 4), RawInstance("10.0.0.1", 5))))
        sink.synced()
        made.flush()
        assert shown(made) == ["1 held", "4 held", "4", "5"] or shown(made) == ["1 held", "4", "5", "4 held"]
        assert shown(made, "test/b") == ["1 held"], "gone from the registry: held as an emptied base set"


async def test_a_source_that_comes_up_later_has_time_to_be_complete() -> None:
    """Proxies keep what they have as long as nothing is published."""
    made = Catalog([Scripted()], times=Times(start_wait=0.05))
    sink = made.sinks["test"]
    sink.unreachable("no way")
    sink.reconnected()
    sink.synced()
    sink.synced()
    assert not made.synced()
    assert "have registered again" in made.status()[0].error
    sink.unreachable("again")
    assert made.status()[0].error == "again"
    sink.reconnected()
    sink.synced()
    sink.update("test/a", SERVICE)
    async with asyncio.timeout(5):
        await made.wait_synced()
    assert shown(made) == ["1", "2", "3gray", "4"]
    assert made.status()[0].error == ""


async def test_a_source_that_answers_is_believed(tmp_path: Path) -> None:
    await known(tmp_path)
    async with catalog(tmp_path) as made:
        made.sinks["test"].update("test/a", RawService("a", (RawInstance("10.0.0.1", 9),)))
        made.sinks["test"].synced()
        assert shown(made) == ["9"]
        made.sinks["test"].unreachable("later")
        made.flush()
        assert shown(made) == ["9 held"]
        assert shown(made, "test/b") == []


async def test_a_state_that_is_not_complete_replaces_nothing(tmp_path: Path) -> None:
    await known(tmp_path)
    before = (tmp_path / "services-test.json").read_bytes()
    async with catalog(tmp_path) as made:
        made.sinks["test"].update("test/a", RawService("a", (RawInstance("10.0.0.1", 9),)))
    assert (tmp_path / "services-test.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format":2}', '{"format":1,"services":[{"id":"x"}]}'])
async def test_a_file_that_cannot_be_read_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "services-test.json").write_text(text)
    async with catalog(tmp_path) as made:
        made.sinks["test"].unreachable("no way")
        assert not made.synced()


async def test_a_directory_that_cannot_be_written_hurts_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await known(tmp_path / "file" / "below")
