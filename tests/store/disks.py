"""Disks that a test may fill or make read-only: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def missing() -> str:
    """Why no such disk can be made here, or ""."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root, to mount a file system"
    for tool in ("unshare", "nsenter", "mount"):
        if shutil.which(tool) is None:
            return f"needs the command {tool} (Debian: util-linux, mount)"
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    return "" if probe.returncode == 0 else f"no mount namespace can be made here: {probe.stderr.strip()}"


class Disk:
    """A tmpfs at `path`, which only processes that start with `prefix` see; see also `seen`."""

    def __init__(self, holder: int, path: Path) -> None:
        self.path = path
        self.prefix = ("nsenter", f"--mount=/proc/{holder}/ns/mnt", "--")
        self.seen = Path(f"/proc/{holder}/root{path}")  # from here

    def _run(self, *command: str) -> None:
        subprocess.run([*self.prefix, *command], check=True, capture_output=True)

    def fill(self) -> None:
        """Take all room that is left."""
        with contextlib.suppress(OSError), (self.seen / "ballast").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give it back."""
        (self.seen / "ballast").unlink()

    def read_only(self, yes: bool = True) -> None:
        """Nobody may have a file of it open to write."""
        self._run("mount", "-o", "remount,ro" if yes else "remount,rw", str(self.path))


@contextlib.contextmanager
def disk(path: Path, size: str = "2m") -> Iterator[Disk]:
    path.mkdir()
    script = f'mount -t tmpfs -o size={size} none "$1" && echo mounted && exec cat'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "mounted\n"
        yield Disk(holder.pid, path)
        holder.stdin.close()
        holder.wait(20)
