"""The certificate of the webhook: made, shared by replicas, renewed, repaired, and the rights for that."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane.admin.port import AdminServer
from controlplane.injection import pairs
from controlplane.injection.certificates import Certificates, Places
from controlplane.injection.pods import Sidecars
from controlplane.injection.port import Webhook
from controlplane.kubernetes.access import from_kubeconfig
from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import Forbidden
from controlplane.net.tls import Tls, TlsFiles
from tests.kubernetes.install import CONFIGURATION, INJECT, NAMESPACE, Injector, kubeconfig
from tests.kubernetes.server import MERGE, ApiError, KubeServer

pytestmark = [pytest.mark.kubernetes]

SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/{INJECT}"
HOSTS = ("laneway-inject.laneway.svc",)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@contextlib.asynccontextmanager
async def keeper(
    server: KubeServer, directory: Path, clock: Clock | None = None, hosts: tuple[str, ...] = HOSTS
) -> AsyncIterator[tuple[Certificates, Places]]:
    config = await asyncio.to_thread(kubeconfig, server, INJECT, directory / "kubeconfig")
    places = Places(NAMESPACE, INJECT, INJECT, hosts, directory / "certificate")
    yield Certificates(lambda: Client(from_kubeconfig(config)), places, clock or Clock(), settle=0.05), places


@pytest.fixture
async def empty(installed: KubeServer) -> KubeServer:
    """The Secret as the chart makes it."""
    await asyncio.to_thread(installed.call, "PATCH", SECRET, {"data": None}, MERGE)
    return installed


def bundles(server: KubeServer) -> set[bytes]:
    found = server.call("GET", CONFIGURATION)["webhooks"]
    return {base64.b64decode(one["clientConfig"].get("caBundle") or "") for one in found}


async def test_replicas_share_one(empty: KubeServer, tmp_path: Path) -> None:
    """Both begin at once with an empty Secret."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            found.append(await stack.enter_async_context(keeper(empty, tmp_path / name)))
        assert await asyncio.gather(*(one.attempt() for one, _ in found)) == [True, True]
        read = {places.certificate.read_bytes() for _, places in found}
        assert len(read) == 1
        held = pairs.read(empty.call("GET", SECRET)["data"])
        assert held is not None
        assert read == {held.serving.certificate}
        assert bundles(empty) == {held.bundle}


async def test_it_is_renewed_before_it_ends_and_so_is_the_ca(empty: KubeServer, tmp_path: Path) -> None:
    clock = Clock()
    async with keeper(empty, tmp_path, clock) as (one, places):
        await one.refresh()
        first = places.certificate.read_bytes()
        clock.ahead = timedelta(days=15)
        await one.refresh()
        assert places.certificate.read_bytes() == first
        before = bundles(empty)
        clock.ahead = timedelta(days=21)
        await one.refresh()
        assert places.certificate.read_bytes() != first
        assert bundles(empty) == before
        clock.ahead = timedelta(days=250)
        await one.refresh()
        (both,) = bundles(empty)
        assert both.endswith(next(iter(before)))  # the former CA is trusted, too
        assert both.count(b"BEGIN CERTIFICATE") == 2


async def test_what_somebody_breaks_is_repaired(empty: KubeServer, tmp_path: Path) -> None:
    async with keeper(empty, tmp_path) as (one, places):
        await one.refresh()
        good, (bundle,) = places.certificate.read_bytes(), bundles(empty)
        name = empty.call("GET", CONFIGURATION)["webhooks"][0]["name"]
        wrong = {
            "webhooks": [{"name": name, "clientConfig": {"caBundle": base64.b64encode(bundle * 2).decode()}}]
        }
        empty.call("PATCH", CONFIGURATION, wrong, "application/strategic-merge-patch+json")
        await one.refresh()
        assert bundles(empty) == {bundle}
        assert places.certificate.read_bytes() == good
        empty.call("PATCH", SECRET, {"data": {"tls.crt": base64.b64encode(b"nothing").decode()}}, MERGE)
        await one.refresh()
        assert places.certificate.read_bytes() != good


async def test_the_api_server_calls_before_and_after_a_new_ca(empty: KubeServer, tmp_path: Path) -> None:
    """And what another replica still serves by the former CA is trusted."""
    clock = Clock()
    space = f"/api/v1/namespaces/{await asyncio.to_thread(_enabled, empty)}/pods"
    async with keeper(empty, tmp_path, clock, ("127.0.0.1",)) as (one, places):
        await one.refresh()
        tls = Tls(TlsFiles(certificate=places.certificate, key=places.key, protocols=("http/1.1",)))
        webhook = Webhook(lambda: Sidecars("x:1", "envoy", "init"), lambda: tls.material.expires)
        server = AdminServer(webhook.app, "127.0.0.1", 0, tls=tls)
        await server.start()
        try:
            await asyncio.to_thread(Injector(empty, tmp_path, server.port).lead)
            await _created(empty, space, "before")
            former = places.certificate.read_bytes()
            clock.ahead = timedelta(days=250)
            await one.refresh()
            await _created(empty, space, "other-replica")
            assert tls.refresh()
            assert tls.material.certificate != former
            await _created(empty, space, "after")
        finally:
            await server.stop()
    assert webhook.reviews["injected"] == 3


def _enabled(server: KubeServer) -> str:
    labels = {"laneway.dev/inject": "enabled"}
    made = {"metadata": {"generateName": "rotation-", "labels": labels}}
    return server.call("POST", "/api/v1/namespaces", made)["metadata"]["name"]


async def _created(server: KubeServer, pods: str, name: str) -> None:
    """The API server learns of a new CA within milliseconds, so the first calls may fail."""
    container = {"name": "app", "image": "x", "ports": [{"containerPort": 1}]}
    pod = {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"containers": [container]}}
    async with asyncio.timeout(20):
        while True:
            try:
                made = await asyncio.to_thread(server.call, "POST", pods, pod)
                break
            except ApiError as error:
                if "failed calling webhook" not in error.text:
                    raise
                await asyncio.sleep(0.05)
    assert [one["name"] for one in made["spec"]["initContainers"]] == ["laneway-init", "laneway-sidecar"]


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        ("roles", "get"),
        ("roles", "update"),
        ("clusterroles", "get"),
        ("clusterroles", "patch"),
    ],
)
async def test_each_right_of_the_injector_is_needed(
    empty: KubeServer, tmp_path: Path, kind: str, verb: str
) -> None:
    """Without one verb it fails and says so; with all of them, as the other tests show, it works."""
    scope = f"namespaces/{NAMESPACE}/" if kind == "roles" else ""
    path = f"/apis/rbac.authorization.k8s.io/v1/{scope}{kind}/{INJECT}"
    whole = await asyncio.to_thread(empty.call, "GET", path)
    assert [one["resourceNames"] for one in whole["rules"]] == [[INJECT]]
    less = [{**one, "verbs": [v for v in one["verbs"] if v != verb]} for one in whole["rules"]]
    assert less != whole["rules"]
    wrong = {
        "webhooks": [
            {"name": f"{n}.inject.laneway.dev", "clientConfig": {"caBundle": None}}
            for n in ("pod", "namespace")
        ]
    }
    empty.call("PATCH", CONFIGURATION, wrong, "application/strategic-merge-patch+json")
    empty.call("PATCH", path, {"rules": less}, MERGE)
    try:
        async with keeper(empty, tmp_path) as (one, _), asyncio.timeout(20):
            while True:  # the authorizer learns of a role within milliseconds
                with contextlib.suppress(Forbidden):
                    await one.refresh()
                    empty.call("PATCH", SECRET, {"data": None}, MERGE)
                    empty.call("PATCH", CONFIGURATION, wrong, "application/strategic-merge-patch+json")
                    continue
                break
            assert not await one.attempt()
            assert "403" in one.problem
    finally:
        empty.call("PATCH", path, {"rules": whole["rules"]}, MERGE)
