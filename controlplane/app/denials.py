"""Clients of the xDS port that may not be what they say, or may not call what they call, in the audit."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from controlplane.admin.audit import Sink, Trail
from controlplane.net.lines import host_of
from controlplane.rpc.transport import Call
from controlplane.xds.bounds import shown


class Denials:
    """Writes entries of the shape of those of the admin port to `sink`, ten of an address in ten seconds.

    counters: as those of `Audited`.
    """

    def __init__(self, sink: Sink, counters: Counter[str]) -> None:
        self._trail = Trail(sink, counters)

    def told(self, call: Call, reason: str) -> None:
        """A call ends with PERMISSION_DENIED."""
        certificate = call.certificate
        names = () if certificate is None else (*certificate.uris, *certificate.names)
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": "",
            "who": shown(names[0], 200) if names else "",
            "by": "" if certificate is None else "certificate",
            "address": host_of(call.peer),
            "method": "xDS",
            "path": call.method,
            "operation": "",
            "status": HTTPStatus.FORBIDDEN.value,
            "outcome": "refused",
            "reason": shown(reason),
        }
        self._trail.put_bounded(entry)
