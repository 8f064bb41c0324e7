"""The targets of the fuzzer, on what it begins with and on what it once found."""

from __future__ import annotations

import pytest

from tests.fuzz.seeds import FOUND, seeds
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    for raw in (*seeds(target), *FOUND[target]):
        TARGETS[target](raw)
