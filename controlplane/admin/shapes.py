"""What the admin API shows of services and revisions."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from controlplane.admin.control import ControlPlane
from controlplane.registry.names import ServiceNameError
from controlplane.registry.types import Instance, Service, SourceStatus
from controlplane.store.interface import Revision


def time_text(seconds: float) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC; None for 0, which means never."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None


def overrides(control: ControlPlane) -> dict[str, str]:
    """Application by canonical service id, where a definition of kind Application decides."""
    found: dict[str, str] = {}
    for name, application in sorted(control.store.current.definitions.applications.items()):
        for service in application.services:
            try:
                found.setdefault(control.resolve_service(service).id, name)
            except ServiceNameError:
                continue
    return found


def sources(control: ControlPlane) -> list[dict[str, Any]]:
    """`sources` of /v1/services and /readyz: is what is shown of each registry what it has now?"""
    return [_source(one) for one in control.sources()]


def store(control: ControlPlane) -> dict[str, Any]:
    """`store` of /readyz: are the definitions that are served those that hold?"""
    return {"problem": control.store.problem or None}


def _source(one: SourceStatus) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": one.version or None,
        "state": one.state.value,
        "problem": one.error or None,
        "unreachable_since": time_text(one.unreachable_since),
        "updated": time_text(one.updated),
        "age": max(0, round(time.time() - one.updated)) if one.updated else None,
        "services": one.services,
        "instances": one.instances,
        "held_services": one.held_services,
        "held_instances": one.held,
    }


def service(one: Service, application: str | None, conflicts: list[str]) -> dict[str, Any]:
    """An item of /v1/services; `application` is what a definition says, if one does."""
    return {
        "service": one.id,
        "source": one.source,
        "updated": time_text(one.updated),
        "held": one.held,
        "protocol": one.protocol.value or None,
        "instances": [_instance(instance, one, application) for instance in one.instances],
        "refused": [
            {"address": refused.address, "port": refused.port, "reason": refused.reason}
            for refused in one.refused
        ],
        "conflicts": conflicts,
        "warnings": list(one.warnings),
    }


def _instance(one: Instance, of: Service, application: str | None) -> dict[str, Any]:
    return {
        "address": one.address,
        "port": one.port,
        "tag": one.tag,
        "application": application or one.application or of.name,
        "health": one.health.value,
        "weight": one.weight,
        "held": one.held,
        "metadata": dict(one.metadata),
    }


def revision(one: Revision) -> dict[str, Any]:
    """An item of /v1/revisions."""
    return {
        "revision": one.number,
        "at": time_text(one.at),
        "who": one.author,
        "note": one.note,
        "what": [change.what for change in one.changes],
        "diff": one.diff,
    }
