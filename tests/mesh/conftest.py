"""Fixtures of the tests on real Envoys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mesh.harness import LIVE, Mesh


@pytest.fixture(scope="module")
def new_mesh(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Mesh]]:
    """Makes meshes that stop with the module."""
    made: list[Mesh] = []

    def make(**options: Any) -> Mesh:
        made.append(Mesh(tmp_path_factory.mktemp("mesh"), **options))
        return made[-1]

    yield make
    for mesh in reversed(made):
        mesh.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for mesh in LIVE:
            report.sections.append((f"processes of {mesh.directory}", mesh.logs()))
