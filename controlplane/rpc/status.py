"""How a gRPC call ends: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from .transport import CallEnd

Fields = Sequence[tuple[str, str]]

#: What a message may be encoded with.
ENCODINGS = ("identity", "deflate", "gzip")
#: The headers of a response.
RESPONSE: Fields = (
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", ",".join(ENCODINGS)),
)
_LONGEST_TEXT = 1_000  # bytes, thrice that when encoded: clients take 8 KiB of trailers
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def trailers(end: CallEnd) -> Fields:
    """The fields that tell a status."""
    fields = [("grpc-status", str(end.code.value[0]))]
    if end.text:
        fields.append(("grpc-message", quote(shortened(end.text), safe=_PLAIN)))
    return fields


def shortened(text: str) -> str:
    """A status text that leaves room for the other trailers."""
    return text.encode(errors="replace")[:_LONGEST_TEXT].decode(errors="ignore")


def refusal(method: str, content_type: str) -> Fields | None:
    """The response to a request that is not a gRPC call; None for a gRPC call."""
    if method != "POST":
        return ((":status", "405"), ("allow", "POST"))
    kind = content_type.removeprefix("application/grpc")
    if kind == content_type or kind[:1] not in ("", "+", ";"):
        return ((":status", "415"),)
    return None
