"""Types of single fields: their grammar and bounds. Each refuses bad values with a message and a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn, cast

import re2
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from controlplane.ip import ip_address
from controlplane.model.plain import is_object

NAME = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
TAG = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"
MEMBER = r"^[!#$&'*.^_`|~0-9A-Za-z-]{1,128}$"
DURATION = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?(ms|s|m|h)$"
# Underscores are in no DNS name of a host, but in names of services and containers, and clients send them.
LABELS = (
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
HOST = rf"^((\*\.)?{LABELS}|\[[0-9A-Fa-f:.]+\])$"
REGEX_LIMIT = 1024
# By default Envoy rejects a whole route configuration if the program of one regex is larger than this.
PROGRAM_LIMIT = 100
REGEX_MEMORY = 8 << 20
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_DURATION = 7 * 24 * 3600.0
STEERING = ("x-envoy-", "x-laneway-")
HOP_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-request-id",
        "traceparent",
        "tracestate",
        "authorization",
        "content-type",
        "baggage",
    }
)


def refuse(message: str, remedy: str, *field: str | int) -> NoReturn:
    """Refuse the value, or its part at the path `field`. Raises the error that pydantic collects."""
    raise PydanticCustomError("laneway", "{text}", {"text": message, "remedy": remedy, "field": field})


def _matching(pattern: str, what: str, remedy: str) -> Any:
    compiled = re.compile(pattern.removeprefix("^").removesuffix("$"))

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            refuse(f"is not {what}", remedy)
        return value

    return check


def printable(value: str) -> str:
    """Refuse characters that a header line or a name cannot have."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        refuse("holds control characters", "leave out line breaks, tabs and NUL")
    return value


def _line(value: str) -> str:
    if any(char in value for char in "\r\n\0"):
        refuse("holds a line break or NUL, which no request can carry", "leave them out")
    return value


Name = Annotated[
    str,
    AfterValidator(
        _matching(
            NAME,
            "a name: 1-63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends",
            "use a name such as order-flow",
        )
    ),
    Field(json_schema_extra={"pattern": NAME}),
]
CALLER = r"^(gateway/)?[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
Caller = Annotated[
    str,
    AfterValidator(
        _matching(
            CALLER,
            "the name of an application, or of a gateway behind gateway/",
            "write order-flow, or gateway/edge",
        )
    ),
    Field(json_schema_extra={"pattern": CALLER}),
]
Tag = Annotated[
    str,
    AfterValidator(
        _matching(
            TAG,
            "a tag: 1-63 letters, digits, '.', '_' or '-', a letter or digit at both ends",
            "use the tag that the instances carry, such as gray",
        )
    ),
    Field(json_schema_extra={"pattern": TAG}),
]
Token = Annotated[
    str,
    AfterValidator(_matching(TOKEN, "a header or cookie name", "use letters, digits and '-'")),
    Field(json_schema_extra={"pattern": TOKEN}),
]
Member = Annotated[
    str,
    AfterValidator(
        _matching(
            MEMBER,
            "the name of a member of baggage, as agents decode it",
            "use letters, digits and '-', without '%' and '+'",
        )
    ),
    Field(json_schema_extra={"pattern": MEMBER}),
]
ServiceName = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(printable)]
Text = Annotated[str, Field(max_length=4096), AfterValidator(_line)]


def seconds(duration: str) -> float:
    """Seconds of a checked duration such as `500ms`. Raises ValueError for anything else."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration")
    return float(match[1]) * UNITS[match[2]]


def check_duration(value: str) -> None:
    """Refuse what is no duration, of whatever length."""
    if re.fullmatch(DURATION[1:-1], value) is None:
        refuse("is not a duration", "write a number and a unit: 500ms, 5s, 1m or 1h; 0s means none")


def _duration(value: str) -> str:
    check_duration(value)
    if seconds(value) > LONGEST_DURATION:
        refuse("is longer than a week", "give at most 168h")
    return value


def _positive(value: str) -> str:
    if seconds(value) < 0.1:
        refuse("is too short", "give at least 100ms")
    return value


Duration = Annotated[str, AfterValidator(_duration), Field(json_schema_extra={"pattern": DURATION})]
Interval = Annotated[
    str,
    AfterValidator(_duration),
    AfterValidator(_positive),
    Field(json_schema_extra={"pattern": DURATION}),
]


def _host(value: str) -> str:
    example = "write shop.example.com, *.example.com or [2001:db8::7]"
    if value == "*":
        refuse("means every host, as no hosts do", "leave hosts out")
    if "://" in value or "/" in value:
        refuse("has a scheme or a path", "write the host alone; the path belongs into match.path")
    if value.startswith("[") or value.count(":") > 1:
        return _literal(value)
    if ":" in value:
        refuse("has a port, but a host matches on every port", f"write {value.partition(':')[0]}")
    if "*" in value.removeprefix("*."):
        refuse("has an asterisk that is not the first label", "write *.example.com for all names below it")
    if not value.isascii():
        refuse("has characters that no client sends", _punycode(value))
    if len(value) > 253 or re.fullmatch(HOST[1:-1], value) is None:
        refuse("is not a host", example)
    return value


def _literal(value: str) -> str:
    """Refuse what is not an address of version 6 in brackets, as clients send it."""
    inner, bracket, port = value.removeprefix("[").partition("]")
    try:
        address = f"[{ip_address(f'[{inner}]')}]"
    except ValueError:
        refuse("is not an address of version 6", "write [2001:db8::7]")
    if port:
        refuse("has a port, but a host matches on every port", f"write {address}")
    if not bracket or not value.startswith("["):
        refuse("is an address of version 6 without brackets, which clients send", f"write {address}")
    if "%" in value:
        refuse("has a zone, which no client sends", "leave out what follows '%'")
    return value


def _punycode(value: str) -> str:
    try:
        return f"write it in punycode: {value.encode('idna').decode()}"
    except UnicodeError:
        return "write it in punycode: xn--..."


Host = Annotated[str, AfterValidator(_host), Field(json_schema_extra={"pattern": HOST})]


def _path(value: str) -> str:
    printable(value)
    if not value.startswith("/"):
        refuse("does not start with '/'", f"write /{value[:100]}")
    if any(char in value for char in "?# "):
        refuse("holds '?', '#' or a space, which no path has", "leave the query out; percent-encode the rest")
    return value


Path = Annotated[
    str,
    AfterValidator(_path),
    Field(max_length=1024, json_schema_extra={"pattern": r"^/[^?#\s\x00-\x1f\x7f]*$"}),
]


def regex(value: str, *field: str) -> str:
    """Refuse what RE2 does not compile, or compiles to more than Envoy takes."""
    _line(value)
    if not value:
        refuse("is an empty regular expression", "write what the whole value has to match", *field)
    if len(value) > REGEX_LIMIT:
        refuse(
            f"is longer than {REGEX_LIMIT} characters", "shorten it, or use `in` for a list of values", *field
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = REGEX_MEMORY
    try:
        compiled = re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        refuse(
            f"is not a regular expression of RE2: {reason}",
            "RE2 has no look-around and no back references; see the RE2 syntax page",
            *field,
        )
    if compiled.programsize > PROGRAM_LIMIT:
        refuse(
            f"compiles to {compiled.programsize} instructions, Envoy takes {PROGRAM_LIMIT}",
            "use smaller repetitions ({1,9}), or `in` for a list of values",
            *field,
        )
    return value


Regex = Annotated[str, AfterValidator(regex), Field(max_length=REGEX_LIMIT)]


def hundredths(value: float) -> int:
    """Slots (of 10000) of a checked percentage."""
    return round(value * 100)


def _two_decimals(value: float) -> float:
    if abs(value * 100 - round(value * 100)) > 1e-7:
        refuse("has more than two decimals", f"write {round(value, 2):g}")
    return round(value, 2)


def plain_number(value: float) -> float | int:
    """30 rather than 30.0, so that users read what they wrote."""
    return int(value) if float(value).is_integer() else value


Percent = Annotated[
    float,
    Field(ge=0, le=100, allow_inf_nan=False, json_schema_extra={"multipleOf": 0.01}),
    AfterValidator(_two_decimals),
    PlainSerializer(plain_number),
]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


def header_name(value: str, *field: str | int) -> str:
    """Refuse header names that no rule may read: pseudo-headers and headers that control proxies."""
    if value.startswith(":"):
        refuse("is a pseudo-header", "use source: method, path or host", *field)
    if re.fullmatch(TOKEN[1:-1], value) is None:
        refuse("is not a header name", "use letters, digits and '-'", *field)
    if value.lower().startswith(STEERING):
        refuse("controls the proxies, and edges remove it from requests", "use a header of your own", *field)
    return value


Header = Annotated[
    str,
    AfterValidator(header_name),
    Field(
        json_schema_extra={
            "pattern": TOKEN,
            "not": {"pattern": "^([xX]-[eE][nN][vV][oO][yY]-|[xX]-[lL][aA][nN][eE][wW][aA][yY]-)"},
        }
    ),
]


def _carrier(value: str) -> str:
    header_name(value)
    if value.lower() in HOP_HEADERS:
        refuse("has a meaning of its own and cannot carry a lane", "use a header of your own, as x-lane")
    return value


Carrier = Annotated[str, AfterValidator(_carrier), Field(json_schema_extra={"pattern": TOKEN})]


def _condition_value(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        refuse("is neither text, number nor list of texts", 'quote it if it is meant as text: "true"')
    if isinstance(value, list | tuple):
        items = tuple(cast("Iterable[Any]", value))
        for index, item in enumerate(items):
            if not isinstance(item, str):
                refuse("must be a string", 'quote the items of the list: ["1", "2"]', index)
        return items
    return value


ConditionValue = Annotated[
    str | tuple[str, ...] | float,
    BeforeValidator(_condition_value),
    PlainSerializer(lambda value: plain_number(value) if isinstance(value, float) else value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": 4096},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {"type": "integer", "minimum": 0, "maximum": 100},
            ]
        }
    ),
]


def _fallback(value: Any) -> Any:
    remedy = "write base, none, or {application: none}"
    if is_object(value):
        for name, choice in value.items():
            if choice not in ("base", "none"):
                refuse("is not a fallback", remedy, name)
    elif value not in ("base", "none"):
        refuse("is not a fallback", remedy)
    return value


Fallback = BeforeValidator(_fallback)
