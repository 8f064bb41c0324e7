"""Fixtures with a real API server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from controlplane.registry.kubernetes import KubernetesConfig
from tests.kubernetes.install import MANIFESTS, kubectl
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.server import KubeServer, for_test
from tests.kubernetes.tools import NODE, Admin

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """A server that no test harms."""
    with for_test(tmp_path_factory.mktemp("kubernetes")) as server:
        server.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        yield server


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """A server that a test may kill."""
    with for_test(tmp_path_factory.mktemp("kubernetes")) as server:
        server.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        yield server


@pytest.fixture
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """A server of its own whose Deployments are rolled out."""
    with (
        for_test(tmp_path_factory.mktemp("kubernetes"), deployments=True) as server,
        Kubelet(server) as kubelet,
    ):
        yield kubelet


@pytest.fixture
async def admin(shared: KubeServer) -> Admin:
    """Somebody who writes into a namespace of the test's own."""
    namespace = f"ns-{next(_NUMBERS)}"
    shared.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    return Admin(shared, namespace)


@pytest.fixture
def config(shared: KubeServer, admin: Admin) -> KubernetesConfig:
    """What reads that namespace."""
    return KubernetesConfig(kubeconfig=shared.kubeconfig, namespaces=(admin.namespace,))


@pytest.fixture(scope="session")
def installed(shared: KubeServer) -> KubeServer:
    """The server with what `kubectl apply -k deploy/kubernetes/kustomize/base` makes, checked strictly."""
    kubectl(shared, "apply", "--server-side", "--validate=strict", "--kustomize", str(MANIFESTS / "base"))
    return shared
