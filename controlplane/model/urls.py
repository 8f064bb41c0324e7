"""URLs that documents name, and the ones that an administrator allows. Pure.

The grammar is narrow on purpose: whatever reads such a URL, this module or the HTTP client, finds the same
host and path in it. There is no user, no fragment, no escape in the path, and no segment that leads upwards.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from controlplane.model.fields import refuse

_HOST = (
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*|\[[0-9A-Fa-f:.]+\])"
)
_URL = re.compile(
    rf"(?P<scheme>https?)://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*)(?:\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*))?"
)
PATTERN = r"^https?://[^\s/?#@\\]+(/[^\s#%\\]*)?$"
LONGEST = 1000
_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """Where a URL leads. path: begins with a slash."""

    scheme: str
    host: str
    port: int
    path: str


def place_of(url: str) -> Place:
    """Raises ValueError for what is no such URL."""
    found = _URL.fullmatch(url)
    if found is None or len(url) > LONGEST:
        raise ValueError("is not a URL that can be used here")
    port = int(found["port"] or _PORTS[found["scheme"]])
    path = found["path"] or "/"
    if not 0 < port <= 65535:
        raise ValueError("has a port that does not exist")
    if {".", ".."} & set(path.split("/")):
        raise ValueError("has . or .. in its path")
    return Place(found["scheme"], found["host"].lower(), port, path)


def within(url: str, allowed: str) -> bool:
    """Whether `url` has the scheme, host and port of `allowed`, and its path or one below it."""
    one, other = place_of(url), place_of(allowed)
    above = other.path.rstrip("/")
    return one[:3] == other[:3] and (one.path == above or one.path.startswith(f"{above}/"))


def _url(value: str) -> str:
    remedy = "write http:// or https://, host, port and path, such as https://tests.example.com/smoke"
    try:
        place_of(value)
    except ValueError as error:
        refuse(str(error), remedy)
    return value


Url = Annotated[str, AfterValidator(_url), Field(max_length=LONGEST, json_schema_extra={"pattern": PATTERN})]
