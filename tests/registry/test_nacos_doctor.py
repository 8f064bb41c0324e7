"""What `laneway doctor nacos` says, mistake by mistake; over a server of the test's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from controlplane.registry.nacos.diagnosis import examine
from tests.cli.run import laneway
from tests.fake_nacos import FakeNacos
from tests.registry.nacos_tools import config


def instances(*lanes: str) -> list[dict[str, Any]]:
    return [
        {"ip": "127.0.0.1", "port": port, "metadata": {"lane": lane} if lane else {}}
        for port, lane in enumerate(lanes, 1)
    ]


async def problems(address: str, state: Path, **settings: Any) -> list[str]:
    return [one.text for one in await examine(config(address, state, **settings)) if not one.ok]


async def test_all_is_well(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("", "gray"), "sc-B": instances("gray")}) as nacos:
        said = await examine(config(nacos.address, tmp_path))
    assert all(one.ok for one in said)
    assert [one.text for one in said] == [
        f"{nacos.address}: the gRPC port takes connections",
        f"{nacos.address}: the server's clock agrees with this machine's",
        "Nacos 2.9.9 answers",
        "namespace public, group DEFAULT_GROUP: 2 services, 3 instances (base 1, gray 2)",
    ]


async def test_a_wrong_host(tmp_path: Path) -> None:
    grpc, http = await problems("nacos.invalid:8848", tmp_path)
    assert grpc == (
        "nacos.invalid:9848: Name or service not known; "
        "check that Nacos runs there and that its gRPC port (HTTP port + 1000) is open to this machine"
    )
    assert http.startswith("nacos.invalid:8848: Name or service not known; ")


async def test_a_wrong_port(tmp_path: Path) -> None:
    """The gRPC port in place of the HTTP port."""
    async with FakeNacos() as nacos:
        grpc, http = await problems(f"127.0.0.1:{nacos.port + 1000}", tmp_path)
    assert grpc.startswith(f"127.0.0.1:{nacos.port + 2000}: Connection refused; check that Nacos runs there")
    assert http.startswith(f"127.0.0.1:{nacos.port + 1000}: the answer is not HTTP ")


async def test_one_server_of_two_is_away(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("gray")}) as nacos:
        at = config(nacos.address, tmp_path)
        said = await examine(replace(at, server_addresses=("127.0.0.1:9", nacos.address)))
    assert [one.text.partition(";")[0] for one in said if not one.ok] == [
        "127.0.0.1:1009: Connection refused",
        "127.0.0.1:9: Connection refused",
    ]
    assert said[-1].text.endswith("1 services, 1 instances (gray 1)")


async def test_clocks_that_differ(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("gray")}) as nacos:
        nacos.clock_skew = -3600.0
        (said,) = await problems(nacos.address, tmp_path)
    head, _, seconds = said.partition("differs from this machine's by ")
    assert head == f"{nacos.address}: the server's clock "
    assert -3602 <= int(seconds.removesuffix(" s")) <= -3598


async def test_no_services_and_none_of_the_names(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("gray")}) as nacos:
        (said,) = await problems(nacos.address, tmp_path, groups=("OTHER",))
        assert said.startswith("namespace public, group OTHER: no services; ")
        (said,) = await problems(nacos.address, tmp_path, services=("order-*",))
        assert said.endswith("none of the 1 services has a name that NACOS_SERVICES allows")


async def test_a_namespace_that_does_not_exist(tmp_path: Path) -> None:
    async with FakeNacos() as nacos:
        nacos.namespaces = ["", "prod-7f3a"]
        (said,) = await problems(nacos.address, tmp_path, namespace="production")
    assert said == (
        "namespace production, group DEFAULT_GROUP: no services; "
        "the namespace production does not exist; the server has the namespaces prod-7f3a, public; "
        "create it in Nacos, or set NACOS_NAMESPACE to the id (not the name) of a namespace that exists"
    )


async def test_a_login(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("gray")}) as nacos:
        nacos.logins = {"username=joe&password=secret"}
        login = {"username": "joe", "password": "secret"}
        said = await examine(config(nacos.address, tmp_path, **login))
        assert f"{nacos.address}: the login of joe is accepted" in [one.text for one in said if one.ok]
        wrong = await problems(nacos.address, tmp_path, **{**login, "password": "wrong"})
        assert wrong[0] == (
            f"{nacos.address}: Nacos does not let the user 'joe' in: \"unknown user!\"; "
            "check NACOS_USERNAME and NACOS_PASSWORD"
        )
        nacos.login_path = "/nacos/v3/auth/user/login"
        said = await examine(config(nacos.address, tmp_path, **login))
        assert all(one.ok for one in said)


async def test_no_tags(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("", "")}) as nacos:
        said = await examine(config(nacos.address, tmp_path))
    assert all(one.ok for one in said)
    assert said[-1].text == (
        "namespace public, group DEFAULT_GROUP: no instance has a tag; tags are read from the metadata "
        "alicloud.service.tag, opensergo.io/canary-<tag>, __micro.service.env__, lane"
    )


async def test_the_command(tmp_path: Path) -> None:
    async with FakeNacos({"sc-A": instances("gray")}) as nacos:
        command = ("doctor", "nacos", "--nacos", nacos.address)
        own = {"LANEWAY_STATE_DIR": str(tmp_path)}
        well = await asyncio.to_thread(laneway, *command, **own)
        nacos.services["sc-A"] = instances("gr äy")
        await asyncio.to_thread(laneway, *command, code=1, **own)
    assert "PROBLEM" not in well
    assert "ok       namespace public, group DEFAULT_GROUP: 1 services, 1 instances (gray 1)" in well
