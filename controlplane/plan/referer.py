"""Which `Referer` Envoy keeps: it removes one that is no URL to it, or has a user or a fragment.

Found with Envoy 1.40, character by character (tests/mesh/test_edge_headers.py): an underscore in the host is
enough, and so are an empty port and a path that is not ASCII.
"""

from __future__ import annotations

import ipaddress
import re

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<user>[^/?#@]*)@)?"
    r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]+))?"
    r"(?:[/?][^#]*#*(?P<fragment>.*))?"
)
_GRAPHIC = re.compile(r"[\x21-\x7e]*")
_RELATIVE = re.compile(r"[A-Za-z0-9!$%&'()*+,\-./:;=?@_~]*")


def is_kept(referer: str) -> bool:
    """Whether Envoy sends `referer` on, and lets rules read it."""
    url = _URL.fullmatch(referer)
    if url is not None and _GRAPHIC.fullmatch(referer) and _reads_authority(url):
        return not url["user"] and not url["fragment"]
    before_slash = referer.partition("/")[0]
    return _RELATIVE.fullmatch(referer) is not None and ":" not in before_slash


def _reads_authority(url: re.Match[str]) -> bool:
    if url["port"] is not None and int(url["port"]) > 65535:
        return False
    if not url["host"].startswith("["):
        return True
    try:
        ipaddress.ip_address(url["host"][1:-1])
    except ValueError:
        return False
    return True
