"""Every field of every document wrong in turn: a problem with field, value and remedy, nothing changed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml

from controlplane.model.kinds import KINDS
from controlplane.model.parsing import parse_document
from tests.admin.conftest import GROUP, SmallControl
from tests.model.full import FULL, OPTIONAL
from tests.model.ways import Path, changed, given_in, models_in, nodes, text, without

YAML = {"content-type": "application/yaml"}
ANY_TEXT = {"service", "services", "value", "regex", "set", "add", "body", "content_type"}

REQUIRED = {"listeners", "port", "service", "applications", "tag", "rule", "ratio", "percent", "conditions"}
REQUIRED |= {
    "source",
    "operator",
    "value",
    "time_zone",
    "lane",
    "steps",
    "measure",
    "quantile",
    "when",
    "url",
    "prometheus",
    "query",
}
ALSO_REQUIRED = {("cors", "allow_origins"), ("respond", "status"), ("redirect",), ("respond",)}
ALSO_REQUIRED |= {("rewrite", "regex"), ("rewrite", "substitution")}
DEFAULTED = {("retries", "conditions"), ("source",)}
ONE_OF = {"prefix", "exact", "regex", "header", "cookie", "client_address", "grpc", "tcp"}

WRITTEN = {"Progress", "Decision", "Finding", "Target"}
"""Parts of documents that the control plane writes."""


def fields(document: Any) -> list[Path]:
    return [path for path, _ in nodes(document) if isinstance(path[-1], str)]


def at(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


def wrong_values(name: str, path: Path) -> list[Any]:
    """Values that the field cannot have, by what it has."""
    value, field = at(FULL[name][1], path), path[-1]
    if path[0] == "envoy_patches" and field == "value":
        return [None]  # whatever stands there is Envoy's to judge
    wrong: list[Any] = [[[]], {"x": {"y": 1}}, 10**17, -(10**17)]
    if isinstance(value, str):
        wrong += [True, "x" * 5000] + ([] if field == "body" else ["a\r\nb"])
        wrong += [] if {"value", "substitution", "body", "grpc"} & set(path) else [""]
        query = field == "name" and ("query" in path or at(FULL[name][1], path[:-1]).get("source") == "query")
        any_text = query or (ANY_TEXT | {"envoy_patches"}) & set(path)
        wrong += [] if any_text or field in ("reason", "query") else ["ä ö"]
    elif isinstance(value, bool):
        wrong += ["true", 0, "yes"]
    else:
        wrong += [True, "30", ""]
        wrong += (
            [[]]
            if isinstance(value, list)
            and field not in ("hosts", "services", "remove", "callers", "checks", "hooks")
            else []
        )
        wrong += [] if field in ("value", "min", "max", "above_base", "quantile") else [0.001]
    optional = field in OPTIONAL or (path[0], field) in (("envoy_patches", "name"), ("source", "source"))
    return wrong + ([] if optional else [None])


@pytest.fixture
async def filled(flow: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client of a control plane that has every document of FULL, one of each name."""
    assert (await flow.put("/v1/lane-groups/spring-sale", json=GROUP)).is_success
    for path, document in FULL.values():
        answer = await flow.put(path, json=document)
        assert answer.is_success, answer.text
    return flow


def check(answer: httpx.Response, field: str, label: str = "") -> dict[str, Any]:
    """The error of the field; every error says what and what to do, and is about the field or in it."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors = answer.json()["errors"]
    assert errors
    for error in errors:
        assert error["message"], error
        assert error["remedy"], error
        assert error.get("document", "") == label
        # Where one of several has to be given, the object that holds them is named.
        inside = error["field"].startswith((field + ".", field + "[")) or error["field"] == field
        assert inside or field.rpartition(".")[0] == error["field"], error
    return errors[0]


def test_every_field_of_every_kind_is_tried() -> None:
    known = {
        (model.__name__, field)
        for kind in KINDS.values()
        for model in models_in(kind.model)
        for field in model.model_fields
        if model.__name__ not in WRITTEN and (model.__name__, field) != ("Release", "progress")
    }
    given = {pair for _, document in FULL.values() for pair in given_in(parse_document(document).document)}
    assert given == known


@pytest.mark.parametrize("name", FULL)
async def test_wrong_values(filled: httpx.AsyncClient, control: SmallControl, name: str) -> None:
    url, document = FULL[name]
    before = control.store.current
    label = f"{document['kind']}/{document['name']}"
    for path, _ in nodes(document):
        for wrong in wrong_values(name, path):
            broken = changed(document, path, wrong)
            error = check(await filled.put(url, json=broken), text(path))
            if error["field"] == text(path) and not isinstance(wrong, list | dict):
                shown = wrong[:200] + "…" if isinstance(wrong, str) and len(wrong) > 200 else wrong
                assert error["value"] == shown
            stream = yaml.safe_dump_all([{"kind": "Application", "name": "new"}, broken], sort_keys=False)
            applied = await filled.post("/v1/apply", content=stream, headers=YAML)
            if path[0] in ("kind", "name"):
                assert applied.status_code == 422  # what the document is called cannot be said
            else:
                said = check(applied, text(path), label)
                assert (said["field"], said["value"]) == (error["field"], error["value"])
    assert control.store.current is before


@pytest.mark.parametrize("name", FULL)
async def test_misspelt_fields_name_the_right_ones(
    filled: httpx.AsyncClient, control: SmallControl, name: str
) -> None:
    url, document = FULL[name]
    before = control.store.current
    for path in fields(document):
        if path[:-1] in (("ratio", "routes"), ("fallback",)) or path[-2:-1] in (("set",), ("add",)):
            continue  # keys there are names of routes, applications and headers, and no fields
        for misspelt in (f"{path[-1]}x", str(path[-1]).upper(), f"_{path[-1]}"):
            at_field = (*path[:-1], misspelt)
            answer = await filled.put(url, json=changed(document, at_field, at(document, path)))
            assert answer.status_code == 422
            error = next(one for one in answer.json()["errors"] if one["field"] == text(at_field))
            assert error["message"] == "is not a known field"
            assert error["remedy"] == f"did you mean {path[-1]}?"
    assert control.store.current is before


@pytest.mark.parametrize("name", FULL)
async def test_missing_fields(filled: httpx.AsyncClient, name: str) -> None:
    """A field has a default, or the URL says it, or a problem names it."""
    url, document = FULL[name]
    for path in fields(document):
        if path == ("trusted_hops",) and "keep_request_id" in document:
            continue  # which it needs
        if path[-1] == "tls" and "http3" in at(document, path[:-1]):
            continue  # likewise
        if path[-1] == "approval":
            continue  # persons and by_others belong to it
        if path[-1] == "secret":
            continue  # then a certificate is missing
        answer = await filled.put(url, json=without(document, path))
        field = str(path[-1])
        inner = field in ("name", "path") and len(path) > 1 and path != ("match", "path")
        one_of = field in ONE_OF and path[0] not in ("carriers", "headers", "redirect", "rewrite")
        required = (field in REQUIRED and path not in DEFAULTED) or path in ALSO_REQUIRED
        if path[:1] in (("redirect",), ("rewrite",)) and len(path) > 1:
            inner = one_of = False
            required = path in ALSO_REQUIRED
        if ("sni" in path and field == "hosts") or field in ("certificate", "key"):
            required, inner = True, False
        if path == ("access_log", "path"):  # otlp says where, too
            inner = one_of = False
        if path[0] in ("access_log", "tracing") and len(path) > 1 and field != "path":
            required, one_of = field in ("host", "collector"), False
        if path == ("health_check", "path"):
            inner, one_of = False, True
        if path[0] in ("health_check", "load_balancing") and field in ("service", "policy"):
            required = field == "policy"
        if "attributes" in path[:-1] or "http3" in path[:-1]:
            required = inner = False
        if path[0] == "envoy_patches" and len(path) > 1:
            inner, required = False, field != "name"
        if path[-1] == "hash_by":
            inner, required = False, True
        if path[0] == "match" and field in ("headers", "query", "operator"):
            required = one_of = False
        if not (required or inner or one_of or (field, name) == ("gateway", "lane group")):
            assert answer.is_success, answer.text
            continue
        if path == ("ratio",):
            path = ("rule",)  # one of the two has to be there
        if path in (("redirect",), ("respond",)):
            path = ("service",)  # one of the three
        error = check(answer, text(path[:-1] if one_of else path))
        if one_of or path in (("rule",), ("service",)):
            assert "exactly one of" in error["remedy"]
        else:
            assert error["message"].startswith("is missing")
