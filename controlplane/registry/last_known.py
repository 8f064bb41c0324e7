"""The last known services of each source, on disk: for a start while a registry cannot be reached.

There is one JSON file for each source. It has the instances as the registry reports them, so that the tag
keys of the next start apply to them.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from controlplane.registry.source import RawInstance, RawService
from controlplane.registry.types import Health, Instance, Service

log = structlog.get_logger("laneway.registry")

FORMAT = 1


class LastKnown:
    """Reads and writes the files in `directory`, which is made when the first one is written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writing = threading.Lock()

    def _path(self, source: str) -> Path:
        return self._directory / f"services-{source}.json"

    def save(self, source: str, services: Iterable[Service]) -> None:
        """Replace the file of `source` by these services. May be called in any thread; errors are logged."""
        path = self._path(source)
        document = {"format": FORMAT, "services": [_written(one) for one in services]}
        new = path.with_suffix(".new")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with self._writing:
                with new.open("w") as file:
                    file.write(json.dumps(document, separators=(",", ":")))
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(path)
        except OSError as error:
            log.warning(
                "the last known services cannot be saved for the next start",
                path=str(path),
                reason=str(error),
            )

    def load(self, source: str) -> Mapping[str, tuple[RawService, float]]:
        """The last known services of `source` by id, each with the time of its last change.

        Times are in seconds since the epoch. Empty where there is no file, or, with a warning in the log,
        where it cannot be read.
        """
        path = self._path(source)
        try:
            document = json.loads(path.read_bytes())
            if document["format"] != FORMAT:
                raise ValueError(f"its format is {document['format']}, this version reads {FORMAT}")
            return {one["id"]: (_read(one), float(one["updated"])) for one in document["services"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning(
                "the last known services cannot be read; starting without them",
                path=str(path),
                reason=repr(error),
            )
            return {}


def _written(service: Service) -> dict[str, Any]:
    return {
        "id": service.id,
        "name": service.name,
        "updated": service.updated,
        "protocol": service.protocol.value,
        "aliases": service.aliases,
        "hosts": service.hosts,
        "instances": [_written_instance(one) for one in service.instances],
    }


def _written_instance(one: Instance) -> dict[str, Any]:
    return {
        "address": one.address,
        "port": one.port,
        "weight": one.weight,
        "healthy": one.health is Health.HEALTHY,
        "metadata": dict(one.metadata),
        "protocol": one.protocol.value,
        "zone": one.zone,
    }


def _read(service: dict[str, Any]) -> RawService:
    instances = tuple(
        RawInstance(
            address=one["address"],
            port=one["port"],
            weight=one["weight"],
            healthy=one["healthy"],
            metadata=MappingProxyType({str(k): str(v) for k, v in one["metadata"].items()}),
            protocol=one["protocol"],
            zone=one.get("zone", ""),
        )
        for one in service["instances"]
    )
    return RawService(
        service["name"],
        instances,
        service["protocol"],
        tuple(service.get("aliases", ())),
        tuple(service.get("hosts", ())),
    )
