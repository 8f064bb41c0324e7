"""Print the OpenAPI document of the admin API, of which the console's client is generated."""

from __future__ import annotations

import json
import sys
from typing import cast

from controlplane.admin.app import create_app
from controlplane.admin.control import ControlPlane
from controlplane.admin.openapi import describe


class _Nothing:
    """Stands for a control plane that is asked nothing, because no request is served."""

    def __getattr__(self, name: str) -> None:
        return None


def main() -> None:
    """Print it."""
    nothing = cast(ControlPlane, _Nothing())
    json.dump(describe(create_app(nothing), tokens=True), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
