"""The rig's numbers, in one typed place. They enter the log as `PolicyAdopted`; everybody reads them from there.

A key that an old log lacks takes its default here, so a default added later must change nothing for old logs. A key of
a newer log is tolerated; what a person writes is checked for unknown keys at the edge.
"""

from hashlib import sha256
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=31_536_000)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
Size: TypeAlias = Annotated[int, Meta(ge=1_024, le=1_073_741_824)]


class Policy(Struct, frozen=True, kw_only=True):
    """How patient, how stubborn and how generous the rig is."""

    # How often before a person is asked.
    attempts_max: Count = 3
    unassignments_max: Count = 5
    failed_runs_max: Count = 10
    """Runs that failed for reasons that are not the work's."""
    conflicts_max: Count = 5
    review_rounds_max: Count = 5
    forge_retries_max: Count = 5

    # How long each state may last before its deadline passes.
    waiting_seconds: Seconds = 600
    claim_seconds: Seconds = 300
    run_seconds: Seconds = 5_400
    pull_request_seconds: Seconds = 300
    checks_seconds: Seconds = 3_600
    review_seconds: Seconds = 86_400
    merge_seconds: Seconds = 300
    merge_retry_seconds: Seconds = 60
    """After a refusal that a person must mend (a dirty checkout, a protected branch): when to ask again."""
    failed_run_backoff_seconds: Seconds = 30
    """After a run that failed for reasons that are not the work's."""

    # How an agent works.
    role: str = "dev-e"
    """The role that new work goes to."""
    heartbeat_seconds: Seconds = 10
    coder_wall_seconds: Seconds = 2_700
    coder_silence_seconds: Seconds = 600
    coder_output_bytes: Size = 16_777_216
    check_wall_seconds: Seconds = 900
    check_output_bytes: Size = 16_777_216

    def digest(self) -> str:
        """The hash that decisions are recorded under: 16 hex digits of the SHA-256 of the sorted JSON."""
        return sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]
