"""Programs in Go that tests need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import require


def command() -> str | None:
    """Where Go is: beside this Python, where `make go` puts it, or on PATH."""
    return shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")


def build(package: str, module: Path, program: Path) -> Path:
    """Build a package of a module; Go's own cache makes that quick from the second time on.

    Skips the test where there is no Go, or one that is too old (see tests.require).
    """
    go = command()
    if go is None:
        require.lacking("go", f"no Go here, so {program.name} cannot be built: `make go` installs it")
    built = subprocess.run(
        [go, "build", "-mod=mod", "-o", str(program), package],
        cwd=module,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "requires go >=" in built.stderr:
        require.lacking("go", f"this Go is too old for {program.name}: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    return program
