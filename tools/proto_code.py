"""The Python code of Laneway's own .proto files, beside those who use it.

python tools/proto_code.py [ROOT]    # a tree to write into, in place of the repository
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

#: Where each .proto file is, and where its code goes.
FILES = {
    "protos/nacos.proto": "controlplane/nacos/generated",
    "protos/discovery.proto": "controlplane/xds/generated",
    "protos/otlp.proto": "controlplane/traffic/generated",
    "tests/xds/harness.proto": "tests/xds/generated",
}


def generate(root: Path) -> None:
    """Write the code of all files below `root`."""
    for source, target in FILES.items():
        path, out = HERE / source, root / target
        out.mkdir(parents=True, exist_ok=True)
        options = [f"-I{path.parent}", f"--python_out={out}", f"--pyi_out={out}", path.name]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
