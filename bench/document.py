"""docs/benchmarks.md: each benchmark owns a part between two markers, the words around are ours."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "docs" / "benchmarks.md"


def report(name: str, text: str, *, keep: bool) -> None:
    """Print what benchmark `name` found; `keep` also writes it."""
    print(text)
    if keep:
        write(name, text)


def write(name: str, text: str) -> None:
    """Replace the part of benchmark `name`; one that is not there yet goes to the end."""
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    document = DOCUMENT.read_text() if DOCUMENT.exists() else "# Benchmarks\n"
    if begin not in document:
        document += f"\n{begin}\n{end}\n"
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def machine() -> str:
    """What the figures were measured on."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{date.today()}, {os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"load average before {os.getloadavg()[0]:.1f}; CPython {platform.python_version()}"
    )


def peers() -> str:
    """The versions of what is measured beside Laneway."""
    go = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.split()
    modules = subprocess.run(
        ["go", "list", "-m", "github.com/envoyproxy/go-control-plane", "google.golang.org/grpc"],
        cwd=HERE,
        capture_output=True,
        text=True,
    ).stdout.split()
    return f"{go[2] if len(go) > 2 else 'no Go'}, {' '.join(modules)}"
