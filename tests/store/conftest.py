"""The Nacos servers of the registry's tests serve those of the store, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import nacos_server
from tests.registry.conftest import nacos_address

__all__ = ["nacos_address"]


@pytest.fixture(params=nacos_server.VERSIONS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[nacos_server.NacosServer]:
    """A server that a test may kill and start again."""
    with nacos_server.for_test(request.param, tmp_path / "nacos") as server:
        yield server
