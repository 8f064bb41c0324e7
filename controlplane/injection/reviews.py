"""AdmissionReview, as the API server sends it to a webhook and takes it back (admission.k8s.io/v1). Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from controlplane.injection.annotations import PodError
from controlplane.injection.pods import Sidecars, injected, patch
from controlplane.model.plain import is_object

Verdict = Literal["injected", "left", "refused"]


class ReviewError(ValueError):
    """What was sent is no AdmissionReview of a pod; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`review` goes back to the API server. `reason` is for logs, "" for a pod that got its sidecar."""

    review: dict[str, Any]
    verdict: Verdict
    pod: str
    reason: str = ""


def answer(review: object, sidecars: Sidecars) -> Answer:
    """The answer to a review. A pod that says something wrong is refused. Raises ReviewError."""
    request = review.get("request") if is_object(review) else None
    if not is_object(review) or review.get("apiVersion") != "admission.k8s.io/v1" or not is_object(request):
        raise ReviewError("it is not an AdmissionReview of admission.k8s.io/v1")
    pod, uid = request.get("object"), request.get("uid")
    if not is_object(pod) or pod.get("kind") != "Pod" or not is_object(pod.get("spec")):
        raise ReviewError("its object is not a pod; the webhook is for the creation of pods only")
    if not isinstance(uid, str):
        raise ReviewError("its request has no uid")
    metadata = pod.get("metadata") or {}
    name = f"{request.get('namespace') or ''}/{metadata.get('name') or metadata.get('generateName') or ''}"
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    whole = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    if injected(pod):
        return Answer(whole, "left", name, "it has a sidecar")
    if pod["spec"].get("hostNetwork"):
        reason = "it is in the network of its node, where a sidecar would catch the connections of all"
        response["warnings"] = [f"Laneway: the pod gets no sidecar: {reason}"]
        return Answer(whole, "left", name, reason)
    try:
        changes = patch(pod, sidecars)
    except PodError as error:
        response["allowed"] = False
        response["status"] = {
            "status": "Failure",
            "code": int(HTTPStatus.UNPROCESSABLE_ENTITY),
            "reason": "Invalid",
            "message": f"Laneway cannot give the pod a sidecar: {error}",
        }
        return Answer(whole, "refused", name, str(error))
    response["patchType"] = "JSONPatch"
    response["patch"] = base64.b64encode(json.dumps(changes).encode()).decode()
    return Answer(whole, "injected", name)
