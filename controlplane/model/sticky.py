"""By what a share of requests stays with the same users, and the cookie that an edge sets for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse
from controlplane.model.route_actions import HostName

LONGEST = 400 * 24 * 3600.0
"""Seconds. Browsers keep no cookie for longer (RFC 6265bis, 5.5)."""


def _age(value: str) -> str:
    fields.check_duration(value)
    age = fields.seconds(value)
    if age > LONGEST:
        refuse("is longer than browsers keep a cookie", "give at most 9600h, which is 400 days")
    if not age.is_integer():
        refuse("is not a whole number of seconds", "give 8760h; 0s means until the browser is closed")
    return value


def _cookie_path(value: str) -> str:
    if ";" in value or not value.isascii():
        refuse("holds ';' or a letter that no cookie's path has", "percent-encode it")
    return value


class CookieAttributes(Document):
    """As Set-Cookie has them. `max_age` of `0s`: until the browser is closed."""

    path: Annotated[fields.Path, AfterValidator(_cookie_path)] = "/"
    domain: HostName | None = None
    max_age: Annotated[str, AfterValidator(_age), Field(json_schema_extra={"pattern": fields.DURATION})] = (
        "8760h"
    )
    secure: bool = False
    http_only: bool = True
    same_site: Literal["strict", "lax", "none"] = "lax"

    @model_validator(mode="after")
    def _safe(self) -> CookieAttributes:
        if self.same_site == "none" and not self.secure:
            refuse("needs secure: true, or browsers drop the cookie", "add secure: true", "same_site")
        return self

    @property
    def text(self) -> str:
        """What follows name and value in Set-Cookie."""
        age = int(fields.seconds(self.max_age))
        parts = [
            f"Path={self.path}",
            f"Domain={self.domain.lower()}" if self.domain else "",
            f"Max-Age={age}" if age else "",
            "Secure" if self.secure else "",
            "HttpOnly" if self.http_only else "",
            f"SameSite={self.same_site.capitalize()}",
        ]
        return "; ".join(part for part in parts if part)


USUAL = CookieAttributes()


class Sticky(Document):
    """Exactly one of `header`, `cookie` and `client_address` is set; `attributes` belong to `cookie`."""

    header: fields.Header | None = None
    cookie: fields.Token | None = None
    client_address: Literal[True] | None = None
    attributes: CookieAttributes | None = None

    @model_validator(mode="after")
    def _one(self) -> Sticky:
        if sum(value is not None for value in (self.header, self.cookie, self.client_address)) != 1:
            refuse(
                "must have one of header, cookie and client_address",
                "give exactly one of {cookie: NAME}, {header: NAME} and {client_address: true}",
            )
        if self.attributes is not None and self.cookie is None:
            refuse("belong to a cookie, and there is none", "leave them out, or give cookie", "attributes")
        self._check_prefix(self.cookie or "", self.attributes or USUAL)
        return self

    def _check_prefix(self, name: str, given: CookieAttributes) -> None:
        """Browsers drop cookies whose names promise what their attributes do not keep."""
        if name.startswith(("__Secure-", "__Host-")) and not given.secure:
            refuse("needs secure: true, or browsers drop it", "add attributes: {secure: true}", "cookie")
        if name.startswith("__Host-") and (given.domain or given.path != "/"):
            refuse("must have no domain and the path /", "leave domain and path out", "cookie")

    @property
    def set_cookie(self) -> str:
        """What follows name and value in the Set-Cookie of an edge."""
        return (self.attributes or USUAL).text
