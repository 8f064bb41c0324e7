"""Whether the gRPC port of a server can be used, and if not, why: in plain words, which gRPC does
not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from controlplane.nacos import tls
from controlplane.nacos.access import NacosConnection, grpc_address, split_address
from controlplane.nacos.errors import NacosError, NoAnswer, ServerUnreachable, none_of

PATIENCE = 2.0
"""Seconds that a server has to take a connection, TLS handshake included."""


async def reachable(connection: NacosConnection) -> None:
    """Return when the gRPC port of some server takes connections. Raises ServerUnreachable with
    every cause.
    """
    failed: list[NacosError] = []
    for address in connection.server_addresses:
        try:
            return await probe(connection, address)
        except NacosError as error:
            failed.append(error)
    raise none_of(failed)


async def probe(connection: NacosConnection, address: str) -> None:
    """Make a connection to the gRPC port of the server at `address`, and end it.

    Raises ServerUnreachable, TlsFailed or NoAnswer.
    """
    target = grpc_address(address)
    host, port = split_address(target)
    context = tls.context(connection)
    if context is not None:
        context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(PATIENCE):
            opened = asyncio.open_connection(  # noqa: TID251 (a connection that is closed at once)
                host, port, ssl=context
            )
            _, writer = await opened
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except TimeoutError:
        raise NoAnswer(PATIENCE, target) from None
    except ssl.SSLError as error:
        raise tls.failed(error, target) from error
    except OSError as error:
        remedy = (
            "check that Nacos runs there and that its gRPC port (HTTP port + 1000) is open to this machine"
        )
        raise ServerUnreachable(tls.system_text(error), target, remedy) from error
