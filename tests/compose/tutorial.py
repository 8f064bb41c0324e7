"""Runs every command block of a document, in one shell, and compares what the text says comes out."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.compose.stack import ROOT, Stack, free_port
from tests.compose.table import Table

TUTORIAL = ROOT / "docs" / "tutorial.md"
OWN_ENVOY = ROOT / "docs" / "how-to" / "your-own-envoy.md"
RATIO = (40, 80)
"""Of 200 requests at 30 %: four standard deviations on either side."""


@dataclass(frozen=True)
class Block:
    """Commands below the heading `title`, and the output that the next block promises (or None)."""

    title: str
    commands: str
    promised: str | None


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    title = ""
    pattern = r"^## (?P<title>[^\n]*)$|^```(?P<kind>sh|text)\n(?P<body>.*?)^```$"
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        if match["title"]:
            title = match["title"]
        elif match["kind"] == "sh":
            found.append(Block(title, match["body"], None))
        else:
            found[-1] = Block(found[-1].title, found[-1].commands, match["body"])
    return found


def plain(text: str) -> list[str]:
    """Lines without what differs from run to run: addresses, and counts of answers and requests."""
    text = re.sub(r"\[\d+(\.\d+){3}\]", "[ip]", text)
    text = re.sub(r"^ *\d+ ", "N ", text, flags=re.MULTILINE)
    return sorted(line.strip() for line in text.strip().splitlines())


def check(stack: Stack, table: Table, source: Path = TUTORIAL) -> None:
    table.section(f"{source.relative_to(ROOT)}, every command block")
    listed = blocks(source.read_text(encoding="utf-8"))
    replaced = {
        "localhost:8080": f"localhost:{stack.port}",
        "8081": str(free_port()),
        "laneway_default": f"{stack.name}_default",
        "laneway_certs": f"{stack.name}_certs",
        "--name mine": f"--name {stack.name}-mine",
        "--force mine": f"--force {stack.name}-mine",
        "compose/traffic.py": f"compose/traffic.py --url http://localhost:{stack.port}/a",
    }
    if not listed:
        table.row("there are command blocks", False)
    script = "set -eu\n"
    for number, block in enumerate(listed):
        commands = block.commands
        for written, used in replaced.items():
            commands = commands.replace(written, used)
        script += f"echo; echo '@@@ {number}'\n{commands}"  # an answer may end without a line feed
    environment = os.environ | {"COMPOSE_PROJECT_NAME": stack.name, "EDGE_PORT": str(stack.port)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    outputs = dict(re.findall(r"^@@@ (\d+)\n(.*?)(?=^@@@ |\Z)", done.stdout, re.MULTILINE | re.DOTALL))
    for number, block in enumerate(listed):
        what = f"{block.title}: {block.commands.strip().splitlines()[0]}"[:58]
        got = outputs.get(str(number))
        last = got is not None and str(number + 1) not in outputs
        if got is None:
            table.row(what, False, "not reached")
        elif last and done.returncode:
            table.row(what, False, (got + done.stderr)[-500:])
        elif block.promised is None:
            table.row(what, True)
        else:
            tail = "\n".join(got.strip().splitlines()[-len(block.promised.strip().splitlines()) :])
            ok, said = plain(tail) == plain(block.promised), " | ".join(tail.split("\n"))
            if ok and "Agray" in tail and "200 requests" in tail:
                share = int(re.search(r"(\d+)  Agray", tail)[1])  # type: ignore[index]
                ok = RATIO[0] <= share <= RATIO[1]
            table.row(what, ok, said)
