"""Registration and discovery in Nacos, as a framework does both for its applications.

An instance registers its address, port and metadata, and subscribes to the service that it calls; of that
service's instances it takes one after the other, whichever they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

log = logging.getLogger("demo.registry")

WATCH_S = 5.0
"""Seconds between two looks whether the registry still has this instance."""
ANSWER_S = 4.0
"""Seconds that the registry may take to answer."""


class Registry:
    """One instance's place in the registry, and what it knows of the service that it calls."""

    def __init__(
        self, server: str, service: str, address: str, port: int, metadata: Mapping[str, str], callee: str
    ) -> None:
        """`server` is host:port of Nacos, `callee` the service to discover, or empty."""
        self._server, self._service, self._callee = server, service, callee
        self._place, self._metadata = (address, port), dict(metadata)
        self._instances: list[tuple[str, int]] = []
        self._turn = 0
        self._client: Any = None
        self.registered = False

    @property
    def ready(self) -> bool:
        """Registered, and told of instances to call, if it calls any."""
        return self.registered and bool(self._instances or not self._callee)

    def pick(self) -> str | None:
        """`ip:port` of the next instance in turn, or None where none is known."""
        if not self._instances:
            return None
        self._turn = (self._turn + 1) % len(self._instances)
        return "{}:{}".format(*self._instances[self._turn])

    async def keep(self) -> None:
        """Register, and again whenever the registry has lost this instance, until cancelled."""
        while True:
            try:
                await self._join()
                await self._watch()
            except Exception as error:
                log.warning("registry %s: %s", self._server, error)
            finally:
                await asyncio.shield(self._close())
            await asyncio.sleep(1.0)

    async def leave(self) -> None:
        """Tell the registry that this instance goes, so that callers choose others."""
        self.registered = False
        if self._client is not None:
            import v2.nacos as sdk

            address, port = self._place
            param = sdk.DeregisterInstanceParam(service_name=self._service, ip=address, port=port)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._client.deregister_instance(param), ANSWER_S)

    async def _join(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK's, about its own dependencies
            import v2.nacos as sdk

        directory = f"{tempfile.gettempdir()}/nacos"
        config = (
            sdk.ClientConfigBuilder()
            .server_address(self._server)
            .log_level(logging.WARNING)
            .log_dir(f"{directory}/log")
            .cache_dir(f"{directory}/cache")
            .load_cache_at_start(False)
            .build()
        )
        self._client = await sdk.NacosNamingService.create_naming_service(config)
        if self._callee:
            await self._client.subscribe(
                sdk.SubscribeServiceParam(service_name=self._callee, subscribe_callback=self._told)
            )
        await self._register()
        log.info("registered %s at %s:%d", self._service, *self._place)

    async def _register(self) -> None:
        import v2.nacos as sdk

        address, port = self._place
        param = sdk.RegisterInstanceParam(
            service_name=self._service, ip=address, port=port, metadata=self._metadata
        )
        await asyncio.wait_for(self._client.register_instance(param), ANSWER_S)
        self.registered = True

    async def _told(self, instances: Iterable[Any]) -> None:
        """The SDK's callback. An empty list changes nothing: a registry that restarts says so, too."""
        found = sorted((one.ip, one.port) for one in instances if one.healthy and one.enabled)
        if found:
            self._instances = found

    async def _watch(self) -> None:
        """Look after the registration. Raises when the registry did not answer twice.

        The SDK alone does not notice a connection that its server has given up, and registers again only
        after half a minute.
        """
        failed = 0
        while True:
            await asyncio.sleep(WATCH_S)
            # The client's own list would come from its cache, which is what may be stale.
            asked = self._client.grpc_client_proxy.query_instance_of_service(
                self._service, "DEFAULT_GROUP", "", False
            )
            try:
                found = await asyncio.wait_for(asked, ANSWER_S)
                if self.registered and self._place not in {(one.ip, one.port) for one in found.hosts}:
                    await self._register()
                    log.info("registered %s again", self._service)
                failed = 0
            except Exception:
                failed += 1
                if failed == 2:
                    raise

    async def _close(self) -> None:
        """End the client, and the tasks that it leaves running."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.grpc_client_proxy.rpc_client.shutdown(), ANSWER_S)
        for task in asyncio.all_tasks():
            code = getattr(task.get_coro(), "cr_code", None)
            if code is not None and "/v2/nacos/" in code.co_filename:
                task.cancel()


def from_environment(environ: Mapping[str, str], address: str, port: int, callee: str) -> Registry | None:
    """The registry that NACOS_SERVER_ADDR names; None without one. Raises ValueError for bad metadata."""
    server = environ.get("NACOS_SERVER_ADDR", "")
    if not server:
        return None
    try:
        metadata = json.loads(environ.get("NACOS_METADATA") or "{}")
    except ValueError as error:
        raise ValueError(f"NACOS_METADATA is no JSON object: {error}") from None
    return Registry(server, environ["NACOS_SERVICE"], address, port, metadata, callee)
