"""The faults of nacos-sdk-python that are patched, each shown on the SDK as it is.

A test that fails here after an upgrade says that its patch in `sdk_patches.py` is not needed any more.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pydantic
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from v2.nacos import ClientConfigBuilder, GRPCConfig, NacosNamingService
    from v2.nacos.common.client_config import TLSConfig
    from v2.nacos.common.nacos_exception import NacosException
    from v2.nacos.naming.cache.service_info_cache import ServiceInfoCache
    from v2.nacos.naming.cache.subscribe_callback_wrapper import (
        ClusterSelector,
        SubscribeCallbackFuncWrapper,
    )
    from v2.nacos.naming.model.naming_param import ListServiceParam
    from v2.nacos.naming.model.service import Service
    from v2.nacos.transport import rpc_client_factory
    from v2.nacos.transport.grpc_client import GrpcClient
    from v2.nacos.transport.rpc_client import ReconnectContext, RpcClientStatus

from controlplane.registry.nacos import sdk_patches
from tests.fake_nacos import FakeNacos

PINNED = "3.2.0"


def options(address: str, directory: Path, **more: Any) -> Any:
    """The SDK's configuration, with a short wait for connections."""
    builder = ClientConfigBuilder().server_address(address).log_level(logging.CRITICAL)
    builder.log_dir(str(directory / "log")).cache_dir(str(directory / "cache")).load_cache_at_start(False)
    for name, value in more.items():
        getattr(builder, name)(value)
    built = builder.build()
    built.grpc_config = GRPCConfig(grpc_timeout=2000)
    return built


def client_of(service: Any) -> GrpcClient:
    """The SDK's own client, not Laneway's."""
    proxy = service.grpc_client_proxy
    return GrpcClient(proxy.logger, "test", service.client_config, proxy.nacos_server_connector)


@pytest.fixture(autouse=True)
def unpatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process patched is as it was."""
    monkeypatch.setattr(rpc_client_factory, "GrpcClient", GrpcClient)
    monkeypatch.setattr(logging.getLogger(), "filters", [])


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Any]:
    """A service of the SDK that is not connected."""
    made = NacosNamingService(options("127.0.0.1:9", tmp_path))
    yield made
    await sdk_patches.shut_down(made)


def test_the_references_are_those_of_the_pinned_version() -> None:
    """Each `file:line `text`` of a docstring is what stands there, so that a reader finds it."""
    assert importlib.metadata.version("nacos-sdk-python") == PINNED
    root = Path(inspect.getfile(NacosNamingService)).parents[2].parent
    source = inspect.getsource(sdk_patches)
    references = re.findall(r"(v2/nacos/[a-z0-9_/]+\.py):(\d+)\s+`([^`]+)`", source)
    assert len(references) >= 8
    for file, line, text in references:
        text = " ".join(text.split())
        assert text in (root / file).read_text().splitlines()[int(line) - 1], (file, line)


def test_importing_warns() -> None:
    """Patch: `load`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import v2.nacos"], capture_output=True, timeout=60, check=False
    )
    assert b"PydanticDeprecatedSince20" in done.stderr


async def test_failed_connections_are_logged_to_the_root_logger(
    service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Patch: `NothingOnRoot`."""
    client = client_of(service)
    patch = sdk_patches.NothingOnRoot()
    client.rpc_client_status = RpcClientStatus.STARTING

    async def refuse(_: Any) -> None:
        client.rpc_client_status = RpcClientStatus.SHUTDOWN
        raise NacosException(-401, "no")

    client.connect_to_server = refuse
    await client.reconnect(ReconnectContext(None, False))
    (record,) = [one for one in caplog.records if one.name == "root"]
    assert record.message == "failed to connect server, error = Error [-401]: no"
    assert not patch.filter(record)
    record.pathname = __file__
    assert patch.filter(record)


async def test_tls_wants_a_client_certificate(tmp_path: Path, service: Any) -> None:
    """Patch: `_create_new_managed_channel` of `client_class`."""
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()
    service.client_config.set_tls_config(TLSConfig(enabled=True, ca_file=str(ca_file)))
    with pytest.raises(FileNotFoundError, match="''"):
        await client_of(service)._create_new_managed_channel("127.0.0.1", 9)


async def test_a_stream_that_the_server_ends_goes_unnoticed(service: Any) -> None:
    """Patch: `_server_request_watcher` and `when_lost` of `client_class`."""

    class Ended:
        connection_id = "1"

        async def bi_stream_send(self) -> AsyncIterator[Any]:
            return
            yield

    client = client_of(service)
    client.rpc_client_status = RpcClientStatus.RUNNING
    await client._server_request_watcher(Ended())
    assert client.is_running()
    assert client.reconnection_chan.empty()

    ours = sdk_patches.client_class()(service.logger, "test", service.client_config, None)
    ours.current_connection = Ended()
    told = asyncio.Event()
    reading = asyncio.create_task(ours._server_request_watcher(ours.current_connection))
    await asyncio.sleep(0)
    ours.when_lost(told.set)
    await reading
    await asyncio.wait_for(told.wait(), 5)


async def test_an_address_with_http_in_the_name_is_cut(service: Any) -> None:
    """Patch: `server_list`."""
    client = client_of(service)
    assert client._resolve_server_info("http-nacos:8848").server_ip == "8848"
    whole = client._resolve_server_info("http://http-nacos:8848")
    assert (whole.server_ip, whole.server_port) == ("http-nacos", 9848)


async def test_a_login_is_of_nacos_2_and_shows_password_and_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Patch: `log_in_with`."""
    async with FakeNacos() as nacos:
        nacos.logins = {"username=joe&password=secret"}
        made = NacosNamingService(options(nacos.address, tmp_path, username="joe", password="secret"))
        login = made.grpc_client_proxy.nacos_server_connector.auth_client
        made.logger.setLevel(logging.INFO)
        made.logger.addHandler(caplog.handler)
        try:
            token = await login.get_access_token(True)
            assert any(f"AccessToken: {token}" in one.message for one in caplog.records)
            assert "password=secret" in nacos.targets[-1]
            nacos.login_path = "/nacos/v3/auth/user/login"
            with pytest.raises(NacosException, match=r"get access token failed$"):
                await login.get_access_token(True)
        finally:
            made.logger.removeHandler(caplog.handler)
            await sdk_patches.shut_down(made)


async def test_a_refused_list_hides_what_the_server_says(tmp_path: Path) -> None:
    """Patch: `readable_refusal`."""
    async with FakeNacos() as nacos:
        made = await NacosNamingService.create_naming_service(options(nacos.address, tmp_path))
        nacos.refuses = (403, "no permission")
        with pytest.raises(NacosException) as refused:
            await made.list_services(ListServiceParam(group_name="DEFAULT_GROUP"))
        await sdk_patches.shut_down(made)
    assert "no permission" not in str(refused.value)
    assert isinstance(refused.value.__context__, pydantic.ValidationError)


async def test_a_service_that_is_subscribed_again_is_silent(service: Any, tmp_path: Path) -> None:
    """Patch: `forget`."""
    cache: ServiceInfoCache = service.service_info_holder
    told: list[int] = []

    async def callback(instances: Iterable[Any]) -> None:
        told.append(len(list(instances)))

    async def subscribe_and_hear() -> None:
        wrapper = SubscribeCallbackFuncWrapper(ClusterSelector([]), callback)
        await cache.register_callback("g@@sc-A", "", wrapper)
        await cache.process_service(Service(name="sc-A", groupName="g", hosts=[host], lastRefTime=1))
        await cache.deregister_callback("g@@sc-A", "", wrapper)

    host = {"ip": "127.0.0.1", "port": 1}
    await subscribe_and_hear()
    await subscribe_and_hear()
    assert told == [1]
    sdk_patches.forget(service, "g", "sc-A")
    await subscribe_and_hear()
    assert told == [1, 1]


async def test_a_shutdown_leaves_a_task_and_a_log_handler(tmp_path: Path) -> None:
    """Patches: `shut_down`, `own_handler`."""
    async with FakeNacos() as nacos:
        logger = logging.getLogger("naming")
        before = list(logger.handlers)
        made = await NacosNamingService.create_naming_service(options(nacos.address, tmp_path))
        remove_handler = sdk_patches.own_handler(made)
        await made.shutdown()
        assert not made.grpc_client_proxy.redo_service._listen_task.done()
        assert len(logger.handlers) == len(before) + 1
        await sdk_patches.shut_down(made)
        remove_handler()
        assert made.grpc_client_proxy.redo_service._listen_task.done()
        assert logger.handlers == before
