"""Fixtures for tests against a real Nacos server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import nacos_server

VERSIONS = (*nacos_server.VERSIONS, nacos_server.OLD_VERSION)


@pytest.fixture(scope="session", params=VERSIONS)
def nacos_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a server: the user's, else one of each version."""
    if address := os.environ.get(nacos_server.USERS_SERVER):
        if request.param != VERSIONS[0]:
            pytest.skip(f"{nacos_server.USERS_SERVER} names one server")
        yield address
        return
    with nacos_server.for_test(request.param, tmp_path_factory.mktemp("nacos")) as server:
        yield server.address
