"""Type stubs of the protobuf messages that controlplane/ imports, into typings/, where pyright finds them.

    python tools/proto_stubs.py

xds-protos has the generated modules without types. protoc writes stubs from their descriptors: no .proto file
is needed, and they are those of the version that is installed. `make setup` runs this.
"""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

ROOT = Path(__file__).parent.parent
TYPINGS = ROOT / "typings"
KNOWN = "google/protobuf/"
"""What types-protobuf has stubs for."""


def imported() -> set[str]:
    """Every generated module that controlplane/ imports."""
    found: set[str] = set()
    for path in (ROOT / "controlplane").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name for name in (node.module, *names) if name.endswith("_pb2")}
    return {name for name in found if not name.startswith("controlplane.")}


def files(descriptor: FileDescriptor, seen: set[str]) -> Iterator[FileDescriptor]:
    """The file and all that it imports, before itself."""
    if descriptor.name not in seen:
        seen.add(descriptor.name)
        for needed in descriptor.dependencies:
            yield from files(needed, seen)
        yield descriptor


def main() -> None:
    seen: set[str] = set()
    found = descriptor_pb2.FileDescriptorSet()
    for module in sorted(imported()):
        for descriptor in files(importlib.import_module(module).DESCRIPTOR, seen):
            descriptor.CopyToProto(found.file.add())
    shutil.rmtree(TYPINGS, ignore_errors=True)
    TYPINGS.mkdir()
    with tempfile.NamedTemporaryFile() as known:
        known.write(found.SerializeToString())
        known.flush()
        options = [f"--descriptor_set_in={known.name}", f"--pyi_out={TYPINGS}"]
        names = [one.name for one in found.file if not one.name.startswith(KNOWN)]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *names], check=True)


if __name__ == "__main__":
    main()
