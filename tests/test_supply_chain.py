"""What is installed is pinned by hash, is in the SBOM, and has a licence that is allowed."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import licences, npm
from tools.locks import ALL, AUDIT, BUILD, PARTS, ROOT, TOOLS, locked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
DEMO = [line for line in (ROOT / "demo-apps/requirements.txt").read_text().splitlines() if "==" in line]
GROUPS = PROJECT["dependency-groups"]
NEEDED = {
    "constraints.txt": [
        *RUNTIME,
        *DEMO,
        *PROJECT["project"]["optional-dependencies"]["envoy"],
        *GROUPS["build"],
        *(one for one in GROUPS["dev"] if isinstance(one, str)),
    ],
    "requirements/laneway.txt": RUNTIME,
    "demo-apps/requirements.lock": DEMO,
}
REMEDY = "run `make constraints`"


def installed(requirements: list[str]) -> dict[str, Distribution]:
    """Everything that `requirements` lead to here, by normal name. Raises PackageNotFoundError."""
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


@pytest.mark.parametrize("lock", NEEDED)
def test_a_lock_has_all_that_is_needed_at_the_version_that_is_tested(lock: str) -> None:
    wanted = {name: one.version for name, one in installed(NEEDED[lock]).items()}
    assert {name: pin.version for name, pin in locked(ROOT / lock).items() if pin.here} == wanted, REMEDY


@pytest.mark.parametrize("lock", [ALL, *PARTS, TOOLS, AUDIT, BUILD], ids=lambda lock: lock.path)
def test_every_package_of_a_lock_has_hashes(lock) -> None:
    pins = locked(ROOT / lock.path)
    assert pins
    for name, pin in pins.items():
        assert pin.version, name
        assert pin.hashes, name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in pin.hashes), name


def test_locks_agree() -> None:
    everything = locked(ROOT / ALL.path) | locked(ROOT / BUILD.path)
    for lock in PARTS:
        for name, pin in locked(ROOT / lock.path).items():
            known = everything.get(name, pin)
            assert (known.version, known.hashes) == (pin.version, pin.hashes), (
                f"{lock.path}: {name}; {REMEDY}"
            )
    assert (ROOT / "demo-apps/build.lock").read_text() == (ROOT / BUILD.path).read_text(), REMEDY


@pytest.mark.parametrize(
    "path", ["Makefile", "Dockerfile", "demo-apps/Dockerfile", "tools/vulnerabilities.sh"]
)
def test_nothing_is_installed_without_hashes(path: str) -> None:
    """But for what is here already, and for the tools of fuzzing and Go, which are in no image."""
    text = (ROOT / path).read_text().replace("\\\n", " ")
    lines = [
        line for line in text.splitlines() if re.search(r"\binstall --q|pip\"? install|\$\$pip --", line)
    ]
    assert lines
    for line in lines:
        allowed = ("--require-hashes", "--no-deps", "--group fuzz", "--group go", "--group console")
        for command in re.split(r"&&|;", line):
            if re.search(r"\binstall --q|pip\"? install|^\s*\$\$pip --", command):
                assert any(one in command for one in allowed) or "pip=" in command, command


def test_the_licences_of_all_that_is_shipped_are_allowed() -> None:
    assert licences.refused() == []


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND Apache-2.0", True),
        ("(MIT OR GPL-3.0-only) AND GPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", False),
    ],
)
def test_a_licence_is_allowed_if_all_that_must_be_kept_is(expression: str, fits: bool) -> None:
    assert licences.allows(expression, frozenset({"MIT", "Apache-2.0"})) is fits


def test_the_sbom_is_that_of_the_lock() -> None:
    sbom = json.loads((ROOT / "sbom.cdx.json").read_text())
    found = {
        one["name"]: (one["version"], {"sha256:" + each["content"] for each in one["hashes"]})
        for one in sbom["components"]
        if one["purl"].startswith("pkg:pypi/")
    }
    pins = locked(ROOT / "requirements/laneway.txt")
    wanted = {name: (pin.version, set(pin.hashes)) for name, pin in pins.items() if pin.here}
    assert found == wanted, "run `make sbom`"
    assert sbom["metadata"]["component"]["version"] == PROJECT["project"]["version"]
    known = {one["bom-ref"] for one in sbom["components"]} | {sbom["metadata"]["component"]["bom-ref"]}
    assert {one["ref"] for one in sbom["dependencies"]} == known
    assert all(one.get("licenses") for one in sbom["components"])


def test_the_sbom_has_what_the_console_is_built_of() -> None:
    sbom = json.loads((ROOT / "sbom.cdx.json").read_text())
    packages = {one["purl"]: one for one in sbom["components"] if one["purl"].startswith("pkg:npm/")}
    hashes = {purl: {each["content"] for each in one.get("hashes", ())} for purl, one in packages.items()}
    console = f"pkg:npm/laneway-console@{npm.console()[0]}"
    wanted = {
        f"pkg:npm/{name.replace('@', '%40')}@{one.version}": {one.sha512}
        for name, one in npm.bundled().items()
    }
    assert hashes == {console: set(), **wanted}, "run `make sbom`"
    assert "pkg:npm/%40mantine/core@" in "".join(wanted)
    needs = {one["ref"]: one.get("dependsOn", []) for one in sbom["dependencies"]}
    assert console in needs[sbom["metadata"]["component"]["bom-ref"]]
    assert wanted.keys() >= set(needs[console]) != set()


def test_the_sbom_names_no_place_and_no_time() -> None:
    """So that the same lock gives the same file."""
    text = Path(ROOT / "sbom.cdx.json").read_text()
    assert not re.search(r"timestamp|serialNumber|://pypi|/home/|/root/|/work/", text)
