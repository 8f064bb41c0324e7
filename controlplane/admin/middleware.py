"""Around every request: whoever asks is known, and whatever fails is answered with a problem."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.admin.hosts import Hosts
from controlplane.admin.lasting import Lasting
from controlplane.admin.logins import Logins
from controlplane.admin.permissions import READING, is_open
from controlplane.admin.problems import ApiError, problem
from controlplane.admin.sessions import Sessions, session_of
from controlplane.auth.rights import ANYBODY, Caller
from controlplane.auth.tokens import Authentication, Refused
from controlplane.model.problems import Problem
from controlplane.net.certificates import Certificate

log = structlog.get_logger(__name__)

PROBES = frozenset({"/healthz", "/readyz"})
HEADER_COUNT = 100
HEADER_BYTES = 32 << 10
"""Of a whole request line and headers; nobody who means well comes near."""
BODIES = 32 << 20
"""Bytes of bodies that are read at one time, over all requests."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Guard:
    """ASGI middleware that authenticates requests. `scope["state"]["caller"]` is who asks.

    `counters`: numbers of refused requests since the start.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Authentication | None,
        hosts: Hosts,
        logins: Logins,
        counters: Counter[str],
        certificates: bool = False,
        origins: Sequence[str] = (),
        sessions: Sessions | None = None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = hosts
        self._logins = logins
        self._counters = counters
        self._certificates = certificates
        self._origins = frozenset(one.lower() for one in origins)
        self._sessions = sessions or Sessions()
        self._bodies = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, watched)
            return
        lasting = self._lasting(scope, receive, watched)
        if lasting is not None:
            receive, watched = lasting.receive, lasting.send
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            size = len(message.get("body", b""))
            if self._bodies + size > BODIES:
                self._counters["bodies_refused"] += 1
                wrong = Problem("", "is one of too many large bodies at one time", None, "try again later")
                raise ApiError(503, f"The body {wrong.message}.", wrong, {"Retry-After": "1"})
            self._bodies += size
            taken += size
            return message

        try:
            await self._app(scope, bounded, watched)
            if lasting is not None and lasting.ended:
                self._counters["answers_revoked"] += 1
                who = scope["state"]["caller"].name
                log.info(
                    "an open answer was ended: token or certificate has ended, or the roles are others",
                    who=who,
                )
                await lasting.close()
        except ClientDisconnect:
            log.debug("client went away", path=scope["path"])
        except Exception:
            request = scope["state"].get("request_id")
            log.exception("request failed", method=scope["method"], path=scope["path"], request=request)
            if started:
                raise
            await problem(500, "An error of Laneway itself; its log says more.")(scope, receive, watched)
        finally:
            self._bodies -= taken

    def _lasting(self, scope: Scope, receive: Receive, send: Send) -> Lasting | None:
        """What ends the answer once the credentials are no longer taken, or have other roles.

        None where nobody had to say who they are, and for changes, whose body is read to its end.
        """
        tokens, caller = self._tokens, scope["state"]["caller"]
        certificate = _certificate(scope) if self._certificates else None
        known = tokens is not None and caller is not ANYBODY
        if not (known or certificate) or scope["method"] not in READING:
            return None
        headers = Headers(scope=scope)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        identity = None if scheme else session_of(headers)

        def still() -> bool:
            if certificate is not None and time.time() >= certificate.ends:
                return False
            if tokens is None or not known:
                return True
            credentials = given.strip() if identity is None else self._sessions.credentials(identity)
            try:
                return credentials is not None and tokens.caller_of(credentials) == caller
            except Refused:
                return False

        return Lasting(still, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        path: str = scope["path"]
        return (
            self._counted("headers_refused", _too_large(scope))
            or self._counted("hosts_refused", self._misdirected(path, headers))
            or self._counted("origins_refused", self._foreign(scope, headers))
            or self._counted("certificates_missing", self._uncertified(scope, path))
            or self._unknown(scope, path, headers)
        )

    def _counted(self, name: str, refusal: ASGIApp | None) -> ASGIApp | None:
        self._counters[name] += refusal is not None
        return refusal

    def _misdirected(self, path: str, headers: Headers) -> ASGIApp | None:
        host = headers.get("host", "")
        if path in PROBES or self._hosts.known(host):
            return None
        remedy = "call the address that is bound, or list the name with --admin-hosts"
        wrong = Problem("Host", "is not a name of this server", host, remedy)
        return problem(421, f"The admin API is not called {host[:200]!r}.", [wrong])

    def _uncertified(self, scope: Scope, path: str) -> ASGIApp | None:
        """The answer to a client without a certificate, where it needs one."""
        if not self._certificates or path in PROBES:
            return None
        certificate = _certificate(scope)
        if certificate is None:
            wrong = Problem("", "needs a client certificate", None, "show a certificate of admin_client_ca")
            return problem(403, "The connection has no client certificate.", [wrong])
        if time.time() < certificate.ends:
            return None
        wrong = Problem("", "has a client certificate that has ended", None, "connect with a renewed one")
        detail = "The client certificate of the connection has ended."
        return problem(403, detail, [wrong], {"Connection": "close"})

    def _foreign(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        """The answer to a page of another site: it must not switch lanes through the browser of a user who
        can reach this port.

        Browsers send Origin with every request that is not GET or HEAD (https://fetch.spec.whatwg.org/,
        append a request Origin header), and Sec-Fetch-Site with each one (https://www.w3.org/TR/fetch-metadata/).
        """
        if scope["method"] in READING:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin").lower()
        if origin is not None and origin.lower() in self._origins:
            return None
        if origin is None:
            if site in ("same-origin", "none"):
                return None
            wrong = Problem("Sec-Fetch-Site", "is another site", site, "use the page that this server has")
        elif _same(origin, headers.get("host", ""), scope.get("scheme", "http")):
            return None
        else:
            wrong = Problem("Origin", "is not this server", origin, "use the page that this server has")
        return problem(403, "Requests of pages of other origins are not taken.", [wrong])

    def _unknown(self, scope: Scope, path: str, headers: Headers) -> ASGIApp | None:
        """The answer to a request without credentials, or with wrong ones."""
        state = scope.setdefault("state", {})
        state["caller"] = ANYBODY
        if self._tokens is None or is_open(scope["method"], path):
            return None
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        message = "is missing"
        if not scheme and (identity := session_of(headers)) is not None:
            found = self._of_session(identity)
            if isinstance(found, Caller):
                state["caller"] = found
                return None
            message = str(found)
        if scheme:
            address = (scope.get("client") or ("", 0))[0]
            found = self._found(scheme, credentials.strip())
            name = found.name if isinstance(found, Caller) else None
            wait = self._logins.wait(address, name)
            if wait:
                remedy = "wait, and give the right token"
                wrong = Problem("Authorization", "was wrong too often at this address", None, remedy)
                after = {"Retry-After": str(math.ceil(wait))}
                return problem(429, "Too many wrong tokens came from this address.", [wrong], after)
            if isinstance(found, Caller):
                self._logins.right(address, found.name)
                state["caller"] = found
                return None
            if found.guess:
                self._logins.wrong(address, path)
            message = str(found)
        detail = (
            f"This token {message}."
            if scheme or message != "is missing"
            else "A token is needed: send `Authorization: Bearer TOKEN`."
        )
        return problem(
            401,
            detail,
            [Problem("Authorization", message, None, "send `Bearer TOKEN` with a token of the token file")],
            headers={"WWW-Authenticate": 'Bearer realm="laneway"'},
        )

    def _of_session(self, identity: str) -> Caller | Refused:
        credentials = self._sessions.credentials(identity)
        if credentials is None:
            return Refused("is of a session that has ended")
        found = self._found("bearer", credentials)
        if isinstance(found, Refused):
            self._sessions.end(identity)
        return found

    def _found(self, scheme: str, credentials: str) -> Caller | Refused:
        assert self._tokens is not None
        if scheme.lower() != "bearer":
            return Refused("is not of the form `Bearer TOKEN`")
        try:
            return self._tokens.caller_of(credentials)
        except Refused as refused:
            return refused


def _certificate(scope: Scope) -> Certificate | None:
    """What the client of the connection has shown."""
    return scope.get("state", {}).get("certificate")


def _too_large(scope: Scope) -> ASGIApp | None:
    lines = scope["headers"]
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    size += sum(len(name) + len(value) + 4 for name, value in lines)
    if len(lines) <= HEADER_COUNT and size <= HEADER_BYTES:
        return None
    most = f"{HEADER_COUNT} lines, {HEADER_BYTES >> 10} KiB"
    wrong = Problem("", f"has more headers than {most}", None, "leave some out")
    return problem(431, f"The request {wrong.message}.", [wrong], {"Connection": "close"})


def _same(origin: str, host: str, scheme: str) -> bool:
    """Whether a page of `origin` is this server's own. A proxy in front may speak TLS for it, but what speaks
    TLS has no page in plain text.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.netloc.lower() == host.lower() and (scheme == "http" or parts.scheme == "https")
