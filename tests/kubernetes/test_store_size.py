"""Custom resources without room in the ConfigMap of all definitions are refused, and the rest goes on."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from controlplane.model.documents import Application
from controlplane.model.parsing import parse_document
from controlplane.model.problems import DefinitionError
from controlplane.store.kubernetes import head
from controlplane.store.kubernetes.shared_store import KubernetesStore
from tests.kubernetes.resources import Definer, cluster_of, install, storing, until
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

LARGE = 7
NAMES = [f"large-{number}" for number in range(LARGE)]


@pytest.fixture
async def definer(shared: KubeServer, admin: Admin) -> Definer:
    await asyncio.to_thread(install, shared)
    return Definer(shared, admin.namespace)


def large(name: str) -> dict[str, Any]:
    """A lane of 230 kB that compression hardly makes smaller; five have room."""
    chance = random.Random(name)
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    values = ["".join(chance.choices(alphabet, k=20)) for _ in range(10_000)]
    conditions = [{"source": "header", "name": "user", "operator": "in", "value": values}]
    return {"group": "order-flow", "tag": name, "rule": {"conditions": conditions}}


def reasons(store: KubernetesStore) -> dict[str, str]:
    return {ref.name: one.reason for ref, one in store.verdicts.items() if ref.name.startswith("large")}


async def test_what_has_no_room_is_refused_and_the_rest_goes_on(definer: Definer) -> None:
    await definer.base()
    # It has more to do than to answer within a second.
    cluster = replace(cluster_of(definer.server, definer.namespace), heartbeat=20.0)
    async with storing(cluster) as store:
        for name in NAMES:
            await definer.apply("Lane", name, large(name))
        await until(lambda: len(reasons(store)) == LARGE, 90)
        found = reasons(store)
        assert set(found.values()) == {"Accepted", "TooLarge"}, found
        assert set(store.current.definitions.lanes) == {n for n, why in found.items() if why == "Accepted"}
        refused = next(one for one in store.verdicts.values() if one.reason == "TooLarge")
        assert f"may have {head.SIZE_LIMIT} bytes, compressed; make it smaller, or" in refused.message
        # Whatever is small is taken, by kubectl and over REST; what is large is refused there, too.
        await definer.apply("Application", "small", {"services": ["x"]})
        await until(lambda: "small" in store.current.definitions.applications, 90)
        await store.change(lambda now: now.put(Application(name="over-rest")))
        more = [parse_document({"kind": "Lane", "name": f"more-{n}", **large(f"more-{n}")}) for n in "abc"]
        with pytest.raises(DefinitionError) as error:
            await store.change(lambda now: now.change(more, []))
        assert error.value.status == 413
        assert f"more than a ConfigMap may have ({head.SIZE_LIMIT})" in str(error.value)
        assert "delete what is not used any more" in error.value.problems[0].remedy
        assert reasons(store) == found
        served = store.current
    async with storing(cluster) as store:
        assert store.current == served
        await until(lambda: reasons(store) == found, 60)
        # Room is made, and what waited is taken.
        gone = [name for name, why in found.items() if why == "Accepted"][:3]
        for name in gone:
            await definer.delete("Lane", name)
        await until(lambda: set(store.current.definitions.lanes) == {*NAMES} - {*gone}, 60)
        await until(lambda: set(reasons(store).values()) == {"Accepted"}, 60)
        assert set(store.current.definitions.applications) == {"small", "over-rest"}
