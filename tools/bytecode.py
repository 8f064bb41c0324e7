"""python bytecode.py DIRECTORY: make the bytecode there anew so that it depends on its source alone.

What Python writes by itself holds the time of the source file, which each build of an image sets anew. Only
modules that have bytecode already get it.
"""

from __future__ import annotations

import importlib.util
import py_compile
import sys
from pathlib import Path

for compiled in sorted(Path(sys.argv[1]).rglob("__pycache__/*.pyc")):
    source = importlib.util.source_from_cache(str(compiled))
    py_compile.compile(
        source, str(compiled), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
