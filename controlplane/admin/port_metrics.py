"""What /metrics says of the admin port itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.admin.connection import Port

REFUSED = {
    "malformed": "requests_malformed",
    "headers": "headers_refused",
    "host": "hosts_refused",
    "origin": "origins_refused",
    "bodies": "bodies_refused",
    "logins": "logins_limited",
    "tls": "tls_failed",
    "certificate": "certificates_missing",
    "watches": "watches_refused",
}
TIMED_OUT = ("headers", "body", "answer")


class AdminCollector(Collector):
    """Metrics of one admin port. `requests`: what its application counts, see `Guard`."""

    def __init__(self, port: Port, requests: Counter[str]) -> None:
        self._port = port
        self._requests = requests

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering does not collect."""
        return ()

    def collect(self) -> Iterable[Metric]:
        crowd, counted = self._port.crowd, self._requests + self._port.counters
        yield GaugeMetricFamily("laneway_admin_connections", "Open connections to the admin API", len(crowd))
        ended = CounterMetricFamily(
            "laneway_admin_connections_ended", "Connections that had to go, by reason", labels=["reason"]
        )
        ended.add_metric(["displaced"], crowd.displaced)
        ended.add_metric(["refused"], crowd.refused)
        ended.add_metric(["answer not taken"], counted["answers_cut"])
        ended.add_metric(["token ended"], counted["answers_revoked"])
        for what in TIMED_OUT:
            ended.add_metric([f"{what} timed out"], counted[f"timed_out_{what}"])
        yield ended
        shakes = self._port.handshakes
        yield CounterMetricFamily(
            "laneway_admin_handshakes_delayed",
            "Parts of TLS handshakes that waited for their turn",
            shakes.delayed,
        )
        yield CounterMetricFamily(
            "laneway_admin_handshake_seconds", "Seconds of a core that TLS handshakes took", shakes.seconds
        )
        refused = CounterMetricFamily(
            "laneway_admin_requests_refused",
            "Requests refused before they were read, by reason",
            labels=["reason"],
        )
        for reason, name in REFUSED.items():
            refused.add_metric([reason], counted[name])
        yield refused
        entries = CounterMetricFamily(
            "laneway_audit_entries", "Entries of the audit by what became of them", labels=["result"]
        )
        for result in ("written", "failed", "suppressed"):
            entries.add_metric([result], counted[f"audit_{result}"])
        yield entries
        keys = CounterMetricFamily(
            "laneway_oidc_keys_reads", "Times that the keys of the OpenID issuer were read", labels=["result"]
        )
        for result in ("reloaded", "failed"):
            keys.add_metric([result], counted[f"oidc_{result}"])
        yield keys
        yield CounterMetricFamily(
            "laneway_admin_logins_failed", "Requests with a token that is nobody's", counted["logins_failed"]
        )
