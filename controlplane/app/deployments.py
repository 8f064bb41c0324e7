"""The Deployments behind a promotion, found by the pods of its instances.

Imported only where that is configured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import structlog

from controlplane.admin.deployment_answers import (
    Compared,
    DeploymentImage,
    DeploymentPair,
    Scaled,
    Services,
)
from controlplane.admin.problems import ApiError
from controlplane.app.settings import Settings
from controlplane.deployments import templates
from controlplane.deployments.cluster import Deployments
from controlplane.deployments.templates import Deployment
from controlplane.kubernetes.access import Access
from controlplane.kubernetes.errors import KubernetesError
from controlplane.model.problems import Problem
from controlplane.plan.promotion import Member
from controlplane.registry.kubernetes import KubernetesSource
from controlplane.registry.metadata import Conventions
from controlplane.registry.source import Source

log = structlog.get_logger("laneway.deployments")

PodAt = Callable[[str], tuple[str, Mapping[str, str]] | None]
"""Namespace and labels of the pod with an address; None where there is none, or several."""


def behind_promotion(
    settings: Settings, sources: Iterable[Source], access: Callable[[], Access], conventions: Conventions
) -> BehindPromotion:
    """What finds Deployments by the pods that the source Kubernetes knows."""
    source = next(one for one in sources if isinstance(one, KubernetesSource))
    return BehindPromotion(
        Deployments(access),
        source.cluster.labels_at,
        conventions.tells_tag,
        settings.version_key,
        settings.kubernetes_deployments == "replace",
    )


class BehindPromotion:
    """pod_at: see PodAt. tells_tag: whether a label may hold a tag. version_label: that of the version."""

    def __init__(
        self,
        deployments: Deployments,
        pod_at: PodAt,
        tells_tag: Callable[[str], bool],
        version_label: str,
        replaces: bool,
    ) -> None:
        self.replaces = replaces
        self._deployments = deployments
        self._pod_at = pod_at
        self._tells_tag = tells_tag
        self._version_label = version_label

    async def compare(self, services: Services, tag: str) -> Compared:
        with _refusals():
            return self._compared(services, tag, await self._all(services))[0]

    async def replace(self, services: Services, tag: str) -> Compared:
        with _refusals():
            compared, pairs = self._compared(services, tag, await self._all(services))
            if compared.problems or compared.failed:
                return compared
            for pair, (base, canary) in zip(compared.pairs, pairs, strict=True):
                if pair.template is not None:
                    log.info("base gets the canary's pod template", base=str(base), canary=str(canary))
                    await self._deployments.put_template(base, pair.template)
            return self._compared(services, tag, await self._all(services))[0]

    async def scale_down(self, services: Services, dry_run: bool) -> list[Scaled]:
        with _refusals():
            every = await self._all(services)
            found: dict[str, Deployment] = {}
            for _, listed in services:
                for one in listed:
                    found |= {str(owner): owner for owner in self._owners(one.tagged, every)[0]}
            wanted = [one for _, one in sorted(found.items()) if one.replicas]
            for one in wanted if not dry_run else ():
                log.info("a canary is scaled down", deployment=str(one), replicas=one.replicas)
                await self._deployments.scale(one, 0)
            return [Scaled(deployment=str(one), replicas=one.replicas) for one in wanted]

    async def _all(self, services: Services) -> list[Deployment]:
        members = [one for _, listed in services for of in listed for one in (*of.tagged, *of.base)]
        pods = [self._pod_at(_host(one.address)) for one in members]
        return await self._deployments.of(pod[0] for pod in pods if pod is not None)

    def _owners(
        self, members: Iterable[Member], every: Iterable[Deployment]
    ) -> tuple[list[Deployment], list[str]]:
        """The Deployments of these instances, and the addresses of instances without one."""
        found: dict[str, Deployment] = {}
        without: list[str] = []
        for member in members:
            pod = self._pod_at(_host(member.address))
            of = [one for one in every if pod is not None and one.namespace == pod[0] and one.selects(pod[1])]
            if len(of) == 1:
                found[str(of[0])] = of[0]
            else:
                without.append(member.address)
        return [found[name] for name in sorted(found)], without

    def _compared(
        self, services: Services, tag: str, every: list[Deployment]
    ) -> tuple[Compared, list[tuple[Deployment, Deployment]]]:
        pairs: list[tuple[Deployment, Deployment]] = []
        told: list[DeploymentPair] = []
        problems: list[str] = []
        for application, listed in services:
            tagged, bad = self._owners([m for one in listed for m in one.tagged], every)
            if not tagged and not bad:
                continue  # the application has no canary
            base, worse = self._owners([m for one in listed for m in one.base], every)
            problems += [
                f"{application}: {', '.join(sorted(set(lost))[:3])} belongs to no Deployment that can be read"
                for lost in (bad, worse)
                if lost
            ]
            if len(base) != 1 or len(tagged) != 1:
                names = [", ".join(map(str, some)) or "none" for some in (base, tagged)]
                problems.append(
                    f"{application} needs one base Deployment and one with tag {tag}; found {names[0]} and "
                    f"{names[1]}"
                )
                continue
            pairs.append((base[0], tagged[0]))
            told.append(self._pair(application, base[0], tagged[0], tag))
        every_base = [base for base, _ in pairs]
        waiting = [text for one in every_base if (text := templates.rolling(one))]
        failed = [text for one in every_base if (text := templates.failed(one))]
        return Compared(tuple(told), tuple(problems), tuple(waiting), tuple(failed)), pairs

    def _pair(self, application: str, base: Deployment, canary: Deployment, tag: str) -> DeploymentPair:
        ours, theirs = templates.images(base.template), templates.images(canary.template)
        wanted = templates.merged(base, canary, self._tells_tag)
        places = templates.mentions(wanted, tag)
        return DeploymentPair(
            application=application,
            base=str(base),
            canary=str(canary),
            images=[
                DeploymentImage(container=name, base=ours.get(name, ""), canary=theirs.get(name, ""))
                for name in sorted({*ours, *theirs})
            ],
            differences=list(templates.differences(base, canary, self._version_label)),
            warnings=[f"the pods of {base} would say {tag}, too: {place}" for place in places],
            template=cast("dict[str, Any]", wanted) if wanted != base.template else None,
            canary_replicas=canary.replicas,
        )


def _host(authority: str) -> str:
    return authority.rpartition(":")[0].strip("[]")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What the API server refuses is an answer of the admin API. Raises ApiError."""
    try:
        yield
    except KubernetesError as error:
        status = 409 if error.status in (403, 404, 409, 422) else 503
        wrong = Problem("deployments", str(error), None, "look at the API server, and try again")
        raise ApiError(status, f"Deployments cannot be used: {error}", wrong) from error
