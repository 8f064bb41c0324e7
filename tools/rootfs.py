"""A root directory with some packages of this Debian and what they depend on: no apt, no dpkg.

    python3 rootfs.py DIRECTORY PACKAGE...

Runs while images are built, with Python's own library alone. /var/lib/dpkg/status of the directory names what
is in it, so that scanners of vulnerabilities find it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

STATUS = Path("var/lib/dpkg/status")
LEFT_OUT = {
    "apt",
    "debconf",
    "dpkg",
    "gcc-14-base",
    "init-system-helpers",
    "mawk",
    "media-types",
    "openssl",
    "perl-base",
}
"""What packages depend on for their installation alone."""
GENERATED = (
    "etc/passwd",
    "etc/group",
    "etc/alternatives",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/nsswitch.conf",
)
"""What no package has, because programs of the installation write it."""
NEVER = re.compile(r"/usr/share/(doc|man|locale|info|lintian|bug|zsh|bash-completion|gcc|ca-certificates)/")
KEPT = re.compile(r"/usr/share/doc/[^/]+/copyright$")
CODE = re.compile(r"/usr/lib/python3[^/]*/(test|pydoc_data|idlelib|turtledemo|lib2to3|ensurepip)/")


def packages(status: str) -> dict[str, str]:
    """The paragraphs of the status file, by name."""
    return {
        part.split("\n", 1)[0].removeprefix("Package: "): part
        for part in status.split("\n\n")
        if part.strip()
    }


def needed(wanted: list[str], known: dict[str, str]) -> list[str]:
    """The packages and what they depend on; of alternatives, the first that is installed."""
    provided = {
        re.sub(r"\s*\(.*", "", name.strip()): package
        for package, text in known.items()
        for name in re.findall(r"^Provides: (.*)$", text, re.MULTILINE)
        for name in name.split(",")
    }
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in found or name in LEFT_OUT:
            continue
        found.add(name)
        for line in re.findall(r"^(?:Pre-)?Depends: (.*)$", known[name], re.MULTILINE):
            for choice in line.split(","):
                names = [re.sub(r"[\s(:].*", "", one.strip()) for one in choice.split("|")]
                there = [one if one in known else provided.get(one) for one in names]
                waiting += [one for one in there if one][:1]
    return sorted(found)


def copy(path: str, root: Path) -> None:
    """One file, link or directory, with its mode; the contents of directories are not copied."""
    source, target = Path(path), root / path.lstrip("/")
    if target.is_symlink() or not os.path.lexists(source):
        return
    if source.is_dir() and not source.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
    else:
        copied_parent(source.parent, root)
        shutil.copy2(source, target, follow_symlinks=False)
        return
    shutil.copystat(source, target)
    if os.path.ismount(source):  # /sys has times of the machine that builds
        os.utime(target, (0, 0))


def copied_parent(directory: Path, root: Path) -> None:
    target = root / str(directory).lstrip("/")
    if not target.exists():
        target.mkdir(parents=True)


def main(directory: str, *wanted: str) -> None:
    root, known = Path(directory), packages(Path("/", STATUS).read_text())
    # Links of merged directories (/bin to /usr/bin) come first, so that nothing makes directories of them.
    for top in ("bin", "sbin", "lib", "lib64"):
        if Path("/", top).is_symlink():
            root.mkdir(parents=True, exist_ok=True)
            (root / top).symlink_to(os.readlink(f"/{top}"))
    names = needed(list(wanted), known)
    for name in names:
        files = subprocess.run(["dpkg", "-L", name], capture_output=True, text=True, check=True).stdout
        for path in files.splitlines():
            if path in ("/.", "/bin", "/sbin", "/lib", "/lib64") or CODE.search(path + "/"):
                continue
            if not NEVER.search(path + "/") or KEPT.search(path):
                copy(path, root)
    for path in GENERATED:
        source = Path("/", path)
        if source.is_dir():
            shutil.copytree(source, root / path, symlinks=True, dirs_exist_ok=True)
        elif source.exists():
            copied_parent(source.parent, root)
            shutil.copy2(source, root / path)
    links(root)
    (root / STATUS).parent.mkdir(parents=True, exist_ok=True)
    (root / STATUS).write_text("\n\n".join(known[name].strip() for name in names) + "\n")
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)
    subprocess.run(["ldconfig", "-X", "-r", str(root)], check=True)
    shutil.rmtree(root / "var/cache/ldconfig", ignore_errors=True)


def links(root: Path) -> None:
    """Links that installations make into /etc/alternatives (iptables, awk); those that lead nowhere go."""
    for directory in ("usr/bin", "usr/sbin", "usr/lib"):
        for link in Path("/", directory).iterdir():
            if link.is_symlink() and os.readlink(link).startswith("/etc/alternatives/"):
                target = root / directory / link.name
                if not os.path.lexists(target) and target.parent.is_dir():
                    target.symlink_to(os.readlink(link))
    for directory in ("etc/alternatives", "usr/bin", "usr/sbin"):
        for link in list((root / directory).iterdir()) if (root / directory).is_dir() else []:
            if link.is_symlink() and not _leads(root, link):
                link.unlink()


def _leads(root: Path, link: Path) -> bool:
    for _ in range(8):
        if not link.is_symlink():
            return link.exists()
        to = os.readlink(link)
        link = root / to.lstrip("/") if to.startswith("/") else link.parent / to
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
