"""Whether a server's gRPC port can be used at all, found out without the SDK: that would wait for 9 s and not
say why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl

from controlplane.nacos import tls
from controlplane.nacos.connection import split_address
from controlplane.registry.nacos.config import NacosConfig

GRPC_PORT_OFFSET = 1000

PATIENCE = 2.0
"""Seconds that a server has to take a connection, TLS included."""


class NacosError(Exception):
    """A request that failed, in words for users."""


async def reachable(config: NacosConfig) -> None:
    """Return if some server's gRPC port takes connections, by TLS where that is on.

    Raises NacosError naming each server that does not, and why.
    """
    trusted = _trusted(config)
    problems: list[str] = []
    for address in config.server_addresses:
        host, port = split_address(address)
        try:
            async with asyncio.timeout(PATIENCE):
                opened = asyncio.open_connection(  # noqa: TID251 (what the SDK will ask, asked first)
                    host, port + GRPC_PORT_OFFSET, ssl=trusted
                )
                _, writer = await opened
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        except (OSError, TimeoutError) as error:
            problems.append(f"{host}:{port + GRPC_PORT_OFFSET}: {_why(error)}")
    raise NacosError("no Nacos server can be reached: " + "; ".join(problems))


def _trusted(config: NacosConfig) -> ssl.SSLContext | None:
    """What servers are checked against; None without TLS."""
    try:
        context = tls.trust(config)
    except OSError as error:
        raise NacosError(f"the CA file {config.ca_file} cannot be used: {_system_text(error)}") from error
    if context is not None:
        context.set_alpn_protocols(["h2"])
    return context


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); is it signed by the CA file's CA?"
    if isinstance(error, ssl.SSLError):
        return f"TLS does not work ({error.reason}); does this port speak TLS?"
    return _system_text(error)


def _system_text(error: OSError) -> str:
    """`Connection refused`, without the address that asyncio puts before it."""
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
