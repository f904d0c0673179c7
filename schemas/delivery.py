"""Events about one issue after its merge: deployed, tried out, verified."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from schemas.event import IssueEvent
from schemas.fields import Excerpt, Line, Sha

Count = Annotated[int, Meta(ge=0)]


class Environment(StrEnum):
    """Where something is deployed."""

    STAGING = "staging"
    PRODUCTION = "production"


class Deployed(IssueEvent, frozen=True, kw_only=True):
    """This commit is live there."""

    environment: Environment
    sha: Sha
    url: str = ""


class SmokePassed(IssueEvent, frozen=True, kw_only=True):
    """What was deployed answers."""

    environment: Environment
    attempt: Annotated[int, Meta(ge=1)] = 1


class SmokeFailed(IssueEvent, frozen=True, kw_only=True):
    """What was deployed does not answer."""

    environment: Environment
    attempt: Annotated[int, Meta(ge=1)] = 1
    reason: Excerpt


class EndToEndPassed(IssueEvent, frozen=True, kw_only=True):
    """The tests of the whole passed."""

    passed: Count
    failed: Count = 0
    total: Count
    duration_ms: Count
    url: str = ""


class EndToEndFailed(IssueEvent, frozen=True, kw_only=True):
    """The tests of the whole did not pass."""

    passed: Count
    failed: Count
    total: Count
    duration_ms: Count
    first_failure: Excerpt = ""
    url: str = ""


class Verified(IssueEvent, frozen=True, kw_only=True):
    """Somebody who may say so has seen it work there."""

    environment: Environment
    by: Line
