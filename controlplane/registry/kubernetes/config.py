"""Which cluster and which of its namespaces are read, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controlplane.kubernetes.access import Access, from_kubeconfig, in_cluster
from controlplane.kubernetes.client import WATCH_FOR
from controlplane.kubernetes.errors import ConfigurationError
from controlplane.registry.metadata import Conventions


@dataclass(frozen=True, slots=True)
class KubernetesConfig:
    """Settings of Kubernetes as a registry. Durations are seconds.

    `kubeconfig` is None in a pod, whose service account is used then. `namespaces` are those that are read,
    or those whose labels match `selector`; without either, all. `conventions` tell which annotations of pods
    may hold a tag. The API server is asked for something every `heartbeat` and must answer `within` it.
    After a failure it is connected again after `retry`, later after up to `retry_most`. Collections are
    listed anew every `resync`. A watch ends after `watch_for`, and the next one goes on.
    """

    kubeconfig: Path | None = None
    context: str = ""
    namespaces: tuple[str, ...] = ()
    selector: str = ""
    conventions: Conventions = Conventions()  # noqa: RUF009
    heartbeat: float = 5.0
    within: float = 5.0
    retry: float = 0.2
    retry_most: float = 5.0
    resync: float = 600.0
    watch_for: float = WATCH_FOR

    def access(self) -> Access:
        """The API server and the credentials. Raises ConfigurationError."""
        if self.kubeconfig is not None:
            return from_kubeconfig(self.kubeconfig, self.context)
        access = in_cluster()
        if access is None:
            raise ConfigurationError(
                "this process is not in a pod with a service account",
                remedy="name a kubeconfig with --kubernetes-config",
            )
        return access
