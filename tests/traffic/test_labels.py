"""What labels of proxies say."""

from __future__ import annotations

import pytest

from controlplane.translate.traffic import Counted, read, served


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (
            "e a/gray file///sc-A|app|gray>base gray@app 200 - 1",
            Counted("edge", "a", "gray", "file///sc-A|app|gray>base", "gray", "app", 200, frozenset(), 1),
        ),
        (
            "e a file///sc-A|base @app 503 UF,URX 4",
            Counted("edge", "a", "", "file///sc-A|base", "", "app", 503, frozenset({"UF", "URX"}), 4, True),
        ),
        (
            "e a/ file///sc-A|base @app 200 - 1",
            Counted("edge", "a", "", "file///sc-A|base", "", "app", 200, frozenset(), 1, True),
        ),
        (
            "e a/Base.gray-1f3a9c2e file///sc-A|Base.gray-1f3a9c2e,base +gray@app 200 - 1",
            Counted(
                "edge",
                "a",
                "",
                "file///sc-A|Base.gray-1f3a9c2e,base",
                "gray",
                "app",
                200,
                frozenset(),
                1,
                True,
            ),
        ),
        (
            "e a/gray/gray x/y/z/sc A|app|gray>none  503 UH 1",
            Counted("edge", "a", "gray", "x/y/z/sc A|app|gray>none", None, "", 503, frozenset({"UH"}), 1),
        ),
        (
            "o gray file///sc-B|app|gray>base @an%20app 0 DC 1",
            Counted(
                "outbound",
                "",
                "gray",
                "file///sc-B|app|gray>base",
                "",
                "an app",
                0,
                frozenset({"DC"}),
                1,
                True,
            ),
        ),
        (
            "o base file///sc-B|base @app 200 - 1",
            Counted("outbound", "", "", "file///sc-B|base", "", "app", 200, frozenset(), 1, True),
        ),
        (
            "i inbound/gray inbound|20001  200 - 1",
            Counted("inbound", "", "gray", "inbound|20001", None, "", 200, frozenset(), 1),
        ),
    ],
)
def test_counters(label: str, expected: Counted) -> None:
    assert read(label, counter=True) == expected
    short = read(label.rsplit(" ", 3)[0], counter=False)
    assert short is not None
    assert (short.lane, short.tag, short.cluster) == (expected.lane, expected.tag, expected.cluster)


@pytest.mark.parametrize("label", ["", "e", "x a b @c 200 - 1", "e a b 200 - 1", " " * 3])
def test_others(label: str) -> None:
    assert read(label, counter=True) is None


def test_applications_with_spaces_keep_their_place() -> None:
    assert " " not in served("gray", "an app", False)
    found = read(f"o gray s/a/b/c|x|gray>base {served('gray', 'an app', False)}", counter=False)
    assert found is not None
    assert (found.tag, found.application) == ("gray", "an app")
