"""Programs in Go that tests need."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def build(package: str, module: Path, program: Path) -> Path:
    """Build a package of a module; Go's own cache makes that quick from the second time on.

    Skips the test where there is no Go, or one that is too old.
    """
    if shutil.which("go") is None:
        pytest.skip(f"no Go here: {program.name} cannot be built")
    command = ["go", "build", "-mod=mod", "-o", str(program), package]
    built = subprocess.run(command, cwd=module, capture_output=True, text=True, check=False)
    if "requires go >=" in built.stderr:
        pytest.skip(f"this Go is too old for {program.name}: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    return program
