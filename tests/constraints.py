"""`make constraints`: what `make setup` installs, indirect dependencies included, at the versions found here.

Found by following what packages require, not by listing what is installed: a virtual environment that is
older than the last change still has what is no longer needed.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FILE = ROOT / "constraints.txt"


def asked_for() -> list[str]:
    """The requirements that `make setup` names: of Laneway, its Envoy, its tests and the demo."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[str] = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    found += project["project"]["optional-dependencies"]["envoy"]
    demo = (ROOT / "demo-apps" / "requirements.txt").read_text().splitlines()
    return found + [line for line in demo if line.strip() and not line.startswith("#")]


def installed(requirements: list[str]) -> dict[str, Distribution]:
    """Everything that `requirements` lead to, by normal name. Raises PackageNotFoundError."""
    found: dict[str, Distribution] = {}
    extras: dict[str, set[str]] = {}
    waiting = [(Requirement(one), "") for one in requirements]
    while waiting:
        one, extra = waiting.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        known = extras.setdefault(name, set())
        new = ({""} if name not in found else set()) | (one.extras - known)
        found.setdefault(name, distribution(name))
        known |= one.extras
        waiting += [(Requirement(text), of) for of in new for text in found[name].requires or ()]
    return found


def pins() -> list[str]:
    """The lines of constraints.txt."""
    made = [f"{one.metadata['Name']}=={one.version}" for one in installed(asked_for()).values()]
    return sorted(made, key=str.casefold)


def main() -> None:
    head = [line for line in FILE.read_text().splitlines() if line.startswith("#")]
    FILE.write_text("\n".join([*head, *pins()]) + "\n")


if __name__ == "__main__":
    main()
