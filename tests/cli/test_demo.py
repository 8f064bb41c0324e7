"""`laneway demo` on a loopback network of its own: a real mesh, which leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli import run
from tests.cli.ports import free_port, loopback_network, wait_for
from tests.cli.test_processes import gone
from tests.mesh.client import until

START_S = 60.0


def arguments(network: str, edge: int) -> list[str]:
    ports = {"edge": edge, "edge-admin": free_port(), "admin": free_port(), "xds": free_port()}
    return ["demo", "--network", network, *(f"--{name}-port={port}" for name, port in ports.items())]


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def staying(network: str, edge: int) -> Iterator[subprocess.Popen]:
    """A demo that is ready and stays."""
    process = subprocess.Popen(
        [run.LANEWAY, *arguments(network, edge)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=run.environment(),
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "stays until Ctrl-C" in line:
                break
        else:
            pytest.fail("".join(lines))
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_check_is_content_only_with_right_answers():
    network = loopback_network()
    command = [run.LANEWAY, *arguments(network, free_port()), "--check"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, env=run.environment()
    )
    assert result.returncode == 0, result.stdout + result.stderr
    base = f"A[{network}.1][config=base] -> B[{network}.2] -> C[{network}.3]"
    gray = f"Agray[{network}.4][config=base] -> B[{network}.2] -> Cgray[{network}.5]"
    assert base in result.stdout
    assert gray in result.stdout


def post_gray(edge: int) -> str:
    url = f"http://127.0.0.1:{edge}/a"
    return httpx.post(url, content=b"x", headers={"canary": "gray"}, trust_env=False).text


@pytest.mark.mesh
def test_the_death_of_a_process_is_told_and_it_is_brought_back():
    network, edge = loopback_network(), free_port()
    with staying(network, edge) as process:
        until(lambda: post_gray(edge).endswith(f"Cgray[{network}.5]"), 20, "an answer of the lane")
        assert process.stdout is not None
        (victim,) = [
            pid
            for pid in children(process.pid)
            if f"POD_IP={network}.5".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        ]
        os.kill(victim, signal.SIGKILL)
        told = next(line for line in process.stdout if "application-Cgray" in line)
        assert "was ended by SIGKILL; the rest goes on" in told
        until(lambda: post_gray(edge).endswith(f"C[{network}.3]"), 20, "base in place of the dead instance")
        assert any("application-Cgray is started again" in line for line in process.stdout)
        until(lambda: post_gray(edge).endswith(f"Cgray[{network}.5]"), 40, "an answer of the lane")


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.mesh) for one in (signal.SIGTERM, signal.SIGKILL))],
    ids=lambda one: one.name,
)
def test_it_stays_and_leaves_nothing_behind(number: signal.Signals):
    network, edge = loopback_network(), free_port()
    with staying(network, edge) as process:
        until(lambda: post_gray(edge).startswith("Agray["), 20, "an answer of the lane")
        started = children(process.pid)
        assert len(started) == 1 + 5 + 6  # control plane, applications, Envoys
        process.send_signal(number)
        process.wait(30)
        wait_for(lambda: all(map(gone, started)))
    wanted = {signal.SIGINT: 0, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}
    assert process.returncode == wanted[number]


def test_a_port_in_use_is_named_with_the_option_that_moves_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = run.laneway(*arguments(loopback_network(), port), code=1)
    assert f"127.0.0.1:{port}" in text
    assert "--edge-port" in text
