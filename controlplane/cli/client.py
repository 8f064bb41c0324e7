"""The REST client of the commands: one connection to the admin API, and errors printed for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import fail, line, notice, problem_lines, say

if TYPE_CHECKING:
    import ssl

    import httpx

    from controlplane.net.client_tls import ClientTls

YAML = "application/yaml"
TIMEOUT_S = 30.0
READ_ONLY = "x-laneway-read-only"


def segment(name: str) -> str:
    """`name` as one segment of a path."""
    return quote(name, safe="")


@dataclass(frozen=True, slots=True)
class Trust:
    """Files in PEM form: the CA of the control plane's certificate, and the caller's own certificate."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def read(self) -> ClientTls:
        """What connections by TLS are made with. Ends the command where a file cannot be used."""
        from controlplane.net.client_tls import ClientTls

        def say(files: Sequence[str], reason: str) -> None:
            notice(f"cannot use {', '.join(files)}: {reason}; the former ones stay")

        try:
            return ClientTls(self.ca, self.certificate, self.key, say)
        except (OSError, ValueError) as error:
            files = ", ".join(str(one) for one in (self.ca, self.certificate, self.key) if one is not None)
            fail(f"cannot use {files}: {error}", Exit.USAGE)


TRUST: ContextVar[Trust] = ContextVar("TRUST", default=Trust())  # noqa: B039 - it is immutable
"""What the options before the command say."""


class Client:
    """Calls to one control plane. Every method ends the command with a message if the call fails. A command
    that follows goes on when the files of its `Trust` are replaced.
    """

    def __init__(self, server: str, token: str = "") -> None:
        import httpx

        from controlplane.net.credentials import bearer

        self._tls = TRUST.get().read()
        self._server = server if "://" in server else f"http://{server}"
        if "@" in self._server:
            fail("--server takes no user or password: give a token with --token or LANEWAY_TOKEN", Exit.USAGE)
        try:
            self._headers = bearer(token)
        except ValueError as error:
            fail(f"{error}: check --token and LANEWAY_TOKEN", Exit.USAGE)
        self._noticed = ""
        self._watches: set[httpx.Client] = set()
        self._context = self._tls.context()
        try:
            self._http = self._made(self._context)
        except httpx.InvalidURL as error:
            fail(f"--server {server!r} is not a URL: {error}", Exit.USAGE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        for http in (self._http, *self._watches):
            http.close()

    def _made(self, context: ssl.SSLContext) -> httpx.Client:
        import httpx

        # A proxy in the environment (HTTP_PROXY) is meant for the applications, not for the admin API.
        return httpx.Client(
            base_url=self._server,
            headers=self._headers,
            timeout=TIMEOUT_S,
            trust_env=False,
            verify=context,
        )

    def _now(self) -> httpx.Client:
        """For requests, which one thread makes: its connections are made by the TLS files of now."""
        context = self._tls.context()
        if context is not self._context:
            former, self._http = self._http, self._made(context)
            self._context = context
            former.close()
        return self._http

    def get(self, path: str, missing_ok: bool = False) -> Any:
        """The JSON at `path`; None for a 404 if `missing_ok`."""
        response = self.request("GET", path)
        if missing_ok and response.status_code == 404:
            return None
        return self.checked(response).json()

    def items(self, path: str) -> list[dict[str, Any]]:
        """The items of the collection at `path`."""
        return self.get(path)["items"]

    def events(self, path: str) -> Iterator[str]:
        """The names of the events of a watch of the collection at `path`, until it ends or cannot be had. A
        thread may watch while another makes requests: it has a connection of its own.
        """
        import httpx

        http = self._made(self._tls.context())
        self._watches.add(http)
        try:
            silence = httpx.Timeout(TIMEOUT_S, read=2 * TIMEOUT_S)  # the server speaks every 15 s
            with http, http.stream("GET", path, params={"watch": "1"}, timeout=silence) as response:
                if response.status_code != 200:
                    return
                for text in response.iter_lines():
                    if text.startswith("event: "):
                        yield text.removeprefix("event: ")
        except httpx.TransportError:
            return
        except RuntimeError:
            if not self.closed:
                raise
        finally:
            self._watches.discard(http)

    @property
    def closed(self) -> bool:
        """Whether the command has ended, and nothing can be asked any more."""
        return self._http.is_closed

    def text(self, path: str) -> str:
        """The body at `path`, unparsed."""
        return self.checked(self.request("GET", path)).text

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        content: bytes | None = None,
        places: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a change; returns the JSON of the answer, or None if it is empty. `content` is YAML; `places`
        says where its documents stand, for errors.
        """
        headers = {"content-type": YAML} if content is not None else None
        response = self.request(method, path, json=body, content=content, headers=headers)
        if response.status_code >= 400:
            refuse(response, places)
        return response.json() if response.content else None

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The bare response. Ends the command with exit code UNREACHABLE if no response comes."""
        import httpx

        try:
            response = self._now().request(method, path, **arguments)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            fail(
                f"no answer from {self._server}: {error or type(error).__name__}\n"
                "Is `laneway serve` running there? Say where it is with --server or LANEWAY_SERVER.",
                Exit.UNREACHABLE,
            )
        reason = response.headers.get(READ_ONLY, "")
        if reason and reason != self._noticed and response.status_code < 400:  # a problem says it itself
            self._noticed = reason
            notice(f"the control plane is read-only: {reason}")
        return response

    def checked(self, response: httpx.Response) -> httpx.Response:
        """Return `response` if its status is a success; otherwise end the command and print its problem."""
        if response.status_code >= 400:
            refuse(response)
        return response


def refuse(response: httpx.Response, places: Mapping[str, str] | None = None) -> NoReturn:
    """End the command and print the problem in `response`: mistakes in documents one by one, with where each
    document stands by `places`; else what is wrong, and the remedy.
    """
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        fail(f"HTTP {response.status_code}: {response.text.strip() or response.reason_phrase}")
    errors: list[dict[str, Any]] = problem.get("errors") or []
    named = [one for one in errors if one.get("document")]
    if errors and (len(named) == len(errors) or response.status_code in (400, 422)):
        for one in errors:
            say(problem_lines(_where(one, places or {}), one))
    else:
        detail = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
        say([line(("error:", "bold red"), f" {detail}")])
        for remedy in dict.fromkeys(str(one["remedy"]) for one in errors if one.get("remedy")):
            say([line("  ", ("remedy:", "green"), f" {remedy}")])
    if response.status_code == 401:
        say([line("  Give a token with --token or LANEWAY_TOKEN.")])
    raise typer.Exit(Exit.FAILED)


def _where(error: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """`lanes.yaml, document 2 (Lane/gray)`, as far as it is known."""
    document = str(error.get("document") or "")
    place = places.get(document, "")
    if not place or not document or document.startswith("documents["):
        return place or document
    return f"{place} ({document})"
