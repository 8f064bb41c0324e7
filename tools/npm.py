"""The npm packages of which the console's built files are made.

Which these are stands in controlplane/admin/static/licenses.txt, which the build writes; the rest of what
console/package-lock.json names is only needed to build. Neither asks for Node.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from packaging.licenses import canonicalize_license_expression

from tools.locks import ROOT

LOCK = ROOT / "console" / "package-lock.json"
BUNDLED = ROOT / "controlplane" / "admin" / "static" / "licenses.txt"
_HEADING = re.compile(r"^## (\S+) - (\S+) \((.+)\)$", re.MULTILINE)
_PREFIX = "node_modules/"


@dataclass(frozen=True)
class Package:
    """licence: an SPDX expression. sha512: of its archive, in hexadecimal. needs: names of others."""

    version: str
    licence: str
    sha512: str
    needs: frozenset[str]


def console() -> tuple[str, list[str]]:
    """The version of the console, and the names of what it needs itself."""
    own = _packages()[""]
    return own["version"], list(own["dependencies"])


def bundled() -> dict[str, Package]:
    """The packages in the built files, by name. Raises LookupError where the lock has other ones."""
    known = _packages()
    found = _HEADING.findall(BUNDLED.read_text())
    names = {name for name, _, _ in found}
    packages: dict[str, Package] = {}
    for name, version, licence in found:
        pin = known.get(_PREFIX + name, {})
        if pin.get("version") != version:
            raise LookupError(
                f"{name} {version} is built in, the lock has {pin.get('version')}: run `make console`"
            )
        algorithm, _, digest = pin["integrity"].partition("-")
        if algorithm != "sha512":
            raise LookupError(f"{name} has a {algorithm} in the lock, and no sha512")
        wanted = {**pin.get("dependencies", {}), **pin.get("peerDependencies", {})}
        packages[name] = Package(
            version,
            canonicalize_license_expression(licence),
            base64.b64decode(digest).hex(),
            frozenset(wanted.keys() & names),
        )
    return packages


def _packages() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(LOCK.read_text())["packages"]
    return found
