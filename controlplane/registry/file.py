"""The file source: services written in YAML or JSON, in one file or in a directory of them, watched.

A file with an error changes nothing: its last version without errors stays in use, and the status names the
error and its line. Files are compared by content, so an atomic rename, a write in place and a swapped
symbolic link (as Kubernetes mounts a ConfigMap) have the same effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import watchfiles

from controlplane.registry.file_documents import parse
from controlplane.registry.file_fields import FieldError
from controlplane.registry.names import canonical_id
from controlplane.registry.source import RawService, Sink

log = structlog.get_logger("laneway.registry.file")

SUFFIXES = (".yaml", ".yml", ".json")
CHECK = 1.0
"""Seconds between two reads without an event: network file systems and links to elsewhere send none."""


class FileSource:
    """Watches `path`: a file, or a directory with files *.yaml, *.yml and *.json, hidden ones excepted."""

    name = "file"

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._texts: dict[Path, bytes] = {}
        self._good: dict[Path, dict[str, RawService]] = {}
        self._errors: dict[Path, str] = {}
        self._reported: dict[str, RawService] = {}

    async def run(self, sink: Sink) -> None:
        """Report the files until cancelled."""
        self._reported = {}
        sink.reconnected()  # after a failure of this source; it has no effect at a start
        async for _ in self._changes():
            self.look(sink)

    def look(self, sink: Sink) -> None:
        """Read the files that changed, and report the services that differ."""
        missing = self._read()
        services, doubles = self._merged()
        for name, service in services.items():
            if self._reported.get(name) != service:
                sink.update(canonical_id(self.name, "", "", name), service)
        for name in self._reported.keys() - services.keys():
            sink.remove(canonical_id(self.name, "", "", name))
        self._reported = services
        problems = [missing, *(f"{p}: {text}" for p, text in sorted(self._errors.items())), *doubles]
        problem = "; ".join(text for text in problems if text)
        sink.problem(problem)
        if not problem:
            sink.synced()

    def _read(self) -> str:
        """Read each file whose content changed. Returns why the path cannot be read, "" if it can."""
        try:
            texts = {path: path.read_bytes() for path in self._files()}
        except OSError as error:
            return f"{error.filename or self._path} cannot be read: {error.strerror or error}"
        for path in self._texts.keys() - texts.keys():
            self._good.pop(path, None)
            self._errors.pop(path, None)
        for path, content in texts.items():
            if self._texts.get(path) == content:
                continue
            try:
                self._good[path] = parse(content.decode())
                self._errors.pop(path, None)
            except (FieldError, UnicodeDecodeError) as error:
                self._errors[path] = str(error)
        self._texts = texts
        return ""

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        return sorted(
            p for p in self._path.iterdir() if p.suffix in SUFFIXES and p.name[0] != "." and p.is_file()
        )

    def _merged(self) -> tuple[dict[str, RawService], list[str]]:
        """All services, and an error for each name that two files have: the first file's service is used."""
        services: dict[str, RawService] = {}
        doubles: list[str] = []
        first: dict[str, Path] = {}
        for path in sorted(self._good):
            for name, service in self._good[path].items():
                if name in services:
                    doubles.append(
                        f"{path}: the service {name} is also in {first[name]}, which is used; "
                        "remove one of them"
                    )
                else:
                    services[name] = service
                    first[name] = path
        return services, doubles

    async def _changes(self) -> AsyncIterator[None]:
        """Yields at once, after every event of the file system, and every `CHECK` seconds."""
        while True:
            yield
            folder = self._path if self._path.is_dir() else self._path.parent
            try:
                async for _ in watchfiles.awatch(
                    folder,
                    watch_filter=None,
                    debounce=50,
                    step=10,
                    rust_timeout=int(CHECK * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    yield
                    if not folder.is_dir():
                        break
            except (OSError, RuntimeError) as error:
                log.debug(
                    "the file system sends no events; reading from time to time",
                    path=str(folder),
                    error=str(error),
                )
            await asyncio.sleep(CHECK)
