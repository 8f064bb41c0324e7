"""Children end with their parent, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.cli.processes import Supervisor
from tests.cli.ports import wait_for

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
PARENT = f"""
import sys, time
from pathlib import Path
from controlplane.cli.processes import Supervisor
supervisor = Supervisor(Path(sys.argv[1]))
child = supervisor.start("child", {SLEEPER!r})
print(child.process.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    """Whether no such process runs (one that only waits to be reaped does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_stop_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("controlplane.cli.processes.STOP_S", 0.3)
    with Supervisor(tmp_path) as supervisor:
        children = [supervisor.start("willing", SLEEPER), supervisor.start("stubborn", STUBBORN)]
        for child in children:
            wait_for(lambda child=child: "up" in child.tail(), child.process)
        assert supervisor.dead() == []
    assert [child.process.returncode for child in children] == [-signal.SIGTERM, -signal.SIGKILL]


def test_a_child_that_ends_is_seen_with_its_last_words(tmp_path: Path):
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("short", [sys.executable, "-c", "print('goodbye'); raise SystemExit(3)"])
        child.process.wait(20)
        assert supervisor.dead() == [child]
        assert child.tail() == "goodbye"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_children_die_with_a_killed_parent(tmp_path: Path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not gone(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=20)
    wait_for(lambda: gone(pid))
