"""Definitions as custom resources on a real API server: what kubectl writes, and what the API writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Application, Gateway, Lane, LaneGroup, Listener, Ratio
from controlplane.model.problems import DefinitionError
from controlplane.store.kubernetes.reporting import Reporting
from controlplane.store.kubernetes.resources import Ref
from controlplane.store.kubernetes.shared_store import KubernetesStore
from controlplane.store.kubernetes.status import Facts
from tests.kubernetes.resources import Definer, cluster_of, install, storing, until
from tests.kubernetes.server import ApiError, KubeServer
from tests.kubernetes.test_credentials import account
from tests.kubernetes.tools import Admin, through

ROLE = Path(__file__).parents[2] / "deploy" / "kubernetes" / "rbac-store.yaml"

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]


@pytest.fixture
async def definer(shared: KubeServer, admin: Admin) -> Definer:
    await asyncio.to_thread(install, shared)
    return Definer(shared, admin.namespace)


def refused(store: KubernetesStore, plural: str, name: str) -> str:
    """Why an object is refused; "" if it is not."""
    found = store.verdicts.get(Ref(plural, name))
    return "" if found is None or found.accepted else f"{found.reason}: {found.message}"


async def test_what_kubectl_applies_is_accepted_and_the_wrong_rest_is_told(definer: Definer) -> None:
    await definer.base()
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        assert set(store.current.definitions.gateways) == {"edge"}
        await definer.lane("gray")
        await definer.lane("two", tag="gray", group="nobody")  # its group does not exist
        await definer.lane("three", ratio={"percent": 10})  # another mode than the group's
        await until(lambda: refused(store, "lanes", "two") and refused(store, "lanes", "three"))
        assert set(store.current.definitions.lanes) == {"gray"}
        assert "group" in refused(store, "lanes", "two")
        assert "ratio" in refused(store, "lanes", "three")
        await definer.apply("LaneGroup", "nobody", {"gateway": "edge", "applications": ["x"]})
        await until(lambda: "two" in store.current.definitions.lanes)
        await definer.patch("Lane", "gray", {"tag": "blue"})
        await until(lambda: store.current.definitions.lanes["gray"].tag == "blue")
        # What is wrong now stays in force as it was.
        await definer.patch("Lane", "gray", {"rule": None})
        await until(lambda: refused(store, "lanes", "gray"))
        assert store.current.definitions.lanes["gray"].rule is not None
        await definer.delete("Lane", "gray")
        await until(lambda: "gray" not in store.current.definitions.lanes)


async def test_the_server_itself_refuses_what_its_schema_does_not_have(definer: Definer) -> None:
    for spec in ({"listeners": [{"port": 80800}]}, {"listeners": []}, {"listeners": [{"port": 1}], "x": 1}):
        with pytest.raises(ApiError) as error:
            await definer.apply("Gateway", "edge", spec)
        assert error.value.code in (400, 422, 500)


async def test_what_the_api_changes_is_written_into_objects(definer: Definer) -> None:
    await definer.base()
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        lane = Lane(group="order-flow", name="s_1", tag="s", ratio=Ratio(percent=10))
        await store.change(lambda now: now.put(lane), "ann", "first")
        ref = next(r for r in await names(definer, "lanes"))
        assert ref.startswith("order-flow-s-1-")
        found = await definer.get("Lane", ref)
        assert found["spec"] == {
            "name": "s_1", "group": "order-flow", "tag": "s", "enabled": True,
            "ratio": {"percent": 10, "routes": {}},
        }  # fmt: skip
        await store.change(lambda now: now.put(lane.model_copy(update={"enabled": False})), "ann")
        assert (await definer.get("Lane", ref))["spec"]["enabled"] is False
        # An object that kubectl made keeps its name and what nobody changed.
        group = store.current.definitions.groups["order-flow"]
        changed = group.model_copy(update={"inherit_tag": False})
        await store.change(lambda now: now.put(changed), "ann")
        assert (await definer.get("LaneGroup", "order-flow"))["spec"] == {
            "gateway": "edge", "applications": ["spring-cloud-a"], "inherit_tag": False
        }  # fmt: skip
        await store.change(lambda now: now.delete("Lane", ("order-flow", "s_1")), "ann")
        assert await definer.get("Lane", ref) is None
        assert [one.author for one in await store.revisions()] == ["ann"] * 4 + ["kubernetes"]
        # One undo brings all of it back.
        await store.undo(store.current.revision, "bob")
        assert "s_1" in store.current.definitions.lanes
        assert (await definer.get("Lane", ref))["spec"]["enabled"] is False


async def names(definer: Definer, plural: str) -> list[str]:
    path = f"/apis/laneway.dev/v1/namespaces/{definer.namespace}/{plural}"
    return [one["metadata"]["name"] for one in (await definer.call("GET", path))["items"]]


async def test_two_control_planes_serve_the_same(definer: Definer) -> None:
    await definer.base()
    cluster = cluster_of(definer.server, definer.namespace)
    async with storing(cluster) as one, storing(cluster) as two:
        assert [one.lease.held, two.lease.held].count(True) == 1
        counted = [Application(name="counter", services=())]
        await one.change(lambda now: now.put(counted[0]))
        await until(lambda: "counter" in two.current.definitions.applications)

        def grow(services: tuple[str, ...], more: str) -> tuple[str, ...]:
            return (*services, more)

        async def add(store: KubernetesStore, name: str) -> None:
            def transform(now: Definitions) -> Definitions:
                old = now.applications["counter"]
                return now.put(old.model_copy(update={"services": grow(old.services, name)}))

            await store.change(transform)

        await asyncio.gather(
            *(add(store, f"s{n}-{m}") for n, store in enumerate((one, two)) for m in range(10))
        )
        await until(lambda: one.current == two.current)
        assert len(one.current.definitions.applications["counter"].services) == 20
        found = await definer.get("Application", "counter")
        assert sorted(found["spec"]["services"]) == sorted(f"s{n}-{m}" for n in range(2) for m in range(10))
        # Changes of kubectl and of both control planes, of different fields of one object.
        await asyncio.gather(
            definer.patch("Application", "counter", {"keep_alive": "2s"}),
            add(one, "late-1"),
            add(two, "late-2"),
        )

        def merged() -> bool:
            both = [store.current.definitions.applications["counter"] for store in (one, two)]
            return all(a.keep_alive == "2s" and {"late-1", "late-2"} <= set(a.services) for a in both)

        await until(merged)


async def test_another_one_acts_when_the_first_ends(definer: Definer) -> None:
    await definer.base()
    cluster = cluster_of(definer.server, definer.namespace)
    async with storing(cluster) as one:
        await until(lambda: one.lease.held)
        async with storing(cluster) as two:
            assert not two.lease.held
            await one.close()
            await until(lambda: two.lease.held)
            await definer.lane("gray")
            await until(lambda: "gray" in two.current.definitions.lanes)


async def test_deletes_that_others_still_need_wait(definer: Definer) -> None:
    await definer.base()
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        await until(lambda: len(store.verdicts) == 3)
        await definer.delete("Gateway", "edge")
        await until(lambda: Key("Gateway", "", "edge") in store.kept)
        assert "edge" in store.current.definitions.gateways
        await definer.delete("Route", "a")
        await definer.delete("LaneGroup", "order-flow")
        await until(lambda: not any(store.current.definitions.documents()))


async def test_of_two_objects_for_one_definition_the_older_counts(definer: Definer) -> None:
    await definer.base()
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        await asyncio.sleep(1.1)  # times of creation are whole seconds
        await definer.apply("Route", "other", {"gateway": "edge", "name": "a", "service": "sc-Z"})
        await until(lambda: refused(store, "routes", "other"))
        assert "defined by routes/a already" in refused(store, "routes", "other")
        assert store.current.definitions.routes["edge", "a"].service == "sc-A"
        await definer.delete("Route", "a")
        await until(lambda: store.current.definitions.routes["edge", "a"].service == "sc-Z")


async def test_a_lane_is_taken_as_it_is_switched_over_the_api(definer: Definer) -> None:
    """GitOps applies the same manifest again and again; it gives no `enabled`."""
    await definer.base()
    await definer.lane("gray")
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        lane = store.current.definitions.lanes["gray"]
        await store.change(lambda now: now.put(lane.model_copy(update={"enabled": False})), "ann")
        await definer.lane("gray", priority=50)
        await until(lambda: store.current.definitions.lanes["gray"].priority == 50)
        assert store.current.definitions.lanes["gray"].enabled is False


async def test_a_refused_change_writes_nothing(definer: Definer) -> None:
    await definer.base()
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        before = store.current
        with pytest.raises(DefinitionError):
            await store.change(lambda now: now.put(LaneGroup(name="x", gateway="none", applications=("a",))))
        assert store.current == before
        assert await names(definer, "lanegroups") == ["order-flow"]


async def test_the_role_suffices(definer: Definer, admin: Admin, tmp_path: Path) -> None:
    """Everything that the store does, with nothing but deploy/kubernetes/rbac-store.yaml."""
    await definer.base()
    token = await account(Admin(definer.server), f"store-{admin.namespace}")
    role, binding = yaml.safe_load_all(ROLE.read_text())
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{admin.namespace}"
    subject = {"kind": "ServiceAccount", "name": f"store-{admin.namespace}", "namespace": "default"}
    for kind, made in (("roles", role), ("rolebindings", binding | {"subjects": [subject]})):
        await definer.call("POST", f"{rbac}/{kind}", made | {"metadata": {"name": "laneway-definitions"}})
    kubeconfig = through(definer.server, definer.server.port, tmp_path / "config", token=token)

    async def known() -> Callable[[Key], Facts]:
        return lambda _: Facts(("a warning",))

    async with storing(cluster_of(definer.server, admin.namespace, kubeconfig)) as store:
        await store.change(lambda now: now.put(Application(name="x")))
        await store.change(lambda now: now.delete("Application", "x"))
        await store.undo(store.current.revision)
        assert len(await store.revisions()) == 4
        reporting = Reporting(store, known)
        await until(lambda: len(store.verdicts) == 4)
        assert await reporting.turn()
        assert reporting.writes == 8  # a status and an Event for each object
        await until(lambda: all(one.status for one in store.objects.values()))
        assert await reporting.turn()
        assert reporting.writes == 8


async def test_an_empty_namespace_is_an_empty_store(definer: Definer) -> None:
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        gateway = Gateway(name="edge", listeners=(Listener(port=80),))
        await store.change(lambda now: now.put(gateway), note="at start")
        assert await names(definer, "gateways") == ["edge"]
    async with storing(cluster_of(definer.server, definer.namespace)) as store:
        assert store.current.revision == 1
        assert set(store.current.definitions.gateways) == {"edge"}
