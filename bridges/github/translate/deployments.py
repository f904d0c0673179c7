"""Deployments: a merge is live. What is live with a merge is live with every merge before it, too."""

from typing import Final

from msgspec import Struct

from bridges.github import ids, payloads
from bridges.github.heard import Heard
from bridges.github.said import Said, Translation
from bridges.github.translate.reading import NOT_SERVED, decoded, once, served, skip, url, utc
from schemas import Deployed, Environment

_ENVIRONMENTS: Final = {
    "production": Environment.PRODUCTION,
    "prod": Environment.PRODUCTION,
    "staging": Environment.STAGING,
    "stage": Environment.STAGING,
}


class Payload(Struct, frozen=True):
    """The event `deployment_status`."""

    deployment: payloads.Deployment
    deployment_status: payloads.DeploymentStatus
    repository: payloads.Repository


def translate(body: bytes, heard: Heard) -> Translation:
    """The event `deployment_status`."""
    payload = decoded(body, Payload)
    home, status, deployment = served(heard, payload.repository), payload.deployment_status, payload.deployment
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    environment = _ENVIRONMENTS.get(deployment.environment.lower())
    if environment is None:
        return skip(f"deployed to {deployment.environment}, which is neither staging nor production")
    if status.state != "success":
        return skip(f"a deployment that is {status.state}")
    live = home.merges.get(deployment.sha)
    if live is None:
        return skip(f"{deployment.sha[:9]} is no merge of the rig's")
    told: list[Said] = []
    for merge, landed in home.merges.items():
        before = merge == deployment.sha or (landed.at <= live.at and landed.branch == live.branch)
        data = Deployed(environment=environment, sha=merge, url=url(status.environment_url or status.target_url))
        for ref, which in landed.each() if before else ():
            issue = heard.issue(ref)
            if issue is not None and issue.merges.get(merge) and (environment, merge) not in issue.deployed:
                id_ = ids.of_repository(home.ref, "deployed", environment, merge, *which)
                told += once(heard, ref, data, id_, utc(status.created_at))
    return Translation(said=tuple(told), skipped=None if told else "said before")
