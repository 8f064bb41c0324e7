"""A mesh whose catalog is too large to be sent at once."""

from __future__ import annotations

import json

from tests.mesh.harness import Mesh

OTHERS = 110
TAGS = [f"t{n}" for n in range(10)]
"""The tags of the lanes of the group that has the other applications."""


class Large(Mesh):
    """With `OTHERS` more services, in a group with ten lanes: more clusters than are sent at once."""

    def write_services(self) -> None:
        super().write_services()
        path = self.directory / "services.yaml"
        listed = json.loads(path.read_text())["services"]
        listed += [
            {
                "name": f"other-{n}",
                "instances": [{"address": f"10.1.{n}.1", "port": 80, "metadata": {"app": f"other-{n}"}}],
            }
            for n in range(OTHERS)
        ]
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"services": listed}))
        new.replace(path)
