"""Nothing is skipped in silence where everything is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import require

HERE = Path(__file__).parent
#: What these skip does not fit the case at hand, whatever the machine has.
NEVER_FITTING = {"mesh/test_conditions.py", "registry/conftest.py", "registry/test_nacos_live.py"}
LINUX_ONLY = {"cli/test_processes.py"}


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("", pytest.skip.Exception),
        ("iptables", pytest.skip.Exception),
        ("iptables,go", pytest.fail.Exception),
        ("all", pytest.fail.Exception),
        ("golang", ValueError),
    ],
)
def test_what_is_asked_for_must_be_there(
    monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv(require.VARIABLE, value)
    with pytest.raises(outcome):
        require.lacking("go", "no Go here")


def test_skips_for_what_a_machine_lacks_go_one_way() -> None:
    skips = re.compile(r"pytest\.(skip|importorskip|mark\.skip(if)?)\(")
    found = {
        str(path.relative_to(HERE))
        for path in HERE.rglob("*.py")
        if skips.search(path.read_text()) and path.name != "require.py"
    }
    assert found == NEVER_FITTING | LINUX_ONLY
