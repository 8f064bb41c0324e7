"""Fixtures for tests against a real Nacos server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import nacos_server


@pytest.fixture(scope="session", params=nacos_server.VERSIONS)
def nacos_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a server: the user's, else one of each version."""
    if address := os.environ.get(nacos_server.USERS_SERVER):
        if request.param != nacos_server.VERSIONS[0]:
            pytest.skip(f"{nacos_server.USERS_SERVER} names one server")
        yield address
        return
    try:
        with nacos_server.running(request.param, tmp_path_factory.mktemp("nacos")) as server:
            yield server.address
    except nacos_server.CannotStart as error:
        pytest.skip(f"no Nacos server: {error}")


@pytest.fixture(params=nacos_server.VERSIONS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[nacos_server.NacosServer]:
    """A server that a test may kill and start again."""
    try:
        with nacos_server.running(request.param, tmp_path / "nacos") as server:
            yield server
    except nacos_server.CannotStart as error:
        pytest.skip(f"no Nacos server: {error}")
