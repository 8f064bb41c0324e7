"""What proxies write down of requests: access logs and spans. Nothing, unless a definition says so."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.model.definitions import Definitions
from controlplane.model.gateway_fields import AccessLog, Collector, Tracing


@dataclass(frozen=True, slots=True)
class Observing:
    """`carrier` is the header that carries the lane."""

    carrier: str
    access_log: AccessLog | None = None
    tracing: Tracing | None = None

    def collectors(self) -> list[Collector]:
        """The collectors that a proxy must reach, each once."""
        logs = self.access_log.otlp if self.access_log is not None else None
        spans = self.tracing.collector if self.tracing is not None else None
        return list(dict.fromkeys(one for one in (logs, spans) if one is not None))


NOTHING = Observing("x-lane")


def observing(definitions: Definitions) -> dict[str, Observing]:
    """By application: what its sidecars write down, if anything.

    Spans are a gateway's: an application in groups of several gateways exports to the collector of the first
    of them, by the name of the group.
    """
    found: dict[str, Observing] = {}
    for group in sorted(definitions.groups.values(), key=lambda one: one.name):
        gateway = definitions.gateways.get(group.gateway)
        if gateway is None:
            continue
        for application in group.applications:
            before = found.get(application)
            if before is None or (before.tracing is None and gateway.tracing is not None):
                found[application] = Observing(gateway.carriers.header.lower(), None, gateway.tracing)
    for application in definitions.applications.values():
        if application.access_log is not None:
            one = found.get(application.name, NOTHING)
            found[application.name] = Observing(one.carrier, application.access_log, one.tracing)
    return {name: one for name, one in found.items() if one.access_log or one.tracing}
