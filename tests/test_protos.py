"""The code of Laneway's own .proto files is what `make protos` writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_code_of_the_protos_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "tools" / "proto_code.py"), str(tmp_path)], check=True)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2.py*"))
    assert len(written) >= 6
    for path in written:
        assert (ROOT / path).read_text() == (tmp_path / path).read_text(), f"{path}: run `make protos`"
