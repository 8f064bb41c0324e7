"""What an attacker and the harmless clients beside it write: frames, header blocks, gRPC and xDS messages.

Written by hand and without the product's code, so that the same bytes go to any transport.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Iterable

TLS = "LANEWAY_ATTACKS_TLS"
"""Variable: the directory of the certificates, where the attacks go over mTLS."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
LARGEST_FRAME = 16_384
WIDE = (1 << 31) - 1

_PREFIX = "type.googleapis.com/envoy.config."
CLUSTER = _PREFIX + "cluster.v3.Cluster"
ENDPOINT = _PREFIX + "endpoint.v3.ClusterLoadAssignment"
LISTENER = _PREFIX + "listener.v3.Listener"
VIRTUAL_HOST = _PREFIX + "route.v3.VirtualHost"
_ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
DELTA = _ADS + "DeltaAggregatedResources"
SOTW = _ADS + "StreamAggregatedResources"
CSDS = "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus"

# Frames.


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def settings(values: Iterable[tuple[int, int]] = ()) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *one) for one in values))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))


def hello(initial_window: int = WIDE, window: int = 1 << 30) -> bytes:
    """The preface of a client that can be sent much."""
    more = window_update(0, window) if window else b""
    return PREFACE + settings([(4, initial_window)]) + more


def literal(name: str, value: str) -> bytes:
    """A header field that goes into no table."""
    out = bytearray(b"\0")
    for text in (name.encode(), value.encode()):
        length = len(text)
        if length < 127:
            out.append(length)
        else:
            out.append(127)
            length -= 127
            while length > 127:
                out.append(length & 127 | 128)
                length >>= 7
            out.append(length)
        out += text
    return bytes(out)


def head(path: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "here")]
    fields += [("content-type", "application/grpc"), ("te", "trailers"), *more]
    return b"".join(literal(*field) for field in fields)


def call(stream: int, path: str = DELTA, more: Iterable[tuple[str, str]] = ()) -> bytes:
    """HEADERS that open a call."""
    return frame(HEADERS, END_HEADERS, stream, head(path, more))


def message(stream: int, content: bytes, flag: int = 0, end: bool = False) -> bytes:
    """A gRPC message in as many DATA frames as it takes."""
    raw = bytes([flag]) + len(content).to_bytes(4, "big") + content
    pieces = [raw[at : at + LARGEST_FRAME] for at in range(0, len(raw), LARGEST_FRAME)]
    last = len(pieces) - 1
    return b"".join(
        frame(DATA, END_STREAM if end and at == last else 0, stream, one) for at, one in enumerate(pieces)
    )


# Protobuf.


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def struct_of(value: dict[str, object]) -> bytes:
    """A google.protobuf.Struct."""
    return b"".join(field(1, field(1, key) + field(2, value_of(one))) for key, one in value.items())


def value_of(value: object) -> bytes:
    if isinstance(value, str):
        return field(3, value)
    if isinstance(value, int | float):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, dict):
        return field(5, struct_of(value))
    if isinstance(value, list):
        return field(6, b"".join(field(1, value_of(one)) for one in value))
    return b"\x08\x00"


def node(id_: str, cluster: str = "app", metadata: dict[str, object] | None = None) -> bytes:
    """A Node: by default a sidecar without services of its own."""
    given = {"role": "sidecar", "address": "10.3.0.1"} if metadata is None else metadata
    return field(1, id_) + field(2, cluster) + field(3, struct_of(given))


def delta(
    type_url: str = ENDPOINT,
    subscribe: Iterable[str] = (),
    unsubscribe: Iterable[str] = (),
    *,
    of: bytes = b"",
    nonce: str = "",
    error: str | None = None,
    initial: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A DeltaDiscoveryRequest."""
    out = [field(1, of) if of else b"", field(2, type_url)]
    out += [field(3, name) for name in subscribe]
    out += [field(4, name) for name in unsubscribe]
    out += [field(5, field(1, name) + field(2, version)) for name, version in initial]
    if nonce:
        out.append(field(6, nonce))
    if error is not None:
        out.append(field(7, b"\x08\x0d" + field(2, error)))
    return b"".join(out)


def sotw(
    type_url: str = ENDPOINT,
    names: Iterable[str] = (),
    *,
    of: bytes = b"",
    nonce: str = "",
    error: str | None = None,
) -> bytes:
    """A DiscoveryRequest."""
    out = [field(2, of) if of else b"", *(field(3, name) for name in names), field(4, type_url)]
    if nonce:
        out.append(field(5, nonce))
    if error is not None:
        out.append(field(6, b"\x08\x0d" + field(2, error)))
    return b"".join(out)


def connect(port: int, source: str = "", receives: int = 0) -> socket.socket:
    """A connected socket. source: the address it comes from. receives: bytes of its receive buffer."""
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receives:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    if source:
        made.bind((source, 0))
    made.settimeout(5)
    made.connect(("127.0.0.1", port))
    context = secured()
    return made if context is None else context.wrap_socket(made, server_hostname="localhost")


def secured() -> ssl.SSLContext | None:
    """What clients show where the server speaks mTLS: a certificate of the application `app`."""
    directory = os.environ.get(TLS)
    if not directory:
        return None
    context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
    context.load_cert_chain(f"{directory}/application-app.pem", f"{directory}/application-app-key.pem")
    context.set_alpn_protocols(["h2"])
    return context
