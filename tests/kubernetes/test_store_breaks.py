"""Custom resources as a store while the API server dies, connections break, and objects are lost."""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from pathlib import Path

import pytest

from controlplane.kubernetes.errors import KubernetesError
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application
from controlplane.model.problems import DefinitionError
from controlplane.store.fallback import FallbackStore
from controlplane.store.interface import StoreUnavailable
from controlplane.store.kubernetes import head, writing
from controlplane.store.kubernetes.shared_store import KubernetesStore
from controlplane.store.kubernetes.taking import take
from controlplane.store.snapshots import Snapshots
from tests.kubernetes.relay import Relay
from tests.kubernetes.resources import Definer, cluster_of, install, storing, until
from tests.kubernetes.server import ApiError, KubeServer
from tests.kubernetes.tools import Admin, through

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]


@pytest.fixture
async def definer(shared: KubeServer, admin: Admin) -> Definer:
    await asyncio.to_thread(install, shared)
    return Definer(shared, admin.namespace)


def applications(store: KubernetesStore) -> set[str]:
    return set(store.current.definitions.applications)


async def put(store: KubernetesStore, name: str, *services: str) -> None:
    await store.change(lambda now: now.put(Application(name=name, services=services)))


async def test_the_server_is_killed_and_comes_back(own: KubeServer) -> None:
    await asyncio.to_thread(install, own)
    definer = Definer(own, "default")
    await definer.base()
    async with storing(cluster_of(own, "default")) as store:
        await put(store, "before")
        own.kill()
        await until(lambda: store.problem)
        assert set(store.current.definitions.gateways) == {"edge"}
        with pytest.raises(StoreUnavailable):
            await put(store, "meanwhile")
        await asyncio.to_thread(own.start)
        await definer.apply("Application", "after", {"services": ["x"]})  # before it is connected, or after
        await until(lambda: "after" in applications(store) and not store.problem, 60)
        await put(store, "again")
        assert applications(store) == {"before", "after", "again"}


async def test_what_changes_while_nothing_is_heard_is_found(definer: Definer, tmp_path: Path) -> None:
    await definer.base()
    for name in ("goes", "stays", "changes"):
        await definer.apply("Application", name, {"services": [name]})
    async with Relay(definer.server.port) as relay:
        kubeconfig = through(definer.server, relay.port, tmp_path / "config")
        async with storing(cluster_of(definer.server, definer.namespace, kubeconfig)) as store:
            await until(lambda: applications(store) == {"goes", "stays", "changes"})
            relay.refuses = True
            relay.cut()
            await until(lambda: store.problem)
            await definer.delete("Application", "goes")
            await definer.patch("Application", "changes", {"services": ["other"]})
            await definer.apply("Application", "comes", {})
            relay.refuses = False
            await until(lambda: applications(store) == {"stays", "changes", "comes"})
            assert store.current.definitions.applications["changes"].services == ("other",)
            relay.freeze()  # open connections on which nothing passes any more
            await definer.apply("Application", "late", {})
            await until(lambda: "late" in applications(store), 60)


async def test_the_accepted_definitions_are_deleted(definer: Definer) -> None:
    """Nothing is lost and nothing is taken for empty, until somebody decides."""
    await definer.base()
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        await until(lambda: store.lease.held)
        path = f"/api/v1/namespaces/{definer.namespace}/configmaps/{head.NAME}"
        await definer.call("DELETE", path)
        await until(lambda: "is missing" in store.problem)
        with pytest.raises(StoreUnavailable, match="is missing"):
            await put(store, "x")
        assert set(store.current.definitions.gateways) == {"edge"}
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        assert set(store.current.definitions.gateways) == {"edge"}  # from the objects
        assert store.current.revision == 1


async def test_a_lost_store_is_not_taken_for_a_new_one(definer: Definer, tmp_path: Path) -> None:
    """A control plane that has a snapshot serves that, read-only; an operator decides."""
    await definer.base()
    cluster = cluster_of(definer.server, definer.namespace)
    snapshots = Snapshots("kubernetes", [tmp_path / "snapshot"])
    for _ in range(2):  # a start, and a start with a snapshot
        store = FallbackStore(KubernetesStore(cluster), snapshots)
        await store.open()
        assert set(store.current.definitions.gateways) == {"edge"}
        await store.close()
    for kind, name in (("Route", "a"), ("LaneGroup", "order-flow"), ("Gateway", "edge")):
        await definer.delete(kind, name)
    await definer.call("DELETE", f"/api/v1/namespaces/{definer.namespace}/configmaps/{head.NAME}")
    store = FallbackStore(KubernetesStore(cluster), snapshots)
    await store.open()
    assert store.read_only
    inner = store.store
    assert isinstance(inner, KubernetesStore)
    await until(lambda: inner.lease.held)
    await definer.apply("Application", "new", {})
    await until(lambda: len(inner.objects) == 1)
    assert set(store.current.definitions.gateways) == {"edge"}
    assert "is missing, although revision" in store.problem
    await store.close()


async def test_the_writer_dies_between_the_commit_and_the_objects(
    definer: Definer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is made; whoever acts writes what is left."""
    await definer.base()
    cluster = cluster_of(definer.server, definer.namespace)
    async with storing(cluster) as one, storing(cluster) as two:
        dying = two if one.lease.held else one

        async def dead(*_: object) -> list[object]:
            raise KubernetesError("the process has died")

        monkeypatch.setattr(writing.Writer, "write", dead)
        await put(dying, "left")
        await dying.change(lambda now: now.delete("Route", ("edge", "a")))
        assert await definer.get("Application", "left") is None
        monkeypatch.undo()

        async def written() -> bool:
            return (
                await definer.get("Application", "left") is not None
                and await definer.get("Route", "a") is None
            )

        await until(written)
        await until(lambda: one.current == two.current)
        assert "left" in applications(one)
        assert not one.current.definitions.routes


async def test_random_changes_by_kubectl_and_two_control_planes(definer: Definer, tmp_path: Path) -> None:
    """At the end, both serve the same, and the same as is read from the objects anew."""
    await definer.base()
    chance = random.Random(19)
    names = [f"a{n}" for n in range(8)]
    async with Relay(definer.server.port) as relay:
        near = cluster_of(definer.server, definer.namespace)
        far = cluster_of(
            definer.server, definer.namespace, through(definer.server, relay.port, tmp_path / "config")
        )
        async with storing(near) as one, storing(far) as two:

            async def change(number: int) -> None:
                name, kind = chance.choice(names), chance.random()
                store = chance.choice((one, two))
                if kind < 0.3:
                    await definer.apply("Application", name, {"services": [f"s{number}"]}, f"m{number % 2}")
                elif kind < 0.4:
                    await definer.apply("Lane", name, {"group": name, "tag": name})  # always refused
                elif kind < 0.5:
                    await definer.delete("Application", name)
                elif kind < 0.9:
                    await put(store, name, f"r{number}")
                else:
                    relay.cut()

            for number in range(30):
                some = (change(5 * number + step) for step in range(5))
                for done in await asyncio.gather(*some, return_exceptions=True):
                    assert done is None or isinstance(done, ApiError | StoreUnavailable | DefinitionError), (
                        done
                    )
            await until(lambda: one.current == two.current and not one.problem and not two.problem, 60)
            fresh = [Definitions()]

            async def settled() -> bool:
                acting = one if one.lease.held else two
                taken = take(head.Head(), dict(acting.objects), 0.0)
                fresh[0] = taken.head.stored.definitions
                return fresh[0] == one.current.definitions == two.current.definitions

            await until(settled, 60)
            assert not fresh[0].lanes
    with warnings.catch_warnings():
        # httpcore leaves a socket to the collector when it is cancelled during a TLS handshake.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
