"""Events about one issue that waits at a gate for a person.

A gate is its reason and the head commit that it was opened for (a gate opened before there was any has none): a new
head is a new gate.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from schemas.event import IssueEvent
from schemas.fields import Excerpt, Line, Sha
from schemas.forge import Path


class GateReason(StrEnum):
    """Why a person must look."""

    SENSITIVE_PATH = "sensitive_path"
    SIZE = "size"
    TIER = "tier"
    """This role may not merge this kind of change alone."""
    BUDGET = "budget"
    """It has cost what it may, or much since its last progress."""
    POLICY = "policy"
    """A label of the issue blocks it."""
    GUARD = "guard"
    """A run tried what it must not."""


class GateTriggered(IssueEvent, frozen=True, kw_only=True):
    """The issue goes on when a person who may has approved."""

    reason: GateReason
    head_sha: Sha | None = None
    paths: tuple[Path, ...] = ()
    detail: Excerpt = ""


class GateReminded(IssueEvent, frozen=True, kw_only=True):
    """People have not answered yet."""

    reason: GateReason
    head_sha: Sha | None = None
    waited_minutes: Annotated[float, Meta(ge=0)]


class GateApproved(IssueEvent, frozen=True, kw_only=True):
    """A person lets it through. Without a reason: every gate that is open at that head."""

    reason: GateReason | None = None
    head_sha: Sha | None = None
    by: Line
    note: Line


class GateRejected(IssueEvent, frozen=True, kw_only=True):
    """A person does not let it through."""

    reason: GateReason | None = None
    head_sha: Sha | None = None
    by: Line
    note: Line


class GateBypassed(IssueEvent, frozen=True, kw_only=True):
    """A person lets it through without having looked as they should; this lowers the trust in such changes."""

    reason: GateReason | None = None
    head_sha: Sha | None = None
    by: Line
    note: Line
