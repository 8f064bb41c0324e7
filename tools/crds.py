"""The CustomResourceDefinitions of all kinds, from the models: deploy/kubernetes/crds/.

python tools/crds.py          # writes them (`make crds`)
python tools/crds.py --check  # fails if what is written is not current
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from controlplane.model.kinds import KINDS, Kind
from controlplane.store.kubernetes.resources import GROUP, VERSION, plural_of

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "kubernetes" / "crds"
ABOUT = "# Made by `make crds` from the models of Laneway: do not edit.\n"

Json = dict[str, Any]

KEPT = (
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "pattern",
    "enum",
)
"""Keywords that mean the same in structural schemas. `multipleOf` is not: it compares binary fractions."""
ANYTHING: Json = {"x-kubernetes-preserve-unknown-fields": True}


def structural(schema: Json, defs: Json) -> Json:
    """A JSON Schema of pydantic as Kubernetes takes it: without references, null and types in alternatives.

    Where several types are possible, anything passes; the control plane checks it, and says so in the status.
    Defaults are left out: what an object does not give must stay absent.
    """
    if "$ref" in schema:
        found = structural(defs[schema["$ref"].rpartition("/")[2]], defs)
        return found | _described(schema)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _alternatives(
                [one for one in schema[word] if one.get("type") != "null"], defs
            ) | _described(schema)
    made: Json = _described(schema)
    kind = schema.get("type")
    if kind is None:
        return made | ANYTHING
    made["type"] = kind
    made |= {word: schema[word] for word in KEPT if word in schema}
    if "const" in schema:
        made["enum"] = [schema["const"]]
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if word in schema:
            made |= {bound: schema[word], word: True}
    if kind == "array":
        made["items"] = structural(schema.get("items", {}), defs)
    if kind == "object":
        made |= _object(schema, defs)
    return made


def _described(schema: Json) -> Json:
    text = schema.get("description")
    return {"description": " ".join(str(text).split())} if text else {}


def _alternatives(found: list[Json], defs: Json) -> Json:
    made = [structural(one, defs) for one in found]
    if len(made) == 1:
        return made[0]
    types = {one.get("type") for one in made}
    if len(types) == 1 and None not in types and types != {"object"}:
        return {"type": types.pop()}
    return dict(ANYTHING)


def _object(schema: Json, defs: Json) -> Json:
    if properties := schema.get("properties"):
        made: Json = {"properties": {name: structural(one, defs) for name, one in properties.items()}}
        return made | ({"required": schema["required"]} if schema.get("required") else {})
    patterns = list(schema.get("patternProperties", {}).values())
    more = schema.get("additionalProperties")
    if not patterns and isinstance(more, dict):
        patterns = [more]
    return {"additionalProperties": structural(patterns[0], defs)} if len(patterns) == 1 else dict(ANYTHING)


def spec(kind: Kind) -> Json:
    """The schema of a kind's spec: its document without `kind` and what the control plane alone writes."""
    schema = kind.model.model_json_schema()
    made = structural(schema, schema.get("$defs", {}))
    for name in ("kind", *kind.written):
        made["properties"].pop(name, None)
    made["properties"]["name"]["description"] = "The name of the object, unless it is given."
    made["required"] = [name for name in made.get("required", ()) if name != "name"]
    if not made["required"]:
        del made["required"]
    made["properties"] = dict(sorted(made["properties"].items()))
    return made


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
STATUS: Json = {
    "type": "object",
    "description": "What the control plane says of it. Only one of several control planes writes it.",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "conditions": {
            "type": "array",
            "description": "Accepted: the spec is in force; if it is False, what was accepted last is.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "required": ["type", "status", "reason", "message", "lastTransitionTime"],
                "properties": {
                    "type": _TEXT,
                    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "reason": _TEXT,
                    "message": _TEXT,
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                    "observedGeneration": {"type": "integer", "format": "int64"},
                },
            },
        },
        "observedGeneration": {"type": "integer", "format": "int64"},
        "warnings": {"type": "array", "items": _TEXT},
        "instances": {
            "type": "object",
            "description": "Of a lane: the instances with its tag, and the services that have none.",
            "properties": {"tagged": _NUMBER, "base": _NUMBER, "services": _NUMBER, "fallback": _NUMBER},
        },
        "proxies": {
            "type": "object",
            "description": "Connected to the control plane that writes the status: all that it concerns, and "
            "those that have acknowledged everything.",
            "properties": {"concerned": _NUMBER, "current": _NUMBER},
        },
    },
}


def columns(kind: Kind, schema: Json) -> list[Json]:
    """The columns of `kubectl get`: the plain fields that the kind's table shows, then the status."""
    made: list[Json] = []
    for wide, names in ((0, kind.columns), (1, kind.wide)):
        for name in names:
            of = schema["properties"].get(name, {}).get("type")
            if name != "name" and of in ("string", "integer", "boolean", "number"):
                title = name.replace("_", " ").title()
                made.append({"name": title, "type": of, "jsonPath": f".spec.{name}", "priority": wide})
    if "ratio" in schema["properties"]:
        made.append({"name": "Percent", "type": "number", "jsonPath": ".spec.ratio.percent"})
        made.append({"name": "Tagged", "type": "integer", "jsonPath": ".status.instances.tagged"})
    if kind.written:
        made.append({"name": "Phase", "type": "string", "jsonPath": ".status.progress.phase"})
    accepted = '.status.conditions[?(@.type=="Accepted")]'
    made.append({"name": "Accepted", "type": "string", "jsonPath": f"{accepted}.status"})
    made.append({"name": "Reason", "type": "string", "jsonPath": f"{accepted}.reason", "priority": 1})
    made.append({"name": "Proxies", "type": "integer", "jsonPath": ".status.proxies.current", "priority": 1})
    made.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    return [{name: value for name, value in one.items() if value != 0} for one in made]


def definition(kind: Kind) -> Json:
    """The CustomResourceDefinition of a kind."""
    of = spec(kind)
    schema = {
        "type": "object",
        "description": f"{kind.one.capitalize()} of Laneway.",
        "required": ["spec"],
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object"},
            "spec": of,
            "status": STATUS,
        },
    }
    return _definition(kind.name, plural_of(kind.name), schema, columns(kind, of), {"status": {}})


def revision() -> Json:
    """The CustomResourceDefinition of the history: objects that the control plane alone writes."""
    fields = {
        "number": _NUMBER,
        "at": {"type": "number", "description": "Seconds since the epoch."},
        "author": _TEXT,
        "note": _TEXT,
        "what": _TEXT,
        "diff": _TEXT,
        "changes": {
            "type": "string",
            "description": "JSON of each document before and after; empty if too large.",
        },
    }
    schema = {
        "type": "object",
        "description": "One change of Laneway's definitions. Only the control plane writes these.",
        "required": ["spec"],
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object"},
            "spec": {"type": "object", "required": ["number"], "properties": fields},
        },
    }
    shown = [("Number", "integer", "number"), ("Author", "string", "author"), ("What", "string", "what")]
    made = [{"name": title, "type": of, "jsonPath": f".spec.{name}"} for title, of, name in shown]
    made.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    return _definition("Revision", "revisions", schema, made, {})


def _definition(kind: str, plural: str, schema: Json, shown: list[Json], subresources: Json) -> Json:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": shown,
    }
    if subresources:
        version["subresources"] = subresources
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    if kind in KINDS:
        names["categories"] = ["laneway"]  # pyright: ignore[reportArgumentType]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def files() -> dict[Path, str]:
    """What belongs into each file."""
    made = [definition(kind) for kind in KINDS.values()] + [revision()]
    return {
        FOLDER / f"{one['metadata']['name'].partition('.')[0]}.yaml": ABOUT
        + yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=110)
        for one in made
    }


def stale() -> list[str]:
    """The names of files that are not what the models say, those that should not be there included."""
    wanted = files()
    there = set(FOLDER.glob("*.yaml"))
    wrong = [one for one, text in wanted.items() if one not in there or one.read_text() != text]
    return sorted(one.name for one in [*wrong, *(there - wanted.keys())])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    if parser.parse_args().check:
        for name in (wrong := stale()):
            print(f"{name} is not current: run `make crds`", file=sys.stderr)
        return 1 if wrong else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for other in set(FOLDER.glob("*.yaml")) - wanted.keys():
        other.unlink()
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
