"""A kind is declared once: one that is made up here is in stores, REST, OpenAPI, the command and export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from controlplane.cli.main import app
from controlplane.model import fields
from controlplane.model.documents import Document
from controlplane.model.kinds import KINDS, Kind, key_of
from controlplane.model.parsing import parse_document
from controlplane.store.nacos import items
from controlplane.store.sqlite import SQLiteStore
from tests.cli.conftest import serve

GATEWAY = {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]}
NOTE = {"kind": "Note", "gateway": "edge", "name": "closed", "text": "on Sundays", "pinned": True}


class Note(Document):
    kind: Literal["Note"] = "Note"
    gateway: fields.Name
    name: fields.Name
    text: str
    pinned: bool = False


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(
        Note,
        words="note",
        plural="notes",
        parameter="note",
        aliases=("memo",),
        parent="Gateway",
        owner="gateway",
        columns=("gateway", "name", "text"),
        wide=("pinned",),
    )
    monkeypatch.setitem(KINDS, "Note", kind)


@pytest.fixture
def url(_declared: None) -> Iterator[str]:
    for address, _ in serve():
        yield address


def command(url: str, *arguments: str, stdin: str = "") -> str:
    result = CliRunner().invoke(app, [*arguments, "--server", url], stdin, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_rest(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as http:
        assert http.put("/v1/gateways/edge/notes/closed", json={"text": "x"}).status_code == 404
        assert http.put("/v1/gateways/edge", json=GATEWAY).status_code == 201
        assert http.put("/v1/gateways/edge/notes/closed", json=NOTE).status_code == 201
        refused = http.put("/v1/gateways/edge/notes/closed", json={"txt": "x"})
        assert refused.json()["errors"][0]["field"] in ("text", "txt")
        assert http.get("/v1/gateways/edge/notes").json()["items"] == [{**NOTE, "status": {}}]
        assert http.delete("/v1/gateways/edge").status_code == 204
        assert http.get("/v1/gateways/edge/notes/closed").status_code == 404
        assert http.get("/metrics").status_code == 200


def test_openapi(url: str) -> None:
    described = httpx.get(f"{url}/openapi.json", trust_env=False).json()
    operations = described["paths"]["/v1/gateways/{gateway}/notes/{note}"]
    assert operations["put"]["summary"] == "Create or replace a note"
    schemas = described["components"]["schemas"]
    assert schemas["NoteBody"]["required"] == ["text"]
    assert "Note" in schemas["AnyDocument"]["discriminator"]["mapping"]


def test_command_and_export(url: str) -> None:
    both = yaml.safe_dump_all([NOTE, GATEWAY])
    assert "Note/closed" in command(url, "apply", "-f", "-", stdin=both)
    table = command(url, "get", "memo", "-o", "wide")
    assert "on Sundays" in table
    assert "yes" in table.splitlines()[-1]
    assert json.loads(command(url, "get", "note", "closed", "-o", "json"))["text"] == "on Sundays"
    exported = list(yaml.safe_load_all(command(url, "export")))
    assert exported[-1] == NOTE
    command(url, "delete", "-f", "-", stdin=both)
    assert command(url, "export") == ""


async def test_stores(tmp_path: Path) -> None:
    documents = [parse_document(GATEWAY), parse_document(NOTE)]
    first = SQLiteStore(tmp_path / "definitions.db")
    await first.open()
    stored = await first.change(lambda now: now.change(documents))
    await first.close()
    again = SQLiteStore(tmp_path / "definitions.db")
    await again.open()
    assert again.current.definitions == stored.definitions
    await again.close()
    written = f"1-{'0' * 16}"
    index = items.Index(1, {key_of(one): written for one in stored.definitions.documents()}, (written,))
    assert items.decode_index(items.encode_index(index)) == index
