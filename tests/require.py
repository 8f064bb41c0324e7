"""What a machine may lack. Tests that need it are skipped there, unless the machine is said to have it.

LANEWAY_TEST_REQUIRE is a comma separated list of names of NEEDS, or `all`. Where it names what is lacking,
the tests fail: `.ci/run` says `all`, so that nothing is skipped in silence.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "LANEWAY_TEST_REQUIRE"
NEEDS = (
    "chromium",
    "go",
    "iptables",
    "ipv6",
    "java",
    "kubernetes",
    "mounts",
    "nacos",
    "node",
    "openssl",
    "prometheus",
    "root",
)


def required() -> frozenset[str]:
    """What has to be there. Raises ValueError for a name that means nothing."""
    names = frozenset(filter(None, os.environ.get(VARIABLE, "").split(",")))
    if unknown := names - {*NEEDS, "all"}:
        raise ValueError(
            f"{VARIABLE} names {', '.join(sorted(unknown))}; known are {', '.join(NEEDS)} and all"
        )
    return frozenset(NEEDS) if "all" in names else names


def lacking(need: str, why: str) -> NoReturn:
    """Skip the test that needs what is not here, or fail it."""
    assert need in NEEDS, need
    if need in required():
        pytest.fail(f"{VARIABLE} asks for {need}: {why}", pytrace=False)
    pytest.skip(why)
