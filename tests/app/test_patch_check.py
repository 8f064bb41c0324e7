"""The check of patches: the example of the documentation is taken, and a wrong patch is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.app.patch_check import PatchCheck
from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.model.problems import DefinitionError
from controlplane.registry.names import ServiceNames

ENVOY = Path(sys.executable).with_name("envoy")
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "documents.md"


def example() -> dict[str, Any]:
    blocks = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(encoding="utf-8"), re.M | re.S)
    documents = [one for block in blocks for one in yaml.safe_load_all(block)]
    return next(one for one in documents if "envoy_patches" in one)


async def check(document: dict[str, Any], allowed: bool = True, envoy: Path | None = ENVOY) -> None:
    after = Definitions().apply(parse_documents(yaml.safe_dump(document).encode())).definitions
    checking = PatchCheck(allowed, envoy)
    await checking.check(Definitions(), after, {}, ServiceNames().resolve, labelled=False)


def filled(path: str, value: str) -> dict[str, Any]:
    return {"resource": "listener", "operations": [{"op": "replace", "path": path, "value": value}]}


async def test_the_documentations_example_is_taken() -> None:
    await check(example())


async def test_the_patch_that_envoy_rejects_is_named() -> None:
    """Of several, by the fewest that are rejected."""
    document = example()
    (good,) = document["envoy_patches"]
    path = good["operations"][0]["path"] + "/typed_config/token_bucket/fill_interval"
    document["envoy_patches"] = [good, *(filled(path, value) for value in ("0.001s", "0.002s"))]
    with pytest.raises(DefinitionError) as refused:
        await check(document)
    (problem,) = refused.value.problems
    assert problem.field == "envoy_patches[1]"
    assert "fill timer must be >= 50ms" in problem.message
    await check(document, envoy=None)


async def test_they_have_to_be_allowed() -> None:
    with pytest.raises(DefinitionError, match="not allowed"):
        await check(example(), allowed=False)


async def test_a_gateway_that_stays_as_it_is_is_not_tried_again(tmp_path: Path) -> None:
    """A binary that would say no is not run."""
    refusing = tmp_path / "envoy"
    refusing.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    refusing.chmod(0o755)
    after = Definitions().apply(parse_documents(yaml.safe_dump(example()).encode())).definitions
    await PatchCheck(True, refusing).check(after, after, {}, ServiceNames().resolve, labelled=False)
