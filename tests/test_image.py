"""What the Dockerfile takes for granted of the package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().parents[1] / "Dockerfile"


def test_modules_that_the_image_imports_exist() -> None:
    imported = re.search(r"-c 'import ([^']+)'", DOCKERFILE.read_text())
    assert imported is not None
    modules = [name.strip() for name in imported[1].split(",")]
    ours = [name for name in modules if name.startswith("controlplane.")]
    assert ours
    assert [name for name in ours if importlib.util.find_spec(name) is None] == []
