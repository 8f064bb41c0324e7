"""The libraries in the console's scripts with their sizes, into docs/console.md: `make console-libraries`.

The build of the console has measured them, into .console/libraries.json.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / ".console" / "libraries.json"
DOCUMENT = ROOT / "docs" / "console.md"
BEGIN, END = "<!-- libraries: made by `make console-libraries` -->", "<!-- end of libraries -->"
NAMES = {"": "Laneway's own code and texts", "styles": "all styles"}
LEAST = 512
"""Bytes below which libraries are told together."""


def row(name: str, sizes: tuple[float, float]) -> str:
    """Compressed sizes in KiB: of all scripts, and of those of the first view."""
    return f"| {name} | {sizes[0] / 1024:.1f} | {sizes[1] / 1024:.1f} |"


def table(measured: dict[str, dict[str, float | str]]) -> str:
    """The largest first; the small ones in one line."""
    sizes = {
        NAMES.get(name, f"{name} {one['version']}"): (float(one["all"]), float(one["first"]))
        for name, one in measured.items()
    }
    ordered = sorted(sizes.items(), key=lambda one: (-one[1][0], one[0]))
    small = [one for one in ordered if one[1][0] < LEAST]
    lines = ["| library, version | all views, KiB | first view, KiB |", "| --- | ---: | ---: |"]
    lines += [row(*one) for one in ordered if one not in small]
    if small:
        names = ", ".join(name for name, _ in small)
        lines.append(row(names, (sum(of[0] for _, of in small), sum(of[1] for _, of in small))))
    whole = (sum(of[0] for of in sizes.values()), sum(of[1] for of in sizes.values()))
    return "\n".join([*lines, row("**together**", whole)])


def main() -> None:
    """Write the table between its two lines."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    made = table(json.loads(MEASURED.read_text()))
    DOCUMENT.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")


if __name__ == "__main__":
    main()
