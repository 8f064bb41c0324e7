"""nacos-sdk-python (`v2.nacos`, 3.2.0): the only module that touches it, and what has to be known of it.

- Importing it takes most of a second and raises deprecation warnings: it is imported when a client is
  opened.
- It writes logs and caches below the home unless told otherwise, logs access tokens at INFO, adds a log
  handler for every client, and logs each failed connection to the *root* logger.
- `create_naming_service` succeeds with a wrong password; without a server it returns after 9 s. It starts
  tasks that nobody awaits and `shutdown` does not end: `NamingClient` collects them.
- `update_cache_when_empty` is off by default: then a service that loses its last instance never says so.
  With `load_cache_at_start`, the default, an unchanged list makes no callback at all.
- Callbacks run under the cache's lock: asking for instances inside one is a deadlock, raising in one loses
  the acknowledgement. The callback gets the instances, not the service.
- A push that is not newer, by the *server's* clock, than the last is dropped; so a service that is
  subscribed again after it went needs its cache entry removed, and another server needs another client.
- A connection that the server closes gracefully goes unnoticed: the reset request's handler raises, the
  stream ends without an exception, the health check takes "not registered" for healthy. `NamingClient.lost`
  is set by the end of the task that reads the stream, however it ends.
- A broken connection is replaced silently, and what was subscribed follows on a 30 s tick. A new client
  subscribes at once: that is what we do.
- TLS needs a client certificate and key, also where the server asks for none: its channels are replaced.
- An address without a scheme is logged in to by HTTP also where TLS is on, and one whose host contains
  "http" is cut in the wrong place: every address gets its scheme.
- An error in answer to `list_services` is a validation error of its own model, without the server's words.
- `ListInstanceParam` has no default for `healthy_only`; disabled instances are filtered by the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from controlplane.nacos import tls
from controlplane.nacos.connection import base_url
from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.nacos.reach import NacosError, reachable
from controlplane.registry.source import RawInstance

PAGE = 1000
NO_ANSWER = "Nacos does not answer"

T = TypeVar("T")
Changed = Callable[[tuple[RawInstance, ...]], None]


class _NoSdkOnRoot(logging.Filter):
    """Drops what the SDK logs directly to the root logger: every failed attempt to connect, as an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "/v2/nacos/" not in record.pathname.replace("\\", "/")


_ROOT_FILTER = _NoSdkOnRoot()


def load() -> Any:
    """The SDK's module. Raises NacosError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import v2.nacos as sdk
    except ImportError as error:
        raise NacosError(f"the package nacos-sdk-python is not installed: {error}") from None
    logging.getLogger().addFilter(_ROOT_FILTER)  # adding the same filter again changes nothing
    return sdk


def client_config(sdk: Any, config: NacosConfig) -> Any:
    """The SDK's configuration: everything that is on disk goes below `config.directory()`."""
    directory = config.directory()
    builder = (
        sdk.ClientConfigBuilder()
        .server_address(",".join(base_url(config, one) for one in config.server_addresses))
        .namespace_id(config.tenant)
        .context_path(config.context_path)
        .log_level(logging.WARNING)
        .log_dir(str(directory / "log"))
        .cache_dir(str(directory / "cache"))
        .load_cache_at_start(False)
    )
    if config.username:
        builder.username(config.username).password(config.password)
    if config.access_key:
        builder.access_key(config.access_key).secret_key(config.secret_key)
    built = builder.build()
    built.set_update_cache_when_empty(True)
    if config.tls:
        from v2.nacos.common.client_config import TLSConfig

        _connect_without_client_certificate()
        built.set_tls_config(TLSConfig(enabled=True, ca_file=str(config.ca_file or "")))
    return built


class NamingClient:
    """One connection to a Nacos server's registry. Not usable again after `close`.

    `lost` is set when the connection ends, on whichever side; what is told from then on is not complete.
    """

    def __init__(self, config: NacosConfig) -> None:
        self.lost = asyncio.Event()
        self._config = config
        self._service: Any = None
        self._sdk: Any = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handlers: list[tuple[logging.Logger, logging.Handler]] = []

    async def open(self) -> None:
        """Connect. Raises NacosError where no server can be reached; credentials are not looked at."""
        await reachable(self._config)
        self._sdk = load()
        logger = logging.getLogger("naming")
        handlers = set(logger.handlers)
        before = asyncio.all_tasks()
        self._service = self._sdk.NacosNamingService(client_config(self._sdk, self._config))
        self._tasks = asyncio.all_tasks() - before
        self._handlers = [(logger, h) for h in logger.handlers if h not in handlers]
        for task in self._tasks:
            task.add_done_callback(_retrieve)
        await self._ask(self._service.grpc_client_proxy.start(), 10.0)
        if not self._service.grpc_client_proxy.server_health():
            hint = "" if self._config.tls else "; does it want TLS?"
            raise NacosError(f"no connection to the gRPC port of Nacos could be made{hint}")
        for task in asyncio.all_tasks():
            if _reads_stream(task, self._service.grpc_client_proxy.rpc_client):
                task.add_done_callback(lambda _: self.lost.set())

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
                if "ServiceListResponse" in str(error):  # the SDK cannot read a refusal; of a query it can
                    await self._query(group, "laneway")
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
                return  # of a connection that replaced the lost one: its server may know only a part
            changed(tuple(raw_instance(one) for one in instances))

        param = self._sdk.SubscribeServiceParam(
            service_name=name, group_name=group, subscribe_callback=callback
        )
        await self._ask(self._service.subscribe(param))
        return param

    async def unsubscribe(self, subscription: Any) -> None:
        """End a subscription; what fails on the way is of no interest."""
        with contextlib.suppress(NacosError):
            await self._ask(self._service.unsubscribe(subscription))
        key = f"{subscription.group_name}@@{subscription.service_name}"
        self._service.service_info_holder.service_info_map.pop(key, None)

    async def refresh(self, group: str, name: str) -> None:
        """Ask for the instances of a subscribed service; a difference is told to its subscriber."""
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
        proxy = service.grpc_client_proxy
        service.service_info_updater.stop()
        if proxy.rpc_client is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(proxy.rpc_client.shutdown(), 5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()

    async def _ask(self, request: Awaitable[T], seconds: float | None = None) -> T:
        """The answer to a request of the SDK. Raises NacosError for everything that goes wrong."""
        try:
            return await asyncio.wait_for(request, seconds or self._config.request_timeout)
        except TimeoutError:
            raise NacosError(NO_ANSWER) from None
        except Exception as error:
            raise NacosError(plain(error, self._config.username)) from error


def _reads_stream(task: asyncio.Task[Any], rpc_client: Any) -> bool:
    """Whether `task` is the one in which `rpc_client` reads what its server sends."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return (
        frame is not None
        and frame.f_code.co_name == "_server_request_watcher"
        and frame.f_locals.get("self") is rpc_client
    )


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


def plain(error: Exception, username: str) -> str:
    """What an exception of the SDK means, in words for users."""
    text = getattr(error, "message", "") or str(error) or type(error).__name__
    if "get access token failed" in text:
        return f"Nacos does not let the user {username!r} in: wrong name or password, or no login possible"
    if "user not found" in text:
        return "Nacos wants a user name and password"
    if getattr(error, "error_code", 0) == 403 or "authorization failed" in text.lower():
        return f"Nacos refuses access: {text}"
    if "DEADLINE_EXCEEDED" in text:
        return NO_ANSWER
    if "not connected" in text or "UNAVAILABLE" in text:
        return "the connection to Nacos is gone"
    return f"Nacos says: {text}"


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take the exception of a task that nobody awaits, so that it is not logged when it is collected."""
    if not task.cancelled():
        task.exception()


def _connect_without_client_certificate() -> None:
    """Make the SDK's factory build clients that connect by `_channel` where TLS is on."""
    from v2.nacos.transport import rpc_client_factory
    from v2.nacos.transport.grpc_client import GrpcClient

    class TlsGrpcClient(GrpcClient):
        async def _create_new_managed_channel(self, server_ip: str, grpc_port: int) -> Any:
            chosen = self.tls_config
            if not chosen or not chosen.enabled or chosen.cert_file:
                return await super()._create_new_managed_channel(server_ip, grpc_port)
            return await _channel(chosen.ca_file, f"{server_ip}:{grpc_port}", self.grpc_config)

    if rpc_client_factory.GrpcClient is GrpcClient:
        rpc_client_factory.GrpcClient = TlsGrpcClient


async def _channel(ca_file: str, target: str, limits: Any) -> Any:
    """A ready channel. Raises NacosException as the SDK's own method does."""
    import grpc
    from v2.nacos.common.nacos_exception import CLIENT_DISCONNECT, NacosException

    roots = tls.roots(Path(ca_file) if ca_file else None)
    channel = grpc.aio.secure_channel(
        target,
        grpc.ssl_channel_credentials(root_certificates=roots),
        options=[
            ("grpc.max_call_recv_msg_size", limits.max_receive_message_length),
            ("grpc.keepalive_time_ms", limits.max_keep_alive_ms),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )
    try:
        await asyncio.wait_for(channel.channel_ready(), limits.grpc_timeout / 1000)
    except TimeoutError as error:
        await channel.close()
        raise NacosException(CLIENT_DISCONNECT, "failed to connect by TLS") from error
    return channel
