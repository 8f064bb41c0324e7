"""The REST client of the commands: one connection to the admin API, and errors printed for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from controlplane.cli.options import Exit
from controlplane.cli.output import console, fail, line, notice

if TYPE_CHECKING:
    import httpx

YAML = "application/yaml"
TIMEOUT_S = 30.0
READ_ONLY = "x-laneway-read-only"


def segment(name: str) -> str:
    """`name` as one segment of a path."""
    return quote(name, safe="")


class Client:
    """Calls to one control plane. Every method ends the command with a message if the call fails."""

    def __init__(self, server: str, token: str = "") -> None:
        import httpx

        headers = {"authorization": f"Bearer {token}"} if token else {}
        address = server if "://" in server else f"http://{server}"
        self._server = address
        self._noticed = ""
        try:
            # A proxy in the environment (HTTP_PROXY) is meant for the applications, not for the admin API.
            self._http = httpx.Client(base_url=address, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        except httpx.InvalidURL as error:
            fail(f"--server {server!r} is not a URL: {error}", Exit.USAGE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, missing_ok: bool = False) -> Any:
        """The JSON at `path`; None for a 404 if `missing_ok`."""
        response = self.request("GET", path)
        if missing_ok and response.status_code == 404:
            return None
        return self.checked(response).json()

    def items(self, path: str) -> list[dict[str, Any]]:
        """The items of the collection at `path`."""
        return self.get(path)["items"]

    def text(self, path: str) -> str:
        """The body at `path`, unparsed."""
        return self.checked(self.request("GET", path)).text

    def send(self, method: str, path: str, body: Any = None, content: bytes | None = None) -> Any:
        """Send a change; returns the JSON of the answer, or None if it is empty. `content` is YAML."""
        headers = {"content-type": YAML} if content is not None else None
        response = self.checked(self.request(method, path, json=body, content=content, headers=headers))
        return response.json() if response.content else None

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The bare response. Ends the command with exit code UNREACHABLE if no response comes."""
        import httpx

        try:
            response = self._http.request(method, path, **arguments)
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


def refuse(response: httpx.Response) -> NoReturn:
    """End the command and print the problem in `response`, field by field, with the remedies."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        fail(f"HTTP {response.status_code}: {response.text.strip() or response.reason_phrase}")
    title = str(problem.get("title") or response.reason_phrase)
    detail = str(problem.get("detail") or "")
    errors = problem.get("errors") or []
    out = console(stderr=True)
    heading = title if not detail or detail == title else f"{title}: {detail}"
    out.print(line(("error:", "bold red"), f" {heading} ", (f"(HTTP {response.status_code})", "dim")))
    for error in errors:
        field, message = str(error.get("field") or "-"), str(error.get("message", ""))
        out.print(line("  ", (field, "bold"), f": {message}"))
        if error.get("value") is not None:
            out.print(line(("    value:", "dim"), f" {str(error['value'])[:200]}"))
        if error.get("remedy"):
            out.print(line(("    remedy:", "green"), f" {error['remedy']}"))
    if response.status_code == 401:
        out.print("  Give a token with --token or LANEWAY_TOKEN.")
    import typer

    raise typer.Exit(Exit.FAILED)
