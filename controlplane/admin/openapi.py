"""The OpenAPI description, made of the models of documents and of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from controlplane.admin import answers, proxy_answers, traffic_answers
from controlplane.admin.answers import STATUSES, Status
from controlplane.admin.bodies import JSON, MERGE_PATCH, YAML
from controlplane.admin.control import ExplainRequest
from controlplane.admin.deployment_answers import ScaledDown
from controlplane.admin.explained import Explained
from controlplane.admin.problems import MEDIA_TYPE
from controlplane.admin.promotion_answers import PromoteRequest, Promotion
from controlplane.admin.release_answers import RELEASES
from controlplane.admin.sessions import Session
from controlplane.admin.way_answers import ASKED_OF_WAYS, WAYS
from controlplane.model.fields import NAME
from controlplane.model.kinds import KINDS

Schema = dict[str, Any]
ASKED = (ExplainRequest, PromoteRequest, *ASKED_OF_WAYS)
"""What bodies of requests hold besides documents."""
TEXT: Schema = {"type": "string"}
EVENTS = "text/event-stream"
CONTINUE: Schema = {**TEXT, "description": "For the next page; absent on the last one"}


ANSWERS: list[type[BaseModel]] = [
    answers.Problem,
    answers.NotReady,
    answers.Applied,
    answers.Warnings,
    answers.Deleted,
    answers.Effect,
    answers.Restored,
    answers.Service,
    answers.Services,
    proxy_answers.Proxies,
    proxy_answers.Configurations,
    answers.Matches,
    Explained,
    Promotion,
    ScaledDown,
    answers.Revision,
    answers.Revisions,
    answers.Ready,
    answers.Alive,
    Session,
    *RELEASES,
]
"""The bodies that operations name; what these are made of comes with them."""


def reference(name: str) -> Schema:
    """A reference to the schema `name`."""
    return {"$ref": f"#/components/schemas/{name}"}


def items(name: str) -> Schema:
    """A collection of documents of the kind `name`."""
    return {
        "type": "object",
        "properties": {"items": {"type": "array", "items": reference(name)}, "continue": CONTINUE},
        "required": ["items"],
        "additionalProperties": False,
    }


def answer(schema: Schema, description: str, media: str = JSON, **headers: str) -> Schema:
    """A response for `responses=`. `headers`: names (with _ for -) and descriptions."""
    found: Schema = {"description": description, "content": {media: {"schema": schema}}}
    if headers:
        found["headers"] = {
            name.replace("_", "-"): {"description": text, "schema": TEXT} for name, text in headers.items()
        }
    return found


def either(description: str, *media: str) -> Schema:
    """A response of text for `responses=`, in the form that `Accept` asks for."""
    return {"description": description, "content": {one: {"schema": TEXT} for one in media}}


def failures(*statuses: int) -> dict[int | str, Schema]:
    """Problem responses for `responses=`. All other errors are problems, too."""
    named = {
        status: {"description": WHY[status], "content": {MEDIA_TYPE: {"schema": reference("Problem")}}}
        for status in statuses
    }
    return {
        **named,
        "default": {"description": "Problem", "content": {MEDIA_TYPE: {"schema": reference("Problem")}}},
    }


def listed(schema: Schema) -> Schema:
    """The response of a collection: one page of it, all of it, or a watch."""
    found = answer(schema, "All of them, or a page; with `watch` events", ETag="A weak entity tag")
    return {**found, "content": {**found["content"], EVENTS: {"schema": {}}}}


UNCHANGED: dict[int | str, Schema] = {304: {"description": "What If-None-Match names is still what there is"}}
IF_NONE_MATCH: list[Schema] = [
    {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "schema": TEXT,
        "description": "ETag of an earlier answer: 304 if nothing has changed since",
    }
]


def patch(model: type[BaseModel], description: str) -> Schema:
    """The body of a merge patch for `openapi_extra`: fields of `model`, null to take one away."""
    fields: Schema = {name: {} for name in (*model.model_fields, "status")}
    schema: Schema = {"type": "object", "properties": fields, "additionalProperties": False}
    content = {media: {"schema": schema} for media in (MERGE_PATCH, JSON, YAML)}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def path_parameter(name: str) -> Schema:
    """A parameter of the path that any text may be."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


WHY = {
    400: "The body cannot be read",
    401: "A token is needed",
    404: "Absent, or the parent in the URL is",
    409: "In conflict with what is defined",
    412: "If-Match or If-None-Match does not hold",
    413: "The body is too large",
    415: "Neither JSON nor YAML",
    422: "The body can be read, but a field of it cannot be used",
    503: "The store is not loaded yet, or cannot be written now",
}


def body(schema: Schema, description: str) -> Schema:
    """A request body for `openapi_extra`, as JSON or YAML."""
    content = {media: {"schema": schema} for media in (JSON, YAML)}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def _schemas(models: Iterable[type[BaseModel]], mode: JsonSchemaMode) -> dict[str, Schema]:
    _, top = models_json_schema(
        [(model, mode) for model in models], ref_template="#/components/schemas/{model}"
    )
    return dict(top["$defs"])


def _document_schemas() -> dict[str, Schema]:
    schemas = _schemas([*(kind.model for kind in KINDS.values()), *ASKED], "validation")
    schemas |= _schemas([Status, *STATUSES.values()], "serialization")
    for kind in KINDS:
        full = schemas[kind]
        status = reference(STATUSES.get(kind, Status).__name__)
        named = {"kind", "name", KINDS[kind].owner}
        # Of the status of a document that is sent, the slots alone are read.
        slots = schemas[STATUSES.get(kind, Status).__name__].get("properties", {}).get("slots")
        given: Schema = {"type": "object"} | ({"properties": {"slots": slots}} if slots else {})
        input_fields = {**full["properties"], "status": {"anyOf": [given, {"type": "null"}]}}
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


def add_route(app: FastAPI, tokens: bool) -> None:
    """Serve the OpenAPI document of `app`. It is encoded once, because that takes milliseconds."""
    encoded = b""

    async def document(_: Request) -> Response:
        nonlocal encoded
        encoded = encoded or json.dumps(describe(app, tokens), separators=(",", ":")).encode()
        return Response(encoded, media_type=JSON)

    app.add_route("/openapi.json", document, include_in_schema=False)


def describe(app: FastAPI, tokens: bool) -> dict[str, Any]:
    """The OpenAPI document of `app`, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = made.setdefault("components", {})
        every = [*ANSWERS, *WAYS, *traffic_answers.ANSWERS]
        components["schemas"] = {**_schemas(every, "serialization"), **_document_schemas()}
        components["securitySchemes"] = {"token": TOKEN}
        made["security"] = [{"token": []}] if tokens else [{}, {"token": []}]
        for path in ("/healthz", "/readyz"):
            made["paths"][path]["get"]["security"] = []
        app.openapi_schema = made
    return app.openapi_schema


TOKEN: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the file that `laneway serve --admin-tokens` names; without that file none is "
    "asked for",
}
NAME_SCHEMA: Schema = {"pattern": NAME}
