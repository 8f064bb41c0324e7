"""Kubernetes as a registry. It is imported only where it is configured."""

from controlplane.registry.kubernetes.config import KubernetesConfig
from controlplane.registry.kubernetes.source import KubernetesSource

__all__ = ["KubernetesConfig", "KubernetesSource"]
