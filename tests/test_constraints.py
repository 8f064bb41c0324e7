"""constraints.txt is what its header says."""

from __future__ import annotations

from tests.constraints import FILE, pins


def test_every_package_is_pinned_at_the_version_that_is_tested():
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    assert lines == pins(), "run `make constraints`"
