"""What can go wrong between Laneway and the API server. Pure."""

from __future__ import annotations

from http import HTTPStatus


class KubernetesError(Exception):
    """The API server cannot be used; the text names the server, the cause and what an operator can do.

    `status` is the HTTP status of its answer, 0 where there was none.
    """

    def __init__(self, cause: str, server: str = "", remedy: str = "", status: int = 0) -> None:
        self.status = status
        where = f"{server}: " if server else ""
        super().__init__(where + cause + (f"; {remedy}" if remedy else ""))


class ConfigurationError(KubernetesError):
    """The kubeconfig or the service account cannot be used."""


class Unauthorized(KubernetesError):
    """The API server does not accept the credentials (401)."""


class Forbidden(KubernetesError):
    """The credentials do not allow this request (403); others may still be allowed."""


class NotFound(KubernetesError):
    """The API server does not have this path (404)."""


class Expired(KubernetesError):
    """The version from which a watch should resume is no longer known (410): a new list is needed."""


def refusal(server: str, status: int, path: str, message: str, method: str = "GET") -> KubernetesError:
    """The error that an answer with this HTTP status means. message: that of the answer's Status object."""
    text = f"the API server answers {status} to {method} {path}" + (f": {message}" if message else "")
    if status == HTTPStatus.UNAUTHORIZED:
        remedy = "check the token of the service account or the credentials of the kubeconfig"
        return Unauthorized(text, server, remedy, status)
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(text, server, "apply deploy/kubernetes/rbac.yaml, or name other namespaces", status)
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(text, server, status=status)
    if status == HTTPStatus.GONE:
        return Expired(text, server, status=status)
    return KubernetesError(text, server, status=status)
