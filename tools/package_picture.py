"""The picture of the packages in docs/architecture.md, from the imports in the code.

python tools/package_picture.py          # writes it (`make picture`)
python tools/package_picture.py --check  # fails if what is written is not current
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import grimp

DOCUMENT = Path(__file__).parent.parent / "docs" / "architecture.md"
BEGIN, END = "<!-- packages: made by `make picture` -->", "<!-- end of packages -->"
ROOT = "controlplane"


def imports() -> dict[str, set[str]]:
    """Package -> the packages that it imports, by their names below controlplane/."""
    graph = grimp.build_graph(ROOT, cache_dir=None)
    packages = sorted(child for child in graph.find_children(ROOT) if graph.find_children(child))
    found: dict[str, set[str]] = {}
    for package in packages:
        name = package.removeprefix(f"{ROOT}.")
        modules = {package, *graph.find_descendants(package)}
        used = {used for module in modules for used in graph.find_modules_directly_imported_by(module)}
        found[name] = {one.split(".")[1] for one in used if one.count(".")} - {name}
    return {name: used & found.keys() for name, used in found.items()}


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the imports of a package that one of its other imports has, too, directly or not."""

    def below(package: str) -> set[str]:
        return edges[package].union(*(below(one) for one in edges[package]))

    return {
        package: used - {one for other in used for one in below(other)} for package, used in edges.items()
    }


def picture() -> str:
    """A mermaid graph: an arrow from a package to each that it imports, but for what follows from others."""
    edges = reduced(imports())
    lines = [f"  {package} --> {' & '.join(sorted(used))}" for package, used in sorted(edges.items()) if used]
    return "\n".join([BEGIN, "```mermaid", "flowchart TD", *lines, "```", END])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    now = head + picture() + rest.partition(END)[2]
    if check and now != text:
        print(f"{DOCUMENT.name}: the picture of the packages is not current; run `make picture`")
        return 1
    DOCUMENT.write_text(now, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
