"""Credentials that end, change or do not suffice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.registry.kubernetes import KubernetesConfig
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import Admin, same, through, watching

pytestmark = [pytest.mark.kubernetes]

RBAC = Path(__file__).parents[2] / "deploy" / "kubernetes" / "rbac.yaml"


async def account(admin: Admin, name: str) -> str:
    """Make a service account. Returns a token of it."""
    await admin.call("POST", f"{admin.at}/serviceaccounts", {"metadata": {"name": name}})
    return await token(admin, name)


async def token(admin: Admin, name: str) -> str:
    asked = {"spec": {"expirationSeconds": 600}}
    path = f"{admin.at}/serviceaccounts/{name}/token"
    return (await admin.call("POST", path, asked))["status"]["token"]


async def allow(admin: Admin, name: str) -> None:
    """Give the account what deploy/kubernetes/rbac.yaml gives, in the namespace."""
    rules = next(
        one["rules"] for one in yaml.safe_load_all(RBAC.read_bytes()) if one["kind"] == "ClusterRole"
    )
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{admin.namespace}"
    rules = [{**rule, "resources": [r for r in rule["resources"] if r != "namespaces"]} for rule in rules]
    role = {"metadata": {"name": name}, "rules": [rule for rule in rules if rule["resources"]]}
    await admin.call("POST", f"{rbac}/roles", role)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    await admin.call("POST", f"{rbac}/rolebindings", binding)


async def test_a_token_that_ends_and_is_rotated(
    shared: KubeServer, admin: Admin, config: KubernetesConfig, tmp_path: Path
) -> None:
    """The token file is read for every request, as the kubelet replaces it every hour."""
    default = Admin(shared)
    file = tmp_path / "token"
    file.write_text(await account(default, f"rotated-{admin.namespace}"))
    await allow(admin, f"rotated-{admin.namespace}")
    await admin.service("sc-t", {"app": "t"})
    id_ = f"kubernetes/{admin.namespace}//sc-t"
    kubeconfig = through(shared, shared.port, tmp_path / "config", tokenFile=str(file))
    config = replace(config, kubeconfig=kubeconfig, heartbeat=0.5, retry_most=0.5, watch_for=2.0)
    async with watching(config) as watch:
        await watch.until(lambda: id_ in watch.catalog.services)
        # An account that is deleted ends its tokens at once; the one of its name gets others.
        await default.delete("serviceaccounts", f"rotated-{admin.namespace}")
        await watch.until(lambda: not watch.status.connected)
        assert "401" in watch.status.error
        file.write_text(await account(default, f"rotated-{admin.namespace}"))
        await watch.until(lambda: watch.status.connected)
        await admin.pod("t-1", "10.0.7.1", {"app": "t"})
        await watch.until(lambda: watch.tags(id_) == {"10.0.7.1": None})
        await same(watch, shared, admin.namespace)


async def test_one_namespace_may_not_be_read(
    shared: KubeServer, admin: Admin, config: KubernetesConfig, tmp_path: Path
) -> None:
    """The others are served; the status says what is missing; a role that is given later is noticed."""
    name = f"narrow-{admin.namespace}"
    default = Admin(shared)
    secret = await account(default, name)
    await allow(admin, name)
    other = Admin(shared, f"{admin.namespace}-x")
    await other.call("POST", "/api/v1/namespaces", {"metadata": {"name": other.namespace}})
    await admin.service("sc-yes")
    await other.service("sc-no")
    kubeconfig = through(shared, shared.port, tmp_path / "config", token=secret)
    both = replace(config, kubeconfig=kubeconfig, namespaces=(admin.namespace, other.namespace))
    async with watching(both) as watch:
        await watch.until(watch.catalog.synced)
        assert f"kubernetes/{admin.namespace}//sc-yes" in watch.catalog.services
        assert watch.status.state == "incomplete"
        assert f"Services of namespace {other.namespace}" in watch.status.error
        assert "403" in watch.status.error
        await admin.service("sc-later")
        await watch.until(lambda: f"kubernetes/{admin.namespace}//sc-later" in watch.catalog.services)
        await allow(other, name)
        await watch.until(lambda: watch.status.state == "complete")
        assert f"kubernetes/{other.namespace}//sc-no" in watch.catalog.services
        await same(watch, shared, admin.namespace, other.namespace)


async def test_nothing_may_be_read(
    shared: KubeServer, admin: Admin, config: KubernetesConfig, tmp_path: Path
) -> None:
    secret = await account(Admin(shared), f"nobody-{admin.namespace}")
    kubeconfig = through(shared, shared.port, tmp_path / "config", token=secret)
    async with watching(replace(config, kubeconfig=kubeconfig)) as watch:
        await watch.until(lambda: "403" in watch.status.error, seconds=60)
        assert not watch.catalog.synced()


def rules_of(kind: str) -> list[dict[str, Any]]:
    return next(one["rules"] for one in yaml.safe_load_all(RBAC.read_bytes()) if one["kind"] == kind)


async def test_the_role_in_deploy_suffices_and_reads_only(
    shared: KubeServer, admin: Admin, config: KubernetesConfig, tmp_path: Path
) -> None:
    """Under it, all namespaces and those of a label are read."""
    name = f"cluster-{admin.namespace}"
    secret = await account(Admin(shared), name)
    rules = rules_of("ClusterRole")
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await admin.call("POST", f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    await admin.call("POST", f"{rbac}/clusterrolebindings", binding)
    await admin.service("sc-r")
    kubeconfig = through(shared, shared.port, tmp_path / "config", token=secret)
    for chosen in ("", f"kubernetes.io/metadata.name={admin.namespace}"):
        everything = replace(config, kubeconfig=kubeconfig, namespaces=(), selector=chosen)
        async with watching(everything) as watch:
            await watch.until(watch.catalog.synced)
            assert watch.status.state == "complete"
            assert f"kubernetes/{admin.namespace}//sc-r" in watch.catalog.services
