"""The transports, by the names that the setting `xds_transport` has for them."""

from __future__ import annotations

from functools import partial
from typing import Literal

from controlplane.net.tls import Tls

from .listener import Listener
from .transport import Limits, MakeTransport

TransportName = Literal["laneway", "grpcio"]


def transport(
    name: TransportName = "laneway", limits: Limits | None = None, tls: Tls | None = None
) -> MakeTransport:
    """The factory of the transport of that name, within these limits (None: the defaults). tls: None for
    plain text.
    """
    limits = limits or Limits()
    if name == "laneway":
        return partial(Listener, limits=limits, tls=tls)
    from .grpcio import GrpcioServer  # only here: the library starts a thread

    return partial(GrpcioServer, limits=limits, tls=tls)
