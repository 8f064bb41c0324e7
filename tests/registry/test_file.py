"""The file source: its documents, and what happens when files change."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.registry.catalog import Catalog
from controlplane.registry.file import FileSource
from controlplane.registry.file_documents import parse
from controlplane.registry.file_fields import FieldError
from controlplane.registry.source import RawService

ONE = "services: [{name: sc-A, instances: [{address: 127.0.1.1, port: %d}]}]\n"


def test_a_whole_document() -> None:
    services = parse(
        """
services:
  - name: sc-A
    protocol: http1
    instances:
      - {address: 127.0.1.1, port: 20001, weight: 2, metadata: {app: a, version: 1.10, x: yes}}
      - {address: 127.0.1.2, port: 20001, health: unhealthy, protocol: grpc, metadata: {lane: }}
  - {name: sc-B}
"""
    )
    first, second = services["sc-A"].instances
    assert services["sc-A"].protocol == "http1"
    assert dict(first.metadata) == {"app": "a", "version": "1.10", "x": "yes"}
    assert (first.weight, first.healthy) == (2.0, True)
    assert (second.protocol, second.healthy, dict(second.metadata)) == ("grpc", False, {"lane": ""})
    assert services["sc-B"].instances == ()
    assert parse('{"services": []}') == {}


@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        ("", 1, "services", "empty"),
        (
            "services:\n- name: a\n  instances:\n  - {adress: x}\n",
            4,
            "services[0].instances[0].adress",
            "address",
        ),
        ("services:\n- name: a\n  name: b\n", 3, "services[0].name", "twice"),
        ("services:\n- name: a\n- name: a\n", 3, "services[1]", "twice"),
        ("services:\n- {}\n", 2, "services[0]", "name is missing"),
        ("services:\n- {name: ''}\n", 2, "services[0].name", "empty"),
        ("services:\n- {name: a, protocol: http3}\n", 2, "services[0].protocol", "http1 or http2"),
        ("services: {}\n", 1, "services", "list"),
        ("other: 1\n", 1, "other", "not a known field"),
        ("services: [\n", 2, "", "not YAML"),
        (
            "services: [{name: a, instances: [{address: x}]}]",
            1,
            "services[0].instances[0]",
            "port is missing",
        ),
        (ONE % 80 + "---\n- 1\n", 3, "", "mapping"),
        (ONE.replace("%d", "'80'"), 1, "services[0].instances[0].port", "whole number"),
        (ONE.replace("%d", "1_0"), 1, "services[0].instances[0].port", "whole number"),
        (ONE.replace("%d", "80, weight: heavy"), 1, "services[0].instances[0].weight", "number"),
        (ONE.replace("%d", "80, health: good"), 1, "services[0].instances[0].health", "healthy or unhealthy"),
        (
            ONE.replace("%d", "80, metadata: {a: [1]}"),
            1,
            "services[0].instances[0].metadata.a",
            "must be a string",
        ),
        ("a: &a [1]\nb: &b [*a, *a]\n" * 1, 1, "a", "not a known field"),
        ("services: " + "[" * 100 + "]" * 100, 1, "services" + "[0]" * 31, "deep"),
        ("services: &s [*s]", 1, "", "contains itself"),
    ],
)
def test_complaints_name_line_and_field(text: str, line: int, field: str, words: str) -> None:
    with pytest.raises(FieldError, match=words) as raised:
        parse(text)
    assert (raised.value.line, raised.value.field) == (line, field)


def test_aliases_cannot_make_a_small_file_large() -> None:
    levels = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12))
    began = time.monotonic()
    with pytest.raises(FieldError, match="too large"):
        parse("x0: &x0 [1]\n" + levels)
    assert time.monotonic() - began < 20


class Heard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.services: dict[str, RawService] = {}
        self.text = ""
        self.complete = False
        self.changed = asyncio.Event()

    def update(self, service_id: str, service: RawService) -> None:
        self.services[service_id] = service
        self.changed.set()

    def remove(self, service_id: str) -> None:
        del self.services[service_id]
        self.changed.set()

    def synced(self) -> None:
        self.complete = True
        self.changed.set()

    def problem(self, text: str) -> None:
        self.text = text
        self.changed.set()

    def unreachable(self, reason: str) -> None: ...
    def reconnected(self) -> None: ...
    def version(self, text: str) -> None: ...

    def ports(self) -> dict[str, list[int]]:
        return {i: [one.port for one in s.instances] for i, s in self.services.items()}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def test_a_bad_edit_keeps_the_last_good(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    source, sink = FileSource(path), Heard()
    source.look(sink)
    assert "No such file" in sink.text
    assert not sink.complete
    path.write_text(ONE % 1)
    source.look(sink)
    assert sink.complete
    path.write_text("services: [{name: sc-A, port: 1}]")
    source.look(sink)
    assert sink.text == (
        f"{path}: line 1: services[0].port: is not a known field; "
        "the fields here are name, protocol, instances"
    )
    assert sink.ports() == {"file///sc-A": [1]}
    path.write_bytes(b"\xff")
    source.look(sink)
    assert "decode" in sink.text
    path.unlink()
    source.look(sink)
    assert sink.ports() == {"file///sc-A": [1]}
    path.write_text(ONE % 2)
    source.look(sink)
    assert (sink.text, sink.ports()) == ("", {"file///sc-A": [2]})


def test_a_directory(tmp_path: Path) -> None:
    source, sink = FileSource(tmp_path), Heard()
    source.look(sink)
    assert sink.complete
    (tmp_path / "a.yaml").write_text(ONE % 1)
    (tmp_path / "b.json").write_text('{"services": [{"name": "sc-B"}, {"name": "sc-A"}]}')
    (tmp_path / ".c.yaml").write_text("hidden")
    (tmp_path / "notes.txt").write_text("no services")
    source.look(sink)
    assert sink.ports() == {"file///sc-A": [1], "file///sc-B": []}
    assert f"is also in {tmp_path / 'a.yaml'}" in sink.text
    (tmp_path / "b.json").unlink()
    source.look(sink)
    assert (sink.text, sink.ports()) == ("", {"file///sc-A": [1]})


@pytest.mark.parametrize("how", ["in place", "rename", "link"])
async def test_every_way_of_writing_is_noticed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "services.yaml"
    if how == "link":  # as Kubernetes mounts a ConfigMap
        for n in (1, 2):
            (tmp_path / f"v{n}").mkdir()
            (tmp_path / f"v{n}" / path.name).write_text(ONE % n)
        (tmp_path / "data").symlink_to("v1")
        path.symlink_to("data/services.yaml")
    else:
        path.write_text(ONE % 1)
    sink = Heard()
    task = asyncio.create_task(FileSource(path).run(sink))
    await sink.until(lambda: sink.complete)
    if how == "in place":
        path.write_text(ONE % 2)
    elif how == "rename":
        (tmp_path / "new").write_text(ONE % 2)
        os.replace(tmp_path / "new", path)
    else:
        (tmp_path / "new").symlink_to("v2")
        os.replace(tmp_path / "new", tmp_path / "data")
    await sink.until(lambda: sink.ports() == {"file///sc-A": [2]})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_catalog_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(ONE % 1)
    catalog = Catalog([FileSource(path)])
    task = asyncio.create_task(catalog.run())
    async with asyncio.timeout(20):
        await catalog.wait_synced()
    assert [i.port for i in catalog.services["file///sc-A"].instances] == [1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
