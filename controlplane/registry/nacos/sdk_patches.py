"""What nacos-sdk-python (`v2.nacos`, 3.2.0) does wrong for us, and what is put in its place.

One function or class for each fault. `Upstream:` names the line of that version and, where there is one, the
issue or pull request of https://github.com/nacos-group/nacos-sdk-python. For each, a test in
tests/registry/test_nacos_sdk_patches.py runs the SDK as it is and expects the fault: when an upgrade makes
that test fail, the patch can go.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from controlplane.nacos import NacosConnection, session
from controlplane.nacos.access import base_url
from controlplane.nacos.errors import NacosError
from controlplane.nacos.login import Login


def load() -> Any:
    """The SDK's module, with its gRPC client replaced by `client_class`. Raises NacosError if not installed.

    Importing it takes most of a second, so it is done when the first client is opened, and it raises
    deprecation warnings of pydantic, which are nothing that an operator can act on.

    Upstream: v2/nacos/naming/model/service.py:111 `class Config:`
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import v2.nacos as sdk
            from v2.nacos.transport import rpc_client_factory
    except ImportError as error:
        raise NacosError(
            f"the package nacos-sdk-python cannot be imported: {error}",
            remedy="install Laneway's dependencies again",
        ) from None
    logging.getLogger().addFilter(_ROOT_FILTER)  # adding the same filter again changes nothing
    rpc_client_factory.GrpcClient = client_class()
    return sdk


class NothingOnRoot(logging.Filter):
    """Drops what the SDK logs to the root logger: every failed attempt to connect, as an error.

    Laneway says the same itself, once, with the cause.

    Upstream: v2/nacos/transport/rpc_client.py:429 `logging.error(f"failed to connect server`; the same habit
    in the older client: issue 48, pull request 107 (open).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is not of the SDK."""
        return "/v2/nacos/" not in record.pathname.replace("\\", "/")


_ROOT_FILTER = NothingOnRoot()


@functools.cache
def client_class() -> Any:
    """The SDK's gRPC client with Laneway's channels, which also reports the end of its connection."""
    from v2.nacos.common.nacos_exception import CLIENT_DISCONNECT, NacosException
    from v2.nacos.transport.grpc_client import GrpcClient

    class LanewayGrpcClient(GrpcClient):
        """See `client_class`."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self._ended: dict[Any, asyncio.Future[None]] = {}  # by connection

        def when_lost(self, tell: Callable[[], None]) -> None:
            """Call `tell` when the stream of the present connection ends, at once if it has already ended."""
            self._ended[self.current_connection].add_done_callback(lambda _: tell())

        async def _create_new_managed_channel(self, server_ip: str, grpc_port: int) -> Any:
            """A ready channel as the store uses it, too.

            The SDK's own asks for a client certificate and its key wherever TLS is on, also of servers that
            ask for none, and for a CA file where the system's CAs would do.

            Upstream: v2/nacos/transport/grpc_client.py:52 `with open(self.tls_config.cert_file, 'rb') as f:`
            """
            limits, chosen = self.grpc_config, self.tls_config
            by_tls = bool(chosen and chosen.enabled)
            ca_file = Path(chosen.ca_file) if by_tls and chosen.ca_file else None
            options = [
                ("grpc.max_call_recv_msg_size", limits.max_receive_message_length),
                ("grpc.keepalive_time_ms", limits.max_keep_alive_ms),
            ]
            channel = session.channel(f"{server_ip}:{grpc_port}", by_tls, ca_file, options)
            try:
                await asyncio.wait_for(channel.channel_ready(), limits.grpc_timeout / 1000)
            except TimeoutError as error:
                await channel.close()
                raise NacosException(CLIENT_DISCONNECT, "failed to connect") from error
            return channel

        async def _server_request_watcher(self, grpc_conn: Any) -> None:
            """Read what the server pushes, until that ends, which `when_lost` reports.

            The SDK notices a stream that breaks, but not one that the server ends in good order, as it does
            with a client that did not answer its checks: then no push comes any more, and health checks take
            the answer "not registered" for healthy. The server's request to reconnect does not help: its
            handler raises.

            Upstream: v2/nacos/transport/grpc_client.py:179 `async for payload in
            grpc_conn.bi_stream_send():`; issues 252 and 294, of which pull request 306 mended the broken
            stream only; v2/nacos/transport/rpc_client.py:462 `with self.rpc_client.lock:`, pull request 323
            (open).
            """
            # Not the task: that would keep the call, and so the connection, after the channel is closed.
            ended = self._ended[grpc_conn] = asyncio.get_running_loop().create_future()
            try:
                await super()._server_request_watcher(grpc_conn)
            finally:
                ended.set_result(None)

    return LanewayGrpcClient


def server_list(connection: NacosConnection) -> str:
    """The servers as the SDK takes them, each with a scheme.

    The SDK looks for "http" anywhere in an address and then takes what stands after the first colon for the
    host: without a scheme, `http-gateway:8848` becomes the host `8848`.

    Upstream: v2/nacos/transport/rpc_client.py:289 `if Constants.HTTP_PREFIX in server_address:`
    """
    return ",".join(base_url(connection, one) for one in connection.server_addresses)


def log_in_with(service: Any, login: Login) -> None:
    """Have requests of `service` carry Laneway's access token; the SDK is given no user name.

    The SDK logs in by a path that Nacos 3 has only with compatibility switched on, sends the password in the
    URL, where access logs show it, says "get access token failed" whatever the cause, and writes the token to
    its log.

    Upstream: v2/nacos/transport/auth_client.py:34 `url = server_address + ctx_prefix +`, :45
    `AccessToken: {self.access_token}`, :47 `"get access token failed"`; issue 241.
    """

    async def add_token(headers: dict[str, str]) -> None:
        if token := await login.token():
            headers["accessToken"] = token

    service.grpc_client_proxy.nacos_server_connector.inject_security_info = add_token


async def readable_refusal(error: NacosError, query: Callable[[], Awaitable[Any]]) -> None:
    """Raise what the server says where `error` hides it. `query` asks for a service of the same namespace.

    The SDK's model of an answer to `list_services` does not fit an error: in place of the server's words
    there is a validation error. A query that the server refuses for the same reason can be read.

    Upstream: v2/nacos/naming/model/naming_response.py:41 `count: int`
    """
    if "ServiceListResponse" in str(error):
        await query()


def forget(service: Any, group: str, name: str) -> None:
    """Remove what the SDK keeps of a service after its subscription ended.

    The SDK drops what is not newer than the last word that it has: a service that is subscribed again would
    make no callback if nothing changed meanwhile.

    Upstream: v2/nacos/naming/cache/service_info_cache.py:88 `old_service.lastRefTime >= service.lastRefTime`
    """
    service.service_info_holder.service_info_map.pop(f"{group}@@{name}", None)


async def shut_down(service: Any) -> None:
    """End everything that the SDK started for `service`, within a few seconds.

    Its own `shutdown` leaves the task that repeats subscriptions and the log handler of the client, and may
    wait without end.

    Upstream: v2/nacos/redo/abstract_redo_service.py:19 `self._listen_task = asyncio.create_task(`,
    v2/nacos/nacos_client.py:55 `self.logger.addHandler(file_handler)`
    """
    proxy = service.grpc_client_proxy
    service.service_info_updater.stop()
    if proxy.rpc_client is not None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(proxy.rpc_client.shutdown(), SHUTDOWN)
    repeating = proxy.redo_service._listen_task
    repeating.cancel()
    await asyncio.gather(repeating, return_exceptions=True)


SHUTDOWN = 5.0
"""Seconds for the end of a connection."""


def own_handler(service: Any) -> Callable[[], None]:
    """To be called when `service` was just made: returns what removes the log handler that it brought.

    Upstream: as for `shut_down`.
    """
    handler = service.logger.handlers[-1]

    def remove() -> None:
        service.logger.removeHandler(handler)
        handler.close()

    return remove
