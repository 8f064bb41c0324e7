"""What the wheel has: the product and the demo's applications, nothing of the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "README.md", "LICENSE", "sbom.cdx.json")
DIRECTORIES = ("controlplane", "demo-apps", "tests")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel that is built from a copy of the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for name in DIRECTORIES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True)
    (wheel,) = out.glob("laneway-*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_nothing_but_the_product_and_the_demo_is_in_it(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {re.sub(r"laneway-.*\.", "", top) for top in tops} == {"controlplane", "data", "dist-info"}
    data = {name.rpartition(".data/data/")[2] for name in names if ".data/" in name}
    demo = {f"share/laneway/demo-apps/{name}" for name in ("service.py", "registry.py")}
    assert data == demo | {"share/laneway/sbom.cdx.json"}
    others = [name for name in names if re.search(r"test|harness|conftest", name)]
    assert not others


def test_all_of_the_product_is_in_it(names: list[str]) -> None:
    package = ROOT / "controlplane"
    kinds = (".py", ".pyi", ".lua", ".tmpl", ".typed")
    wanted = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.suffix in kinds}
    wanted |= {"controlplane/py.typed"} if (package / "py.typed").exists() else set()
    assert wanted - {name for name in names if name.startswith("controlplane/")} == set()


def test_the_demo_extra_has_what_the_applications_are_run_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "demo-apps" / "requirements.txt").read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    extra = set(project["optional-dependencies"]["demo"])
    assert extra - {"laneway[envoy]"} <= wanted
    names = {re.split(r"[=\[]", one)[0] for one in extra | set(project["dependencies"])}
    assert {line.split("==")[0] for line in wanted} - names <= {"httptools"}  # uvicorn goes without, slower
