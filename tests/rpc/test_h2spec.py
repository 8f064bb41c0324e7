"""The conformance suite of HTTP/2, in strict mode: https://github.com/summerwind/h2spec."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import golang

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def h2spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built."""
    program = tmp_path_factory.mktemp("go") / "h2spec"
    return golang.build("github.com/summerwind/h2spec/cmd/h2spec", HERE / "h2spec", program)


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers every request, in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.rpc.plain"], cwd=HERE.parents[1], stdout=subprocess.PIPE
    )
    with server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def test_all_of_it_in_strict_mode(h2spec: Path, port: int) -> None:
    command = [str(h2spec), "-S", "-h", "127.0.0.1", "-p", str(port)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    tests, passed = map(int, re.findall(r"(\d+) tests, (\d+) passed", ran.stdout)[-1])
    assert ran.returncode == 0, ran.stdout
    assert tests == passed >= 146, ran.stdout
