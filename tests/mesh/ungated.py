"""The `laneway` command with routes that turn no filter off: what proxies with gates are compared with.

Run it as `python -P tests/mesh/ungated.py serve ...`, since the modules beside it are not the command's.
"""

from __future__ import annotations

from controlplane.translate import gates


def main() -> None:
    gates.turn_off = lambda target, *filters: None  # before those that import it by name
    from controlplane.cli import main as laneway
    from controlplane.translate import edge, outbound, sidecar

    assert {one.turn_off for one in (edge, outbound, sidecar)} == {gates.turn_off}
    laneway()


if __name__ == "__main__":
    main()
