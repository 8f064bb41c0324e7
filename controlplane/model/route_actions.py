"""What a route does with a request besides choosing a service: rewrites, headers, CORS, retries, answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import re2
from pydantic import AfterValidator, Field, field_validator, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse
from controlplane.model.header_fields import HEADERS, RequestName, ResponseName, Value

BODY = 4096
"""Bytes of a direct response's body: Envoy's default bound (max_direct_response_body_size_bytes)."""
METHOD = r"^[A-Z][A-Z-]{0,31}$"
ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://(\*\.)?({fields.LABELS}|\[[0-9a-fA-F:]+\])(:[0-9]{{1,5}})?")


def _method(value: str) -> str:
    if re.fullmatch(METHOD[1:-1], value) is None:
        refuse("is not a method", "write it in capitals: GET")
    return value


Method = Annotated[str, AfterValidator(_method), Field(json_schema_extra={"pattern": METHOD})]
Methods = Annotated[tuple[Method, ...], Field(min_length=1, max_length=32)]


def plain_host(value: str) -> str:
    """Refuse anything but one host name, with or without a port."""
    name, colon, port = value.partition(":")
    if len(value) > 253 or re.fullmatch(fields.LABELS, name) is None or (colon and not port.isdigit()):
        refuse("is not a host", "write users.internal or users.internal:8080, without scheme and path")
    return value


def without_port(value: str) -> str:
    """Refuse anything but one host name without a port."""
    if re.fullmatch(fields.LABELS, value) is None:
        refuse("is not a host", "write shop.example.com, without scheme, port and path")
    return value


PlainHost = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(plain_host)]
HostName = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(without_port)]


class Rewrite(Document):
    """`prefix` replaces the prefix that matched; `regex` and `substitution` each part that it matches."""

    prefix: fields.Path | None = None
    regex: fields.Regex | None = None
    substitution: Annotated[str, Field(max_length=1024)] | None = None
    host: PlainHost | None = None

    @model_validator(mode="after")
    def _fits(self) -> Rewrite:
        if self.prefix is None and self.regex is None and self.host is None:
            refuse("changes nothing", "give prefix, regex and substitution, or host")
        if self.prefix is not None and self.regex is not None:
            refuse("cannot be combined with prefix", "give one of prefix and regex", "regex")
        if (self.regex is None) != (self.substitution is None):
            missing = "regex" if self.regex is None else "substitution"
            refuse("is missing", "give regex and substitution together", missing)
        if self.regex is not None and self.substitution is not None:
            _check_substitution(self.regex, self.substitution)
        return self


def _check_substitution(pattern: str, text: str) -> None:
    compiled = re2.compile(pattern)
    if compiled.search("") is not None:
        remedy = "write what stands in the path: /v[0-9]+"
        refuse("matches the empty text, which cannot be replaced", remedy, "regex")
    fields.printable(text)
    if any(char in text for char in "?# ") or not text.isascii():
        remedy = "leave the query out; percent-encode the rest"
        refuse("holds '?', '#', a space or a letter that no path has", remedy, "substitution")
    for found in re.finditer(r"\\(.?)", text):
        if not (found[1].isascii() and found[1].isdigit()) and found[1] != "\\":
            refuse(
                r"has a \ that is not followed by a digit", r"write \1 for the first group", "substitution"
            )
        if found[1].isdigit() and int(found[1]) > compiled.groups:
            message = f"names group {found[1]}, and the regex has {compiled.groups}"
            refuse(message, "count the parentheses of the regex", "substitution")
    if pattern.lstrip("^").startswith("/") and not text.startswith(("/", "\\")):
        refuse("leaves a path that does not start with '/'", "begin it with '/'", "substitution")


def _distinct(one: Iterable[str], *others: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in [*one, *(name for other in others for name in other)]:
        if name.lower() in seen:
            refuse(f"names {name} twice", "set, add or remove a header, one of them and once")
        seen.add(name.lower())


class RequestHeaders(Document):
    set: Annotated[dict[RequestName, Value], Field(max_length=HEADERS)] = {}
    add: Annotated[dict[RequestName, Value], Field(max_length=HEADERS)] = {}
    remove: Annotated[tuple[RequestName, ...], Field(max_length=HEADERS)] = ()

    @model_validator(mode="after")
    def _once(self) -> RequestHeaders:
        _distinct(self.set, self.add, self.remove)
        return self


class ResponseHeaders(Document):
    set: Annotated[dict[ResponseName, Value], Field(max_length=HEADERS)] = {}
    add: Annotated[dict[ResponseName, Value], Field(max_length=HEADERS)] = {}
    remove: Annotated[tuple[ResponseName, ...], Field(max_length=HEADERS)] = ()

    @model_validator(mode="after")
    def _once(self) -> ResponseHeaders:
        _distinct(self.set, self.add, self.remove)
        return self


class RouteHeaders(Document):
    request: RequestHeaders | None = None
    response: ResponseHeaders | None = None


def _origin(value: str) -> str:
    if value != "*" and ORIGIN.fullmatch(value) is None:
        refuse("is not an origin", "write https://shop.example.com, https://*.example.com or *")
    return value


Origin = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_origin)]


Tokens = Annotated[tuple[fields.Token, ...], Field(min_length=1, max_length=HEADERS)]


class Cors(Document):
    """`max_age`: how long a browser may keep the answer to its preflight."""

    allow_origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=100)]
    allow_methods: Methods | None = None
    allow_headers: Tokens | None = None
    expose_headers: Tokens | None = None
    max_age: fields.Duration | None = None
    allow_credentials: bool = False

    @model_validator(mode="after")
    def _safe(self) -> Cors:
        if self.allow_credentials and "*" in self.allow_origins:
            remedy = "name the origins, or leave allow_credentials out"
            refuse("would let every site act with the user's cookies", remedy, "allow_credentials")
        return self


Status = Annotated[int, Field(ge=400, le=599)]


class Retries(Document):
    """When an answer is not taken, and the request is tried again. `tries` counts the first one, too."""

    conditions: (
        Annotated[
            tuple[
                Literal[
                    "5xx", "gateway-error", "retriable-4xx", "reset", "connect-failure", "refused-stream"
                ],
                ...,
            ],
            Field(min_length=1, max_length=6),
        ]
        | None
    ) = None
    statuses: Annotated[tuple[Status, ...], Field(min_length=1, max_length=32)] | None = None
    tries: Annotated[int, Field(ge=2, le=10)] = 2
    per_try_timeout: fields.Interval | None = None

    @model_validator(mode="after")
    def _fits(self) -> Retries:
        if self.conditions is None and self.statuses is None and self.per_try_timeout is None:
            refuse(
                "has no condition under which a request is tried again",
                "give conditions, statuses or per_try_timeout",
            )
        return self


class Redirect(Document):
    """What is absent stays as the request has it. `path` replaces the whole path, `prefix` what matched."""

    scheme: Literal["http", "https"] | None = None
    host: HostName | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    path: fields.Path | None = None
    prefix: fields.Path | None = None
    strip_query: bool = False
    status: Literal[301, 302, 303, 307, 308] = 302

    @model_validator(mode="after")
    def _fits(self) -> Redirect:
        if all(one is None for one in (self.scheme, self.host, self.port, self.path, self.prefix)):
            refuse(
                "changes nothing, so it would redirect to the same URL",
                "give scheme, host, port, path or prefix",
            )
        if self.path is not None and self.prefix is not None:
            refuse("cannot be combined with path", "give one of path and prefix", "prefix")
        return self


class Respond(Document):
    status: Annotated[int, Field(ge=200, le=599)]
    body: str = ""
    content_type: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(fields.printable)] = (
        "text/plain; charset=utf-8"
    )

    @field_validator("body")
    @classmethod
    def _short(cls, body: str) -> str:
        if len(body.encode(errors="replace")) > BODY:
            refuse(f"is longer than {BODY} bytes", "shorten it, or let a service answer")
        return body

    @model_validator(mode="after")
    def _fits(self) -> Respond:
        if self.body and self.status in (204, 205, 304):
            refuse(f"cannot be combined with status {self.status}, which has no body", "leave it out", "body")
        return self
