"""The OpenAPI description: schemas of documents, of what is observed, and of problems."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from controlplane.admin.bodies import JSON, YAML
from controlplane.admin.control import ExplainRequest
from controlplane.admin.problems import MEDIA_TYPE
from controlplane.model.fields import NAME
from controlplane.model.kinds import KINDS
from controlplane.registry.types import SourceState

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}


def reference(name: str) -> Schema:
    """A reference to the schema `name`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _object(closed: bool = True, optional: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": not closed,
    }


STATUS: Schema = {
    "type": "object",
    "description": "What the control plane adds. Not read, but for the slots of a lane that has none.",
}
LANE_STATUS: Schema = STATUS | {
    "properties": {
        "warnings": _list(TEXT),
        "slots": {
            "type": "object",
            "description": "By base route: ranges [start, end] of 0-9999, end exclusive.",
            "additionalProperties": _list(
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": 10_000},
                    "minItems": 2,
                    "maxItems": 2,
                }
            ),
        },
    },
}
INSTANCE = _object(
    address=TEXT,
    port=COUNT,
    tag=MAYBE_TEXT,
    application=TEXT,
    health={"type": "string", "enum": ["healthy", "unhealthy"]},
    weight={"type": "number"},
    held=FLAG,
    metadata={"type": "object", "additionalProperties": TEXT},
)
PROBLEM = _object(
    type=TEXT,
    title=TEXT,
    status={"type": "integer"},
    detail=TEXT,
    errors=_list(
        _object(
            optional=("document",),
            field=TEXT,
            value={"type": ["string", "number", "boolean", "null"]},
            message=TEXT,
            remedy=TEXT,
            document=TEXT,
        )
    ),
)
SOURCES = _list(reference("Source"))
SCHEMAS: dict[str, Schema] = {
    "Problem": PROBLEM,
    "NotReady": PROBLEM
    | {
        "properties": {**PROBLEM["properties"], "store": reference("Store"), "sources": SOURCES},
        "required": [*PROBLEM["required"], "store", "sources"],
    },
    "Applied": _object(created=_list(TEXT), changed=_list(TEXT), unchanged=_list(TEXT)),
    "Service": _object(
        service=TEXT,
        source=TEXT,
        updated=MAYBE_TEXT,
        held=FLAG,
        protocol=MAYBE_TEXT,
        instances=_list(INSTANCE),
        refused=_list(_object(address=TEXT, port=COUNT, reason=TEXT)),
        conflicts=_list(TEXT),
        warnings=_list(TEXT),
    ),
    "Services": _object(items=_list(reference("Service")), sources=SOURCES),
    "Source": _object(
        name=TEXT,
        version=MAYBE_TEXT,
        state={
            "type": "string",
            "enum": [state.value for state in SourceState],
            "description": "waiting: not everything was heard yet; complete; incomplete: heard, but some of "
            "it cannot be used; stale: cannot be heard, what it said last is served",
        },
        problem=MAYBE_TEXT,
        unreachable_since=MAYBE_TEXT,
        updated=MAYBE_TEXT,
        age={"type": ["integer", "null"], "minimum": 0, "description": "Seconds since `updated`"},
        services=COUNT,
        instances=COUNT,
        held_services=COUNT,
        held_instances=COUNT,
    ),
    "Proxy": _object(
        closed=False,
        optional=("drift",),
        node=TEXT,
        cluster=TEXT,
        role=TEXT,
        envoy=TEXT,
        variant=TEXT,
        connected=TEXT,
        types={"type": "object"},
        held=_list(_object(type=TEXT, name=TEXT, version=TEXT, node=TEXT, nack={"type": "object"})),
        warnings=_list(TEXT),
        drift=_list({"type": "object"}),
    ),
    "Matches": _object(
        applications=_list(
            _object(
                application=TEXT,
                services=_list(_object(service=TEXT, tagged=_list(TEXT), base=COUNT, fallback=FLAG)),
            )
        )
    ),
    "Explained": _object(
        closed=False,
        optional=("candidates", "path", "removed_headers", "evaluated_left_out"),
        route=MAYBE_TEXT,
        lane=MAYBE_TEXT,
        reason=TEXT,
        path=TEXT | {"description": "The path that routes match and the application gets"},
        removed_headers=_list(TEXT)
        | {"description": "Names of the request's headers that no application gets"},
        evaluated=_list({"type": "object"}),
        evaluated_left_out=COUNT | {"description": "Lanes that were looked at and are not listed"},
        hops=_list({"type": "object"}),
        candidates=_list(_object(lane=MAYBE_TEXT, share={"type": "number"})),
    ),
    "Revision": _object(revision=COUNT, at=MAYBE_TEXT, who=TEXT, note=TEXT, what=_list(TEXT), diff=TEXT),
    "Ready": _object(ready=FLAG, waiting=_list(TEXT), store=reference("Store"), sources=SOURCES),
    "Store": _object(
        problem=MAYBE_TEXT
        | {"description": "Why the store cannot be read now; the definitions known last are served"}
    ),
}


def items(name: str) -> Schema:
    """A collection of `name`."""
    return _object(items=_list(reference(name)))


def answer(schema: Schema, description: str, media: str = JSON, **headers: str) -> Schema:
    """A response for `responses=`; `headers` are names (with _ for -) and what they say."""
    found: Schema = {"description": description, "content": {media: {"schema": schema}}}
    if headers:
        found["headers"] = {
            name.replace("_", "-"): {"description": text, "schema": TEXT} for name, text in headers.items()
        }
    return found


def failures(*statuses: int) -> dict[int | str, Schema]:
    """Problem responses for `responses=`; any other error is a problem, too."""
    named = {
        status: {"description": WHY[status], "content": {MEDIA_TYPE: {"schema": reference("Problem")}}}
        for status in statuses
    }
    return {
        **named,
        "default": {"description": "Problem", "content": {MEDIA_TYPE: {"schema": reference("Problem")}}},
    }


WHY = {
    400: "The body cannot be read",
    401: "A token is needed",
    404: "Absent, or the parent in the URL is",
    409: "In conflict with what is defined",
    412: "If-Match or If-None-Match does not hold",
    413: "The body is too large",
    415: "Neither JSON nor YAML",
    422: "The meaning is wrong",
    503: "The store cannot be written now",
}


def body(schema: Schema, description: str) -> Schema:
    """A request body for `openapi_extra`, as JSON or YAML."""
    content = {media: {"schema": schema} for media in (JSON, YAML)}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def _document_schemas() -> dict[str, Schema]:
    models: list[Any] = [*(kind.model for kind in KINDS.values()), ExplainRequest]
    _, top = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Schema] = dict(top["$defs"])
    for kind in KINDS:
        full = schemas[kind]
        status = LANE_STATUS if kind == "Lane" else STATUS
        named = {"kind", "name", KINDS[kind].owner}
        input_fields = {**full["properties"], "status": {"anyOf": [status, {"type": "null"}]}}
        required = full.get("required", [])
        # In a URL that names it, kind and names may be left out.
        schemas[f"{kind}Body"] = {
            **full,
            "title": f"{kind}Body",
            "properties": input_fields,
            "required": [name for name in required if name not in named],
        }
        schemas[f"{kind}Document"] = {
            **full,
            "title": f"{kind}Document",
            "properties": input_fields,
            "required": ["kind", *required],
        }
        schemas[kind] = {
            **full,
            "properties": {**full["properties"], "status": status},
            "required": ["kind", *required, "status"],
        }
    schemas["AnyDocument"] = {
        "oneOf": [reference(f"{kind}Document") for kind in KINDS],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {kind: f"#/components/schemas/{kind}Document" for kind in KINDS},
        },
    }
    return schemas


def describe(app: FastAPI, tokens: bool) -> dict[str, Any]:
    """The OpenAPI document of `app`, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = made.setdefault("components", {})
        components["schemas"] = {**SCHEMAS, **_document_schemas()}
        if tokens:
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"token": []}]
            for path in ("/healthz", "/readyz"):
                made["paths"][path]["get"]["security"] = []
        app.openapi_schema = made
    return app.openapi_schema


NAME_SCHEMA: Schema = {"pattern": NAME}
