"""What others say is made printable wherever it is shown: one function, and all ways out go through it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from controlplane.admin.proxy_answers import Proxy
from controlplane.cli import output
from controlplane.cli.options import Output
from controlplane.model.definitions import Definitions
from controlplane.model.export import export
from controlplane.model.loading import load_yaml
from controlplane.model.parsing import parse_documents
from controlplane.printable import printable
from tests.admin.conftest import PROXY
from tests.cli.conftest import Control
from tests.cli.run import laneway

# A title, colours, a cleared screen, a link, 8-bit CSI, a reversed name, a forged line, markup of rich.
SHOWN = "[red]x[/red] [/] :smile:"
EVIL = f"\x1b]0;owned\x07\x1b[2J\x1b[31m\x1b]8;;http://x\x1b\\\x9b1m\u202egnp\r\nforged \x7f {SHOWN}"


def harmless(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


@given(st.text())
def test_all_that_is_left_is_printable(text: str):
    assert printable(text).isprintable()
    assert printable(text, keep="\n").replace("\n", "").isprintable()
    if text.isprintable():
        assert printable(text) == text


def test_what_it_looks_like():
    assert printable("a\x1b[31m\x9b\u202e\U000e0001é中") == "a\\x1b[31m\\x9b\\u202e\\U000e0001é中"


Admin = tuple[str, Control]


def test_the_command_shows_what_proxies_say(admin: Admin):
    url, control = admin
    evil: dict[str, Any] = PROXY | {
        "node": EVIL,
        "cluster": EVIL,
        "warnings": [EVIL],
        "types": {
            "route": {"sent": "1", "acked": "", "nack": {"version": "1", "message": EVIL, "at": "now"}}
        },
    }
    control.proxies = lambda node=None: [Proxy.model_validate(evil)]  # type: ignore[method-assign]
    for command in (
        ["proxies"],
        ["proxies", "x"],
        ["get", "proxies", "-o", "wide"],
        ["describe", "proxy", "x"],
    ):
        text = laneway(*command, "--server", url, COLUMNS="400")
        assert harmless(text), command
        assert SHOWN in text.replace("\n", ""), command
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        text = laneway("proxies", "-o", form, "--server", url)
        assert harmless(text)
        assert read(text)["items"][0]["node"] == EVIL, "a machine reads what it was"


def test_the_command_shows_problems(admin: Admin):
    text = laneway("get", "lanes", EVIL.replace("\0", ""), "--server", admin[0], code=1)
    assert harmless(text)
    text = laneway("explain", "--gateway", EVIL, "--server", admin[0], code=1)
    assert harmless(text)
    assert SHOWN in text
    assert harmless(laneway("get", EVIL, "--server", admin[0], code=2))
    assert harmless(laneway("serve", "--xds", EVIL, code=2))


def test_what_is_caught_at_last(capsys: pytest.CaptureFixture[str]):
    """A text that was not made printable before it was printed, with styles and without."""
    out = output.console()
    out.print(EVIL)
    out.print(Text(EVIL, style="red"))
    out.print(output.table([EVIL], [[EVIL]], title=EVIL))
    output.notice(EVIL)
    with pytest.raises(typer.Exit):
        output.fail(EVIL)
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert harmless(text)
        assert SHOWN in text


@given(
    st.recursive(st.text(max_size=20) | st.integers(), lambda one: st.lists(one, max_size=3), max_leaves=6)
)
def test_machines_read_what_it_was(value: Any):
    for form, read in ((Output.JSON, json.loads), (Output.YAML, yaml.safe_load)):
        text = output.dump({"a": value}, form)
        assert harmless(text)
        assert read(text) == {"a": value}


def test_an_export_is_printable_and_the_same():
    application = {"kind": "Application", "name": "a", "services": ["sc-\u202eA\x9b", "服务"]}
    definitions = Definitions().apply(parse_documents(json.dumps(application).encode())).definitions
    text = export(definitions)
    assert harmless(text)
    (document,) = load_yaml(text.encode())
    assert document["services"] == application["services"]
    application["services"] = ["服务"]
    definitions = Definitions().apply(parse_documents(json.dumps(application).encode())).definitions
    assert "服务" in export(definitions), "what is printable stays readable"


LOGGING = """
import logging, sys
import structlog
from controlplane.app import logs
evil = sys.argv[2]
logs.configure(sys.argv[1], "info")
log = structlog.get_logger("x")
log.info(evil, node=evil, many=[evil], **{"key" + evil: 1})
logging.getLogger("library").warning("said %s", evil)
log.info("long", text="x" * 100_000)
try:
    raise ValueError(evil)
except ValueError:
    log.exception("failed")
    logging.getLogger("library").exception("failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_log(form: str):
    done = subprocess.run(
        [sys.executable, "-c", LOGGING, form, EVIL], capture_output=True, text=True, check=True, timeout=60
    )
    assert harmless(done.stderr)
    assert len(done.stderr) < 20_000
    assert "(100000 characters)" in done.stderr
    lines = done.stderr.splitlines()
    if form == "json":
        assert [json.loads(line)["level"] for line in lines] == ["info", "warning", "info", "error", "error"]
    else:
        inside = lines.index("Traceback (most recent call last):")
        assert inside == 4, "no line was forged"
