"""The Nacos source against a real server: what is registered is what the catalog has."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import httpx
import pytest

from controlplane.registry.nacos.diagnosis import examine
from controlplane.registry.types import Health
from tests.registry.nacos_tools import Publisher, config, instance, watching

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(240)]


@pytest.fixture
def name() -> str:
    return f"sc-{uuid.uuid4().hex[:8]}"


async def test_every_form_of_a_tag_and_every_kind_of_damage(
    nacos_address: str, tmp_path: Path, name: str
) -> None:
    env = '[{"desc":"label","priority":100,"tag":"gray","type":"pod"}]'
    at = config(nacos_address, tmp_path, services=(name,))
    async with Publisher(at) as publisher, Publisher(at) as other, watching(at) as watch:
        await other.register(name, instance(1016, "gray"), instance(1017))
        await publisher.register(
            name,
            instance(1016),
            instance(1017, metadata={"app": "twice"}),
            instance(1001),
            instance(1002, metadata={"alicloud.service.tag": "gray"}),
            instance(1003, metadata={"opensergo.io/canary-gray": "gray"}),
            instance(1004, metadata={"__micro.service.env__": env}),
            instance(1005, "gray"),
            instance(1006, metadata={"opensergo.io/canary": ""}),
            instance(1007, metadata={"__micro.service.env__": "[{"}),
            instance(1008, metadata={"lane": ""}),
            instance(1009, metadata={"lane": "gr äy"}),
            instance(0),
            {"ip": "some.host", "port": 1010},
            {"ip": "::1", "port": 1011},
            instance(1012, weight=0),
            instance(1013, weight=2.5, metadata={"app": "shop"}),
            instance(1014, enabled=False),
            instance(1015, healthy=False),
            instance(1018, metadata={"msePilotCreateAppName": "store", "app": "shop"}),
        )
        await watch.until(lambda: len(watch.service(name)) > 5)
        found = {i.port: i for i in watch.service(name)}
        service = next(s for s in watch.catalog.services.values() if s.name == name)
    assert {p for p, i in found.items() if i.tag == "gray"} == {1002, 1003, 1004, 1005}
    assert {p for p, i in found.items() if i.tag is None} == {1001, 1006, 1011, 1013, 1015, 1017, 1018}
    assert {(r.address, r.port) for r in service.refused} == {
        ("127.0.0.1", 1007),
        ("127.0.0.1", 1008),
        ("127.0.0.1", 1009),
        ("127.0.0.1", 0),
        ("some.host", 1010),
        ("127.0.0.1", 1016),
        ("127.0.0.1", 1017),
    }
    assert found[1013].weight == 2.5
    assert found[1013].application == "shop"
    assert found[1018].application == "store"
    assert found[1001].application == name
    assert found[1015].health is Health.UNHEALTHY
    assert service.id == f"nacos/public/DEFAULT_GROUP/{name}"


async def test_each_change_arrives(nacos_address: str, tmp_path: Path, name: str) -> None:
    at = config(nacos_address, tmp_path, services=(name,))
    async with Publisher(at) as publisher, watching(at) as watch:
        await watch.catalog.wait_synced()
        await publisher.register(name, instance(1), instance(2, "gray"))
        await watch.until(lambda: [i.tag for i in watch.service(name)] == [None, "gray"])
        await publisher.register(name, instance(1), instance(2, "blue"))
        await watch.until(lambda: [i.tag for i in watch.service(name)] == [None, "blue"])
        await publisher.register(name, instance(1, weight=3), instance(2, "blue"))
        await watch.until(lambda: [i.weight for i in watch.service(name)] == [3, 1])
        await publisher.register(name, instance(1))
        await watch.until(lambda: [i.port for i in watch.service(name)] == [1])
        assert not watch.service(name)[0].held
        assert watch.catalog.status()[0].version.startswith("Nacos ")


async def test_an_edit_of_metadata_in_nacos(nacos_address: str, tmp_path: Path, name: str) -> None:
    """As an operator makes it in the console; it wins over what the application registers later."""
    at = config(nacos_address, tmp_path, services=(name,))
    async with Publisher(at) as publisher, watching(at) as watch:
        await publisher.register(name, instance(1), instance(2))
        await watch.until(lambda: [i.tag for i in watch.service(name)] == [None, None])
        if not await edit_metadata(nacos_address, name, 2, {"lane": "gray"}):
            pytest.skip("this server cannot keep edits")
        await watch.until(lambda: [i.tag for i in watch.service(name)] == [None, "gray"])
        await publisher.register(name, instance(1, "blue"), instance(2))
        await watch.until(lambda: [i.tag for i in watch.service(name)] == ["blue", "gray"])
        assert await edit_metadata(nacos_address, name, 2, {"lane": "gr äy"})
        await watch.until(lambda: [i.port for i in watch.service(name)] == [1])
        service = next(s for s in watch.catalog.services.values() if s.name == name)
        assert [r.port for r in service.refused] == [2]


async def edit_metadata(address: str, service: str, port: int, metadata: dict[str, str]) -> bool:
    """Whether the server took it: 2.1 without its Raft group answers 500. Raises httpx.HTTPError."""
    form = {
        "serviceName": service,
        "ip": "127.0.0.1",
        "port": str(port),
        "metadata": json.dumps(metadata),
        "ephemeral": "true",
    }
    async with httpx.AsyncClient() as client:
        for path in ("v3/admin/ns/instance", "v1/ns/instance"):
            answer = await client.put(f"http://{address}/nacos/{path}", data=form)
            if answer.status_code != 404:
                return answer.status_code == 200
    raise AssertionError(answer.text)


async def test_a_base_set_that_is_emptied_is_held_but_not_a_tagged_one(
    nacos_address: str, tmp_path: Path, name: str
) -> None:
    at = config(nacos_address, tmp_path, services=(name,))
    async with watching(at) as watch:
        async with Publisher(at) as publisher:
            await publisher.register(name, instance(1), instance(2, "gray"))
            await watch.until(lambda: len(watch.service(name)) == 2)
        await watch.until(lambda: [(i.port, i.held) for i in watch.service(name)] == [(1, True)])
        assert watch.catalog.status()[0].held == 1


async def test_groups_and_namespaces(nacos_address: str, tmp_path: Path, name: str) -> None:
    """Only what the groups of the namespace have, by names; the doctor says where the rest is."""
    there = config(nacos_address, tmp_path, namespace="dev-1", groups=("G1", "G2"), services=(name + "*",))
    async with Publisher(there) as publisher, watching(there) as watch:
        await publisher.register(name, instance(1), group="G1")
        await publisher.register(f"{name}-b", instance(2), group="G2")
        await publisher.register("unwanted", instance(3), group="G2")
        await publisher.register(name, instance(4), group="G3")
        await watch.until(lambda: len(watch.catalog.services) == 2)
        assert set(watch.catalog.services) == {f"nacos/dev-1/G1/{name}", f"nacos/dev-1/G2/{name}-b"}
        wrong = await examine(config(nacos_address, tmp_path, namespace="dev-1", groups=("G9",)))
        assert "G2 (2)" in next(f.text for f in wrong if not f.ok)
        nowhere = await examine(config(nacos_address, tmp_path, namespace="dev-9"))
        assert "NACOS_NAMESPACE" in next(f.text for f in nowhere if not f.ok)


async def test_the_doctor_without_a_server(tmp_path: Path) -> None:
    said = await examine(config("127.0.0.1:9", tmp_path))
    assert not any(finding.ok for finding in said)
    assert "127.0.0.1:1009: Connection refused" in said[0].text


async def test_the_doctor_says_what_is_wrong(nacos_address: str, tmp_path: Path, name: str) -> None:
    at = config(nacos_address, tmp_path, services=(name,))
    async with Publisher(at) as publisher:
        await publisher.register(name, instance(1, "gray"), instance(2, metadata={"lane": ""}))
        said = await examine(at)
        assert any("gray 1" in f.text for f in said)
        assert [f.text for f in said if not f.ok] == [
            f"refused: {name} 127.0.0.1:2: lane is empty; remove it for a base instance"
        ]
        nothing = await examine(config(nacos_address, tmp_path, groups=("OTHER",)))
        assert any("no services" in f.text for f in nothing if not f.ok)
