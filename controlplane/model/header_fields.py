"""Headers that users set, add and remove, and the names that they must leave alone."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from controlplane.model.fields import STEERING, TOKEN, printable, refuse

HEADERS = 64
"""Headers that one list of changes may name."""
VALUE = 4096
FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
TRACES = frozenset(
    {"b3", "sw8", "traceparent", "tracestate", "uber-trace-id", "x-request-id"}
    | {f"x-b3-{part}" for part in ("traceid", "spanid", "parentspanid", "sampled", "flags")}
)
"""They tell the requests of one trace apart from others, and a sidecar may give a lane by them."""


def _token(value: str) -> str:
    """The name as servers may read it, in lower case. Refuses names that a header cannot have."""
    if value.startswith(":"):
        refuse("is a pseudo-header", "use rewrite for the path and the host; a route cannot change others")
    if re.fullmatch(TOKEN[1:-1], value) is None:
        refuse("is not a header name", "use letters, digits and '-'")
    name = value.lower().replace("_", "-")  # servers that follow CGI read both as one
    if name.startswith(STEERING):
        refuse("controls the proxies, which set and remove it themselves", "use a header of your own")
    if name in FRAMING:
        refuse("frames the message, and only the proxies may set that", "leave it out")
    return name


def request_name(value: str) -> str:
    """Refuse a request header that is not the user's to change."""
    name = _token(value)
    if name == "host":
        refuse("is the request's host", "use rewrite.host")
    if name in ("x-lane", "baggage", "tracestate"):
        refuse("carries the lane, which the edges set themselves", "use a header of your own")
    if name in TRACES:
        refuse(
            "identifies the trace, and a lane may depend on it", "leave it out, or use a header of your own"
        )
    return value


def response_name(value: str) -> str:
    """Refuse a response header that is not the user's to change."""
    if _token(value) in ("date", "server"):
        refuse("is set by the edge on every answer", "leave it out")
    return value


def _value(value: str) -> str:
    printable(value)
    if not value.strip():
        refuse("is empty", "give a value, or use remove")
    return value


RequestName = Annotated[str, AfterValidator(request_name), Field(json_schema_extra={"pattern": TOKEN})]
ResponseName = Annotated[str, AfterValidator(response_name), Field(json_schema_extra={"pattern": TOKEN})]
Value = Annotated[str, Field(min_length=1, max_length=VALUE), AfterValidator(_value)]
