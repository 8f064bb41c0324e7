"""The guide for one's own services: each command of it runs, and what it promises comes out."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.ports import free_port, loopback_network
from tests.cli.run import environment

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "your-own-services.md"
MARK = "-- block %d --"

pytestmark = pytest.mark.mesh


def test_each_command_of_the_guide(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8").partition("## Start the applications")[2]
    for old, new in (
        ("127.0.2.", f"{loopback_network()}."),
        ("8080", str(free_port())),
        ("15000", str(free_port())),
    ):
        text = text.replace(old, new)
    found = re.findall(r"^```(sh|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    script, promised = ["set -e"], dict[int, str]()
    for kind, body in found:
        if kind == "sh":
            script += [f"echo '{MARK % len(script)}'", body]
        else:
            promised[len(script) - 2] = body
    control = f"127.0.0.1:{free_port()}"
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LANEWAY_ADMIN": control,
        "LANEWAY_SERVER": f"http://{control}",
        "LANEWAY_XDS": f"127.0.0.1:{free_port()}",
    }
    log = tmp_path / "guide.log"
    try:
        with log.open("wb") as output:
            result = subprocess.run(
                ["bash", "-c", "\n".join(script)],
                cwd=tmp_path,
                env=environment(**variables),
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=180,
                check=False,
            )
        said = log.read_text()
        assert result.returncode == 0, said
        assert len(promised) == 3
        for number, wanted in promised.items():
            (block,) = re.findall(f"^{re.escape(MARK % number)}\n(.*?)(?=^-- block|\\Z)", said, re.M | re.S)
            assert block.rstrip("\n").endswith(wanted.rstrip("\n")), said
    finally:
        pids = tmp_path / "pids"
        for pid in pids.read_text().split() if pids.exists() else ():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cwd").resolve() == tmp_path.resolve():
                    os.kill(int(pid), signal.SIGKILL)
