"""TCP's own question whether the peer is still there."""

from __future__ import annotations

import socket

KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
)
"""Socket options: a peer that vanished without a word, as a machine does that lost power, is found after
about 30 s.
"""
