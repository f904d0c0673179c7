"""Events about the rig as a whole."""

from typing import Annotated

from msgspec import Meta

from schemas.event import FleetEvent
from schemas.fields import Instant, Line
from schemas.policy import Policy


class Decided(FleetEvent, frozen=True, kw_only=True):
    """Opens a batch of decisions: on which prefix of the log, when, under which policy and rules, how many follow."""

    through: Annotated[int, Meta(ge=0)]
    now: Instant
    policy: str
    """The hash of the policy in force."""
    rules: int
    count: Annotated[int, Meta(ge=1)]


class PolicyAdopted(FleetEvent, frozen=True, kw_only=True):
    """The whole policy from here on, and its hash."""

    policy: Policy
    hash: str
    by: Line
