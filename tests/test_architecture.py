"""docs/architecture.md says what the packages import, and the code does."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import package_picture  # noqa: E402

TEXT = package_picture.DOCUMENT.read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("` "): set(re.findall(r"`(\w+)`", cells[2]))
    for line in TEXT.splitlines()
    if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 4
}
IMPORTS = package_picture.imports()


def test_every_package_has_a_row() -> None:
    assert ROWS.keys() == IMPORTS.keys()


@pytest.mark.parametrize("package", sorted(IMPORTS))
def test_a_package_imports_what_its_row_allows(package: str) -> None:
    assert IMPORTS[package] <= ROWS[package], (
        f"controlplane/{package} imports what docs/architecture.md does not allow"
    )


def test_the_rows_allow_nothing_that_a_contract_forbids() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in pyproject["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            layers = [{_package(one) for one in layer.split(" | ")} for layer in contract["layers"]]
            for number, layer in enumerate(layers):
                above = set().union(*layers[:number], *([layer] if len(layer) > 1 else []))
                for package in layer:
                    assert not ROWS[package] & (above - {package}), f"{package}: {contract['name']}"
        elif contract["type"] == "forbidden":
            for source in contract["source_modules"]:
                if source.count(".") == 1:
                    forbidden = {
                        _package(one) for one in contract["forbidden_modules"] if one.count(".") == 1
                    }
                    assert not ROWS[_package(source)] & forbidden, f"{source}: {contract['name']}"
        elif contract["type"] == "protected":
            allowed = {_package(one) for one in contract["allowed_importers"]}
            for one in contract["protected_modules"]:
                users = {package for package, used in ROWS.items() if _package(one) in used}
                assert users <= allowed, f"{one}: {contract['name']}"


def test_the_picture_is_current() -> None:
    assert package_picture.picture() in TEXT, "run `make picture`"


def _package(module: str) -> str:
    return module.removeprefix("controlplane.")
