"""`make licences`: the licences of the packages of requirements/demo.txt and of those of which the console is
built, and whether they are allowed.

What is allowed stands in pyproject.toml, [tool.laneway.licences]. requirements/laneway.txt is a part of it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tools import npm
from tools.locks import ROOT, locked

LOCK = ROOT / "requirements" / "demo.txt"
_FREE = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit license": "MIT",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
}
"""What packages write that are older than SPDX expressions in metadata, in small letters."""


def settings() -> tuple[frozenset[str], dict[str, str]]:
    """The licences that are allowed, and those of single packages."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["laneway"]["licences"]
    return frozenset(found["allowed"]), found["known"]


def licence_of(package: Distribution, known: dict[str, str]) -> str | None:
    """The SPDX expression; None if the metadata has none that can be read."""
    about = package.metadata
    classifiers = [one.rpartition("::")[2].strip() for one in about.get_all("Classifier") or ()]
    texts = [known.get(_normal(about["Name"])), about.get("License-Expression"), about.get("License")]
    for text in (*texts, *classifiers):
        if not text:
            continue
        try:
            return canonicalize_license_expression(_FREE.get(text.lower(), text))
        except InvalidLicenseExpression:
            continue
    return None


def allows(expression: str, allowed: frozenset[str]) -> bool:
    """Whether the licence may be used: all parts joined by AND, one of those joined by OR. Brackets are not
    read: what has them is not allowed.
    """
    return any(
        all(part.strip() in allowed for part in re.split(r"\bAND\b", choice))
        for choice in re.split(r"\bOR\b", expression)
    )


def installed() -> dict[str, Distribution]:
    """The packages of the lock, but for those that are of other platforms."""
    found: dict[str, Distribution] = {}
    for name, pin in locked(LOCK).items():
        if pin.here:
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                raise SystemExit(f"{name} is not installed: run `make setup`") from None
    return found


def refused() -> list[str]:
    """Packages whose licence is not allowed, or not known, with what is known of it."""
    allowed, known = settings()
    found = {name: licence_of(package, known) for name, package in installed().items()}
    found |= {name: package.licence for name, package in npm.bundled().items()}
    return [
        f"{name}: {text or 'its metadata names no licence'}"
        for name, text in found.items()
        if text is None or not allows(text, allowed)
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    _, known = settings()
    for name, package in installed().items():
        print(f"{name:45} {package.version:15} {licence_of(package, known) or 'unknown'}")
    for name, one in npm.bundled().items():
        print(f"{name:45} {one.version:15} {one.licence}")
    if wrong := refused():
        print(
            "\nnot allowed by [tool.laneway.licences] of pyproject.toml:", *wrong, sep="\n  ", file=sys.stderr
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
