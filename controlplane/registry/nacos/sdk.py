"""A client of Nacos's registry, by nacos-sdk-python (`v2.nacos`, 3.2.0). Its faults: see `sdk_patches.py`.

How the SDK behaves, as far as one has to know it here:

- It writes logs and caches below the home unless told otherwise.
- `create_naming_service` succeeds without a server, after 9 s, and with a wrong password. So the port is
  tried before, and whether credentials are accepted shows with the first request.
- `update_cache_when_empty` is off by default: then a service that loses its last instance never says so.
  With `load_cache_at_start`, the default, an unchanged list makes no callback at all.
- Callbacks run under the cache's lock: asking for instances inside one is a deadlock, raising in one loses
  the acknowledgement. The callback gets the instances, not the service.
- It replaces a broken connection silently, and subscribes again on a 30 s tick (pull request 323, open). A
  new
  client subscribes at once, and another server needs another client anyway: pushes are compared by the
  *server's* clock.
- The server leaves out disabled instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from types import MappingProxyType
from typing import Any, TypeVar

from controlplane.nacos.access import grpc_address
from controlplane.nacos.errors import (
    FORBIDDEN,
    AccessRefused,
    ConnectionLost,
    NacosError,
    NoAnswer,
    no_grpc,
    refused,
)
from controlplane.nacos.login import Login
from controlplane.nacos.reach import reachable
from controlplane.registry.nacos import sdk_patches
from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.source import RawInstance

PAGE = 1000
"""Services that are listed by one request."""

REQUEST = 3.0
"""Seconds that the SDK waits for an answer or a connection, before Laneway's own bound."""

OPENING = 10.0
"""Seconds for a new connection: the SDK tries three times."""

T = TypeVar("T")
Changed = Callable[[tuple[RawInstance, ...]], None]


def client_config(sdk: Any, config: NacosConfig) -> Any:
    """The SDK's configuration: everything that is on disk goes below `config.directory()`."""
    directory = config.directory()
    builder = (
        sdk.ClientConfigBuilder()
        .server_address(sdk_patches.server_list(config))
        .namespace_id(config.tenant)
        .context_path(config.context_path)
        .log_level(logging.WARNING)
        .log_dir(str(directory / "log"))
        .cache_dir(str(directory / "cache"))
        .load_cache_at_start(False)
    )
    if config.access_key:
        builder.access_key(config.access_key).secret_key(config.secret_key)
    built = builder.build()
    built.set_update_cache_when_empty(True)
    built.grpc_config.grpc_timeout = int(REQUEST * 1000)
    if config.tls:
        from v2.nacos.common.client_config import TLSConfig

        built.set_tls_config(TLSConfig(enabled=True, ca_file=str(config.ca_file or "")))
    return built


class NamingClient:
    """One connection to a Nacos server's registry. Not usable again after `close`.

    `lost` is set when the connection ends, by whichever side; later callbacks may lack instances. Methods
    raise NacosError for every error.
    """

    def __init__(self, config: NacosConfig) -> None:
        self.lost = asyncio.Event()
        self._config = config
        self._login = Login(config)
        self._service: Any = None
        self._sdk: Any = None
        self._remove_handler: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Connect. Raises ServerUnreachable where no server can be reached; credentials are not tried."""
        await reachable(self._config)
        self._sdk = sdk_patches.load()
        self._service = self._sdk.NacosNamingService(client_config(self._sdk, self._config))
        self._remove_handler = sdk_patches.own_handler(self._service)
        sdk_patches.log_in_with(self._service, self._login)
        proxy = self._service.grpc_client_proxy
        await self._ask(proxy.start(), OPENING)
        if not proxy.server_health():
            raise no_grpc(self._config, ", ".join(map(grpc_address, self._config.server_addresses)))
        proxy.rpc_client.when_lost(self.lost.set)

    async def list_services(self, group: str) -> set[str]:
        """Names of all services of a group. A real request: it also shows whether the connection works."""
        names: set[str] = set()
        page = 1
        while True:
            param = self._sdk.ListServiceParam(
                namespace_id=self._config.namespace, group_name=group, page_no=page, page_size=PAGE
            )
            try:
                found = await self._ask(self._service.list_services(param))
            except NacosError as error:
                await sdk_patches.readable_refusal(error, lambda: self._query(group, "laneway"))
                raise
            names.update(found.services)
            if len(found.services) < PAGE:
                return names
            page += 1

    async def subscribe(self, group: str, name: str, changed: Changed) -> Any:
        """Call `changed` with all instances, before this returns and after every change.

        The result is for `unsubscribe`.
        """

        async def callback(instances: Iterable[Any]) -> None:
            if self.lost.is_set():
                return  # the SDK has replaced the lost connection, and the new server may lack instances
            changed(tuple(raw_instance(one) for one in instances))

        param = self._sdk.SubscribeServiceParam(
            service_name=name, group_name=group, subscribe_callback=callback
        )
        await self._ask(self._service.subscribe(param))
        return param

    async def unsubscribe(self, subscription: Any) -> None:
        """End a subscription. Raises nothing: the server ends it with the connection at the latest."""
        with contextlib.suppress(NacosError):
            await self._ask(self._service.unsubscribe(subscription))
        sdk_patches.forget(self._service, subscription.group_name, subscription.service_name)

    async def refresh(self, group: str, name: str) -> None:
        """Query the instances of a subscribed service; its callback is called if they changed."""
        service = await self._query(group, name)
        await self._service.service_info_holder.process_service(service)

    async def _query(self, group: str, name: str) -> Any:
        proxy = self._service.grpc_client_proxy
        return await self._ask(proxy.query_instance_of_service(name, group, "", False))

    async def close(self) -> None:
        """End the connection and everything that the SDK started for it."""
        if self._service is None:
            return
        service, self._service = self._service, None
        await sdk_patches.shut_down(service)
        self._remove_handler()
        self._remove_handler = lambda: None

    async def _ask(self, request: Awaitable[T], seconds: float | None = None) -> T:
        """The answer to a request of the SDK. Raises NacosError for every error."""
        seconds = seconds or self._config.request_timeout
        try:
            return await asyncio.wait_for(request, seconds)
        except TimeoutError:
            raise NoAnswer(seconds, self._server()) from None
        except Exception as error:
            found = meaning(error, self._config, self._server())
            if isinstance(found, AccessRefused):
                self._login.forget()
            raise found from error

    def _server(self) -> str:
        """`host:port` of the server that is asked; "" before there is a connection."""
        client = self._service.grpc_client_proxy.rpc_client if self._service is not None else None
        server = client.get_current_server() if client is not None else None
        return f"{server.server_ip}:{server.server_port}" if server is not None else ""


def raw_instance(one: Any) -> RawInstance:
    """An instance of the SDK as the catalog takes it."""
    metadata = {str(k): "" if v is None else str(v) for k, v in (one.metadata or {}).items()}
    return RawInstance(
        address=one.ip,
        port=one.port,
        weight=one.weight,
        healthy=one.healthy,
        enabled=one.enabled,
        metadata=MappingProxyType(metadata),
    )


def meaning(error: Exception, config: NacosConfig, address: str) -> NacosError:
    """The error of Laneway's own set for an exception of the SDK, which has few kinds and many texts."""
    text = getattr(error, "message", "") or str(error) or type(error).__name__
    cause = error.__context__
    if isinstance(cause, NacosError) and str(cause) in text:  # raised by a login; the SDK wraps it
        return cause
    code = getattr(error, "error_code", 0)
    if code == FORBIDDEN or "user not found" in text or "authorization failed" in text.lower():
        return refused(config, FORBIDDEN, text, address)
    if "DEADLINE_EXCEEDED" in text:
        return NoAnswer(REQUEST, address)
    if "not connected" in text or "UNAVAILABLE" in text:
        return ConnectionLost("the connection was lost", address)
    return refused(config, code if isinstance(code, int) else 0, text, address)
