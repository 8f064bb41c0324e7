"""One client that sends what it may not: the others get their changes, and the control plane its memory back.

At a small size these are part of the suite; the long runs have them at the full one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks import attacks, harness
from tests.attacks.attacks import ATTACKS
from tests.attacks.harness import Server

SHORT, LONG = 0.5, 1.5
"""Seconds of an attack."""
STOPPED = 2_500.0
"""Milliseconds that a change may take beside a small attack, on a busy machine; it was 3 to 120 s."""
GROWN = 150.0
"""MiB that the process may have grown after all small attacks: some of it is kept on purpose."""
LEFT = 24.0
"""MiB that a full attack may leave behind, besides a fifth."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def transport(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--transport")


@pytest.fixture(scope="module")
def server(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with harness.serving(transport, tmp_path_factory.mktemp("attacks") / "log") as server:
        server.grown_from = server.rss
        yield server


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_served_beside_a_small_attack(attack: str, server: Server) -> None:
    with harness.probing(server, SHORT, first=100 * next(_numbers), streams=3) as probe:
        attacks.run(attack, server.xds, SHORT, 0.05)
        figures = probe()
    assert figures["max"] < STOPPED
    assert figures["lost"] == 0
    assert server.ask({"proxies": True})["seconds"] < 1
    assert server.rss < server.grown_from + GROWN


@pytest.mark.mesh
@pytest.mark.timeout(120)
@pytest.mark.parametrize("attack", ATTACKS)
def test_others_go_on_beside_a_full_attack(attack: str, transport: str, tmp_path: Path) -> None:
    """No freeze, nothing lost, memory back within 10 s.

    `make attacks` compares with an equal harmless load, which takes a machine that does nothing else.
    """
    attacked = harness.run(attack, transport, tmp_path / "log", seconds=LONG, size=1.0)
    assert attacked.longest < STOPPED
    assert attacked.lost == 0
    assert attacked.after < 1.2 * attacked.before + LEFT
    assert attacked.log_bytes < 1 << 20
