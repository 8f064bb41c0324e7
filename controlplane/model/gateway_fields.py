"""What the ports of a gateway say besides their number: TLS, redirects to it, limits and the access log."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from controlplane.ip import ip_address
from controlplane.model.addresses import Addresses
from controlplane.model.document import Document
from controlplane.model.fields import LABELS, Name, Percent, printable, refuse

HEADER_LINES = 100
HEADER_KIB = 60


def _file(value: str) -> str:
    printable(value)
    if not value.startswith("/") or value.endswith("/"):
        refuse("is not the path of a file", "write an absolute path on the edge's machine: /etc/tls/tls.crt")
    return value


def _server_name(value: str) -> str:
    if value.endswith(".") or re.fullmatch(rf"(\*\.)?{LABELS}", value) is None:
        refuse("is not a name that a client can ask for by TLS", "write shop.example.com or *.example.com")
    return value.lower()


Port = Annotated[int, Field(ge=1, le=65535)]
File = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_file)]
ServerName = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_server_name)]


def _together(certificate: str, key: str) -> None:
    if posixpath.dirname(certificate) != posixpath.dirname(key):
        remedy = "put both into one directory, which the edge watches for new ones"
        refuse("is not in the certificate's directory", remedy, "key")


def _given(one: Certified) -> bool:
    """Whether there is a certificate: by paths on the edge's machine, or by the name of a secret that the
    control plane holds and sends to this gateway's edges alone.
    """
    if one.secret is not None and (one.certificate is not None or one.key is not None):
        message = "cannot be combined with certificate and key, which are files on the edge's machine"
        refuse(message, "give the one or the other", "secret")
    if (one.certificate is None) != (one.key is None):
        missing = "certificate" if one.certificate is None else "key"
        refuse("is missing", "give certificate and key together", missing)
    if one.certificate is not None and one.key is not None:
        _together(one.certificate, one.key)
    return one.certificate is not None or one.secret is not None


class ServerNames(Document):
    """A certificate for the clients that ask for one of `hosts` (SNI)."""

    hosts: Annotated[tuple[ServerName, ...], Field(min_length=1, max_length=256)]
    certificate: File | None = None
    key: File | None = None
    secret: Name | None = None

    @model_validator(mode="after")
    def _has_one(self) -> ServerNames:
        if not _given(self):
            refuse("is missing", "give certificate and key, or secret", "certificate")
        return self


class Tls(Document):
    """Without a certificate of its own only the names in `sni` are served."""

    certificate: File | None = None
    key: File | None = None
    secret: Name | None = None
    sni: Annotated[tuple[ServerNames, ...], Field(min_length=1, max_length=64)] | None = None

    @field_validator("sni")
    @classmethod
    def _distinct(cls, sni: tuple[ServerNames, ...] | None) -> tuple[ServerNames, ...] | None:
        seen: set[str] = set()
        for index, one in enumerate(sni or ()):
            for position, host in enumerate(one.hosts):
                if host in seen:
                    refuse("has a certificate already", "leave it out once", index, "hosts", position)
                seen.add(host)
        return sni

    @model_validator(mode="after")
    def _whole(self) -> Tls:
        if not _given(self) and self.sni is None:
            refuse("has no certificate", "give certificate and key, or secret, or sni")
        return self


Certified = ServerNames | Tls


class Http3(Document):
    """`port`: the UDP port that clients use, where another one leads to the listener's."""

    port: Port | None = None


class Listener(Document):
    port: Port
    address: Addresses = "0.0.0.0"
    tls: Tls | None = None
    redirect_to_https: Port | None = None
    proxy_protocol: Literal[True] | None = None
    http3: Http3 | None = None

    @model_validator(mode="after")
    def _fits(self) -> Listener:
        if self.tls is not None and self.redirect_to_https is not None:
            refuse("cannot be combined with tls", "redirect from a listener without tls", "redirect_to_https")
        if self.http3 is not None and self.tls is None:
            refuse("needs tls, because HTTP/3 is always encrypted", "add tls to the listener", "http3")
        if self.http3 is not None and self.proxy_protocol is not None:
            message = "cannot be combined with proxy_protocol, which UDP does not have"
            refuse(message, "give HTTP/3 a listener that clients reach directly", "http3")
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that it listens on."""
        return (self.address,) if isinstance(self.address, str) else self.address

    @property
    def secrets(self) -> tuple[tuple[str, str], ...]:
        """Where in the listener secrets are named, and which."""
        if self.tls is None:
            return ()
        places = {"tls.secret": self.tls.secret}
        places |= {f"tls.sni[{at}].secret": one.secret for at, one in enumerate(self.tls.sni or ())}
        return tuple((place, name) for place, name in places.items() if name is not None)


def _host(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        if re.fullmatch(LABELS, value) is None:
            refuse("is neither a host name nor an IP address", "write otel-collector.example.com")
        return value.lower()


class Collector(Document):
    """Where a collector of OpenTelemetry listens for OTLP over gRPC, in clear text."""

    host: Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 4317


class AccessLog(Document):
    """A line for `percent` of the requests, the same requests at every proxy that they pass."""

    path: File | None = None
    format: Literal["json", "text"] = "json"
    otlp: Collector | None = None
    percent: Percent = 100.0

    @model_validator(mode="after")
    def _somewhere(self) -> AccessLog:
        if self.path is None and self.otlp is None:
            refuse("is missing, and so is otlp", "write /dev/stdout, or the host of a collector", "path")
        return self


class Tracing(Document):
    """Spans of `percent` of the requests that bring no decision of their own (`traceparent`)."""

    collector: Collector
    percent: Percent = 1.0


class HeaderLimits(Document):
    """Lines and KiB of a request's headers; the edge answers 431 to more."""

    lines: Annotated[int, Field(ge=10, le=1000)] = HEADER_LINES
    kib: Annotated[int, Field(ge=1, le=1024)] = HEADER_KIB
