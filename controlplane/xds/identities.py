"""Who a certificate says that its holder is: patterns over the URIs and the DNS names in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from controlplane.net.certificates import Certificate

from .identity import KINDS, Identity, Kind

DEFAULT_PATTERNS = (
    "spiffe://*/gateway/{gateway}",
    "spiffe://*/application/{application}",
    "spiffe://*/operator/{operator}",
)
_PLACE = re.compile(r"\{([a-z]*)\}|(\*)")
_URI_SEGMENT = "[A-Za-z0-9._~-]+"  # RFC 3986, 2.3
_LABEL = "[A-Za-z0-9_-]+"
_FIELDS = (*KINDS, "node", "address")
_MOST_KNOWN = 4_096  # certificates whose identities are remembered


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern: of URIs where it contains `://`, else of DNS names."""

    text: str
    of_uris: bool
    expression: re.Pattern[str]

    def identity(self, name: str) -> Identity | None:
        """Who the holder of this name is, if the pattern says."""
        found = self.expression.fullmatch(name)
        if found is None:
            return None
        said = found.groupdict(default="")
        kind: Kind = next(kind for kind in KINDS if kind in said)
        return Identity(kind, said[kind], said.get("node", ""), said.get("address", ""))


def pattern(text: str) -> Pattern:
    """Read a pattern. Raises ValueError."""
    of_uris = "://" in text
    segment = _URI_SEGMENT if of_uris else _LABEL
    written, at = "", 0
    fields: list[str] = []
    for place in _PLACE.finditer(text):
        written += re.escape(text[at : place.start()])
        at = place.end()
        field = place[1]
        if place[2]:
            written += segment
            continue
        if field not in _FIELDS or field in fields:
            known = ", ".join(f"{{{one}}}" for one in _FIELDS)
            raise ValueError(f"{text!r}: {place[0]} is not one of {known}, each once")
        fields.append(field)
        written += f"(?P<{field}>{segment})"
    rest = text[at:]
    if any(one in rest or one in "".join(_PLACE.split(text)[::3]) for one in "{}"):
        raise ValueError(f"{text!r} has a brace that belongs to no name: write {{application}}")
    if sum(kind in fields for kind in KINDS) != 1:
        raise ValueError(f"{text!r} names nobody: write {{gateway}}, {{application}} or {{operator}} once")
    flags = 0 if of_uris else re.IGNORECASE  # RFC 4343
    return Pattern(text, of_uris, re.compile(written + re.escape(rest), flags))


class Identities:
    """Reads certificates by patterns. Raises ValueError for a wrong pattern."""

    def __init__(self, patterns: Iterable[str] = DEFAULT_PATTERNS) -> None:
        self._patterns = tuple(pattern(text) for text in patterns)
        self.of = lru_cache(maxsize=_MOST_KNOWN)(self._of)

    def _of(self, certificate: Certificate) -> tuple[Identity, ...]:
        """All that the holder of a certificate is; nothing for one that no pattern knows."""
        found: dict[Identity, None] = {}
        for one in self._patterns:
            for name in certificate.uris if one.of_uris else certificate.names:
                identity = one.identity(name)
                if identity is not None:
                    found[identity] = None
        return tuple(found)
