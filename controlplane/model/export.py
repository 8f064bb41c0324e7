"""Definitions as canonical text: equal definitions give equal bytes, and `apply` accepts the text."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from controlplane.model.definitions import AnyKind, Definitions

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def shown(definitions: Definitions, document: AnyKind) -> dict[str, Any]:
    """`document` as REST shows it: every field with its value, and `status`."""
    return document.model_dump(mode="json") | {"status": definitions.status_of(document)}


def export(definitions: Definitions) -> str:
    """Every definition as one YAML stream; of `status` only the slots, which `apply` restores."""
    return "".join(f"---\n{document_text(definitions, document)}" for document in definitions.documents())


def document_text(definitions: Definitions, document: AnyKind) -> str:
    """One document as YAML, as `export` writes it."""
    value = shown(definitions, document)
    kept = {name: part for name, part in value.pop("status").items() if name == "slots"}
    if kept:
        value["status"] = kept
    text = yaml.dump(value, Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=10_000)
    if not text.replace("\n", "").isprintable():  # it may be read on a terminal
        text = yaml.dump(value, Dumper=DUMPER, sort_keys=False, width=10_000)
    return text


def etag(document: AnyKind) -> str:
    """A quoted entity tag: a hash of the document alone, so that it is equal on every replica, and stays when
    another change moves the document's status.
    """
    text = json.dumps(document.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
