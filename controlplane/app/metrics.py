"""The metrics of /metrics. They are read from the running parts at each scrape, so that nothing is counted
twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from controlplane.app.peers import Peers
from controlplane.app.traffic_metrics import TrafficCollector
from controlplane.callouts.client import RESULTS
from controlplane.model.kinds import KINDS
from controlplane.secrets.directory import Secrets
from controlplane.snapshot.view import NodeView
from controlplane.store.interface import StoreUnavailable
from controlplane.xds.standing import STATES

if TYPE_CHECKING:
    from controlplane.app.laneway import Laneway
    from controlplane.net.tls import Tls

MOST_FINDINGS = 1_000
"""Series of who loses the lane; the REST API has the rest."""
STATUSES = ("invalid_argument", "permission_denied", "resource_exhausted", "unavailable")
"""With which streams are ended most; they are shown before there are any."""
COUNTERS = {
    "streams_opened": "xDS streams that were opened",
    "pushes": "Responses that were sent on xDS streams",
    "pushed_bytes": "Bytes of the responses that were sent",
    "acks": "Responses that proxies accepted",
    "nacks": "Responses that proxies rejected",
}


class LanewayCollector(Collector):
    """Metrics of one control plane."""

    def __init__(self, laneway: Laneway) -> None:
        self._laneway = laneway

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering the collector does not collect."""
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from self._xds()
        yield from self._registry()
        yield from self._definitions()
        yield from self._propagation()
        yield from self._callouts()

    def _callouts(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "laneway_release_requests",
            "Requests of releases to a Prometheus or a web hook, by result",
            labels=["result"],
        )
        for result in RESULTS:
            family.add_metric([result], self._laneway.releasing.callouts.counters[result])
        yield family

    def _propagation(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "laneway_propagation_lost_ratio",
            "Share of the calls of requests in a lane that an application made without it, when it was last "
            "observed; nothing where that was not enough to say",
            labels=["application", "to"],
        )
        calls = GaugeMetricFamily(
            "laneway_propagation_observed_calls",
            "Calls of requests in a lane that this share was found by",
            labels=["application", "to"],
        )
        observed = self._laneway.propagation()
        for one in observed.findings[:MOST_FINDINGS]:
            if one.share is not None:
                family.add_metric([one.application, one.to], one.share)
                calls.add_metric([one.application, one.to], one.kept + one.lost)
        yield from (family, calls)
        if observed.at is not None:
            yield GaugeMetricFamily(
                "laneway_propagation_observed_timestamp_seconds",
                "When the last observation of lost lanes ended, in seconds since 1970",
                datetime.fromisoformat(observed.at).timestamp(),
            )

    def _xds(self) -> Iterable[Metric]:
        counters = self._laneway.xds.counters
        yield GaugeMetricFamily("laneway_xds_streams", "Open xDS streams", counters["streams"])
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"laneway_xds_{name}", text, counters[name])
        trials = CounterMetricFamily(
            "laneway_xds_trials", "Changes that went to two proxies first, by result", labels=["result"]
        )
        for result in ("accepted", "rejected", "timed_out", "overtaken"):
            trials.add_metric([result], counters[f"trials_{result}"])
        yield trials
        yield CounterMetricFamily(
            "laneway_xds_retried_changes",
            "Held changes that were tried again, because a proxy that rejected them left",
            counters["trials_retried"],
        )
        yield CounterMetricFamily(
            "laneway_xds_outvoted",
            "Proxies that rejected a change which others accepted",
            counters["trials_outvoted"],
        )
        standings = self._laneway.xds.standings()
        clients = GaugeMetricFamily(
            "laneway_xds_clients",
            "Open xDS streams by how far their clients are believed and waited for",
            labels=["standing"],
        )
        for standing in STATES:
            clients.add_metric([standing], standings[standing])
        yield clients
        times = self._laneway.xds.change_times
        yield HistogramMetricFamily(
            "laneway_xds_change_ack_seconds",
            "From a change until a client accepted the response that has it, trial and waiting included; "
            "answers to requests are left out",
            buckets=times.cumulative(),
            sum_value=times.sum,
        )
        times = self._laneway.xds.ack_times
        yield HistogramMetricFamily(
            "laneway_xds_ack_seconds",
            "From when a response was composed until its client accepted it",
            buckets=times.cumulative(),
            sum_value=times.sum,
        )
        roles = Counter(view.node.role for view in self._laneway.xds.views() if isinstance(view, NodeView))
        connected = GaugeMetricFamily("laneway_proxies", "Connected xDS clients by role", labels=["role"])
        for role in ("edge", "sidecar", "grpc"):
            connected.add_metric([role], roles[role])
        yield connected
        held = len(self._laneway.xds.held())
        yield GaugeMetricFamily("laneway_xds_held_changes", "Changes held back, see GET /v1/proxies", held)
        yield GaugeMetricFamily(
            "laneway_held_gateways",
            "Gateways whose change by another control plane is held, see their warnings",
            len(self._laneway.held_gateways),
        )
        ended = CounterMetricFamily(
            "laneway_xds_streams_refused", "Streams ended by Laneway", labels=["status"]
        )
        by_status = dict.fromkeys(STATUSES, 0) | {
            name.removeprefix("streams_ended_"): count
            for name, count in counters.items()
            if name.startswith("streams_ended_")
        }
        for status, count in sorted(by_status.items()):
            ended.add_metric([status], count)
        yield ended
        yield GaugeMetricFamily(
            "laneway_connections", "Open connections to the xDS server", self._laneway.xds.connections
        )
        yield GaugeMetricFamily(
            "laneway_connections_entering",
            "Connections that wait until the xDS server lets them in",
            self._laneway.xds.entering,
        )
        yield GaugeMetricFamily(
            "laneway_xds_waiting_bytes",
            "Bytes of responses that xDS clients have not read yet; those that many are sent count once",
            self._laneway.xds.waiting,
        )
        cut = CounterMetricFamily(
            "laneway_connections_ended", "Connections to the xDS server that it ended", labels=["reason"]
        )
        for reason, count in sorted(self._laneway.xds.connections_ended.items()):
            cut.add_metric([reason], count)
        yield cut
        yield CounterMetricFamily(
            "laneway_handshakes_delayed",
            "Parts of TLS handshakes of the xDS port that waited for their turn",
            self._laneway.xds.handshakes_delayed,
        )
        yield CounterMetricFamily(
            "laneway_log_lines_suppressed",
            "Log lines about xDS clients that were left out, because one address caused too many",
            self._laneway.xds.suppressed_lines,
        )

    def _registry(self) -> Iterable[Metric]:
        families = {
            "connected": GaugeMetricFamily(
                "laneway_source_connected", "1 while the connection to a registry works", labels=["source"]
            ),
            "synced": GaugeMetricFamily(
                "laneway_source_synced", "1 once a registry was read completely", labels=["source"]
            ),
            "services": GaugeMetricFamily("laneway_services", "Services of a registry", labels=["source"]),
            "instances": GaugeMetricFamily("laneway_instances", "Instances of a registry", labels=["source"]),
            "held": GaugeMetricFamily(
                "laneway_held_instances",
                "Instances served although the registry lost them",
                labels=["source"],
            ),
        }
        problem = GaugeMetricFamily(
            "laneway_source_problem", "1 while an entry of a registry cannot be used", labels=["source"]
        )
        refused = GaugeMetricFamily(
            "laneway_refused_instances",
            "Instances that are not served: see GET /v1/services",
            labels=["source"],
        )
        rejected: Counter[str] = Counter()
        for service in self._laneway.catalog.services.values():
            rejected[service.source] += len(service.refused)
        age = GaugeMetricFamily(
            "laneway_source_age_seconds", "Time since the last report of a registry", labels=["source"]
        )
        for status in self._laneway.catalog.status():
            if status.updated:
                age.add_metric([status.name], max(0.0, time.time() - status.updated))
            problem.add_metric([status.name], float(bool(status.error)))
            refused.add_metric([status.name], rejected[status.name])
            for field, family in families.items():
                family.add_metric([status.name], float(getattr(status, field)))
        yield from (*families.values(), problem, refused, age)

    def _definitions(self) -> Iterable[Metric]:
        status = self._laneway.store_status()
        yield GaugeMetricFamily(
            "laneway_store_problem",
            "1 while the store has a problem: definitions may be stale or read-only, see /readyz",
            float(bool(status.problem)),
        )
        yield GaugeMetricFamily(
            "laneway_store_read_only", "1 while changes of definitions are refused", float(status.read_only)
        )
        try:
            store = self._laneway.store
        except StoreUnavailable:
            return  # Not loaded yet; a 0 would say that there are no definitions.
        stored = store.current
        definitions = stored.definitions
        if store.snapshot_revision is not None:
            yield GaugeMetricFamily(
                "laneway_snapshot_revision",
                "Number of the change of definitions that the last snapshot has",
                store.snapshot_revision,
            )
        family = GaugeMetricFamily("laneway_definitions", "Definitions by kind", labels=["kind"])
        for kind in KINDS:
            family.add_metric([kind], len(definitions.table(kind)))
        yield family
        enabled = sum(lane.enabled for lane in definitions.lanes.values())
        yield GaugeMetricFamily("laneway_lanes_enabled", "Lanes that are switched on", enabled)
        resting = sum(definitions.lanes[name].enabled for name in self._laneway.times.resting)
        yield GaugeMetricFamily(
            "laneway_lanes_resting", "Lanes that are switched on, and closed by their times", resting
        )
        yield CounterMetricFamily(
            "laneway_store_changes", "Changes of definitions since the start", self._laneway.changes
        )
        yield GaugeMetricFamily(
            "laneway_revision", "Number of the last change of definitions", stored.revision
        )


class SecretsCollector(Collector):
    """The certificates that the control plane holds for listeners of gateways."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def collect(self) -> Iterable[Metric]:
        expires = GaugeMetricFamily(
            "laneway_secret_expires_seconds",
            "When the certificate of a secret that edges are sent ends to be valid, in seconds since 1970",
            labels=["secret"],
        )
        for name, pair in sorted(self._secrets.held().items()):
            expires.add_metric([name], pair.expires)
        yield expires
        yield GaugeMetricFamily(
            "laneway_secrets_failing",
            "Secrets named by gateways whose files cannot be used: see status.warnings of the gateways",
            self._secrets.failing(),
        )
        reloads = CounterMetricFamily(
            "laneway_secret_reloads", "Times that the files of a secret had changed", labels=["result"]
        )
        for result in ("reloaded", "failed"):
            reloads.add_metric([result], self._secrets.reloads[result])
        yield reloads


class PeersCollector(Collector):
    """The other control planes, of which answers about traffic are made, too."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def collect(self) -> Iterable[Metric]:
        answers = GaugeMetricFamily(
            "laneway_peer_answers",
            "1 if another control plane said, when it was asked last, what its proxies have counted",
            labels=["peer"],
        )
        for url, problem in self._peers.problems.items():
            answers.add_metric([url], float(not problem))
        yield answers
        asked = CounterMetricFamily(
            "laneway_peer_requests", "Requests to other control planes", labels=["result"]
        )
        for result in ("answered", "failed"):
            asked.add_metric([result], self._peers.counters[result])
        yield asked


class TlsCollector(Collector):
    """The certificate of a port: `xds` or `admin`."""

    def __init__(self, port: str, tls: Tls) -> None:
        self._port = port
        self._tls = tls

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            f"laneway_{self._port}_certificate_expires_seconds",
            f"When the certificate of the {self._port} port ends to be valid, in seconds since 1970",
            self._tls.material.expires,
        )
        reloads = CounterMetricFamily(
            f"laneway_{self._port}_certificate_reloads",
            f"Times that the TLS files of the {self._port} port had changed",
            labels=["result"],
        )
        for result in ("reloaded", "failed"):
            reloads.add_metric([result], self._tls.reloads[result])
        yield reloads


def registry_of(
    laneway: Laneway, certificates: Mapping[str, Tls | None] | None = None, traffic: int = 2_000
) -> CollectorRegistry:
    """The metrics of `laneway`, of the certificates of its ports, and of its process."""
    registry = CollectorRegistry()
    for port, tls in (certificates or {}).items():
        if tls is not None:
            registry.register(TlsCollector(port, tls))
    registry.register(LanewayCollector(laneway))
    registry.register(SecretsCollector(laneway.secrets))
    registry.register(PeersCollector(laneway.peers))
    registry.register(TrafficCollector(laneway.counting, traffic))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
