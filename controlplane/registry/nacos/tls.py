"""TLS to Nacos: the SDK opens a client certificate and key even where the server asks for none; this not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any


def configure(ca_file: Path | None) -> Any:
    """The SDK's TLS configuration: the server is checked against `ca_file`, or what the system trusts."""
    from v2.nacos.common.client_config import TLSConfig

    _replace_client()
    return TLSConfig(enabled=True, ca_file=str(ca_file or ""))


def _replace_client() -> None:
    """Make the SDK's factory build clients that connect by `_channel` where TLS is on."""
    from v2.nacos.transport import rpc_client_factory
    from v2.nacos.transport.grpc_client import GrpcClient

    class TlsGrpcClient(GrpcClient):
        async def _create_new_managed_channel(self, server_ip: str, grpc_port: int) -> Any:
            tls = self.tls_config
            if not tls or not tls.enabled or tls.cert_file:
                return await super()._create_new_managed_channel(server_ip, grpc_port)
            return await _channel(tls.ca_file, f"{server_ip}:{grpc_port}", self.grpc_config)

    if rpc_client_factory.GrpcClient is GrpcClient:
        rpc_client_factory.GrpcClient = TlsGrpcClient


def _roots(ca_file: str) -> bytes | None:
    return Path(ca_file).read_bytes() if ca_file else None


async def _channel(ca_file: str, target: str, limits: Any) -> Any:
    """A ready channel. Raises NacosException as the SDK's own method does."""
    import grpc
    from v2.nacos.common.nacos_exception import CLIENT_DISCONNECT, NacosException

    channel = grpc.aio.secure_channel(
        target,
        grpc.ssl_channel_credentials(root_certificates=_roots(ca_file)),
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
