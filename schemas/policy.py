"""The rig's numbers, in one typed place. They enter the log as `PolicyAdopted`; everybody reads them from there.

A key that an old log lacks takes its default here; decisions are compared under the rules that they were made by, so a
new key changes no old decision. A key of a newer log is tolerated; what a person writes is checked for unknown keys at
the edge, where what contradicts itself is refused too (`contradictions`). What came to be refused later is refused
there alone, and no bound of a type is drawn closer: a log that holds it still says what was in force.
"""

from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from schemas.delivery import Environment
from schemas.errors import BadReference
from schemas.fields import Line, Priority, Usd
from schemas.refs import Name, RepoRef

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=31_536_000)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
Size: TypeAlias = Annotated[int, Meta(ge=1_024, le=1_073_741_824)]
Lines: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Slots: TypeAlias = Annotated[int, Meta(ge=0, le=1_000)]
Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
"""Of a path: `*` is anything, slashes too; case does not matter. The path begins with a slash, so `*/auth/*` finds
`auth/login.py` and `src/auth/login.py`."""
Patterns: TypeAlias = tuple[Pattern, ...]


class Tier(StrEnum):
    """How far a role is trusted with a kind of change."""

    T0 = "T0"
    """Merges alone, whatever its size."""
    T1 = "T1"
    """Merges alone, within the limits."""
    T2 = "T2"
    """A person approves every merge."""
    T3 = "T3"
    """A person drives: no approval is enough, only a bypass with a reason. Neither earned nor left by itself."""


class Bonuses(Struct, frozen=True, kw_only=True):
    """How much older than it is an issue of each priority counts: nothing waits for ever behind what is more urgent."""

    critical: Seconds = 604_800
    high: Seconds = 86_400
    normal: Annotated[float, Meta(ge=0, le=31_536_000)] = 43_200
    low: Annotated[float, Meta(ge=0, le=31_536_000)] = 0

    def of(self, priority: Priority) -> float:
        """Seconds."""
        match priority:
            case Priority.CRITICAL:
                return self.critical
            case Priority.HIGH:
                return self.high
            case Priority.NORMAL:
                return self.normal
            case Priority.LOW:
                return self.low


class RolePolicy(Struct, frozen=True, kw_only=True):
    """What holds for one role."""

    scale_to: Slots = 0
    """Work that may be given to it even when no replica has joined: something starts replicas for it."""
    in_progress_max: Slots | None = None
    """None: as much as there are slots."""
    day_usd: Usd | None = 200.0
    """All that it may cost in a day."""


_SENSITIVE: Final[dict[str, Patterns]] = {
    "auth": ("*/auth/*", "*/auth.*", "*/oauth*", "*/login*", "*/permission*"),
    "payments": ("*/payment*", "*/billing*", "*/invoic*"),
    "migrations": ("*/migrations/*", "*/alembic/*", "*.sql"),
    "secrets": ("*/.env*", "*/secret*", "*.pem", "*.key", "*.p12"),
    "ci": ("*/.github/*", "*/.gitlab-ci*", "*/.ci/*", "*/.circleci/*", "*/jenkinsfile*", "*/.rig-agent.y*ml"),
    "infrastructure": (
        "*/terraform/*",
        "*.tf",
        "*/dockerfile*",
        "*/*compose*.y*ml",
        "*/kubernetes/*",
        "*/k8s/*",
        "*/helm/*",
        "*/deploy/*",
    ),
    "dependencies": (
        "*/pyproject.toml",
        "*/requirements*.txt",
        "*/setup.py",
        "*/uv.lock",
        "*/poetry.lock",
        "*/package.json",
        "*/package-lock.json",
        "*/yarn.lock",
        "*/pnpm-lock.yaml",
        "*/cargo.toml",
        "*/cargo.lock",
        "*/go.mod",
        "*/go.sum",
        "*/gemfile*",
        "*/pom.xml",
        "*/build.gradle*",
        "*.csproj",
        "*/composer.json",
    ),
}


class Gates(Struct, frozen=True, kw_only=True):
    """When a person must look before a merge."""

    files_max: Count = 20
    """Changed in one pull request."""
    lines_max: Lines = 500
    """Added and removed in one pull request."""
    sensitive: dict[str, Patterns] = msgspec.field(default_factory=lambda: dict(_SENSITIVE))
    """Paths by topic."""
    blocking_labels: tuple[Line, ...] = ("blocked", "do-not-merge", "wip")
    """An issue with one of these is not merged."""
    approvers: tuple[Line, ...] = ()
    """Who may approve, reject and bypass; none named: whoever may speak to the rig."""
    reminder_seconds: Seconds = 1_800
    """How often people are reminded of a gate."""


class Tiers(Struct, frozen=True, kw_only=True):
    """How much trust a role begins with, by kind of change, and how it is earned."""

    kinds: dict[str, Patterns] = msgspec.field(
        default_factory=lambda: {
            "docs": ("*.md", "*.rst", "*/docs/*"),
            "tests": ("*/tests/*", "*/test/*", "*/test_*", "*_test.*", "*.test.*", "*.spec.*"),
        }
    )
    """A change is of the first kind (in the order of their names) that all its paths are of, or else `code`."""
    begin: dict[str, Tier] = msgspec.field(default_factory=lambda: {"docs": Tier.T0})
    """By kind."""
    otherwise: Tier = Tier.T1
    """Of the kinds that `begin` does not name."""
    promote_after: Count = 20
    """Clean merges in a row."""


class Budget(Struct, frozen=True, kw_only=True):
    """What may be spent, in US dollars. None: as much as it takes. A day is one of UTC."""

    run_usd: Usd = 2.0
    """Reserved for each run before it begins."""
    issue_usd: Usd | None = 20.0
    """All that one issue may cost. None: as much as it takes."""
    repository_day_usd: Usd | None = 200.0
    """All that one repository may cost in a day."""
    day_usd: Usd | None = 200.0
    """All that the rig may cost in a day."""
    breaker_usd: Usd | None = 10.0
    """For one issue since its last progress: a push of something new."""


class Delivery(Struct, frozen=True, kw_only=True):
    """What leads from merged to done. Without an environment: nothing, merged is done."""

    environment: Environment | None = None
    """Where it must be deployed."""
    smoke: bool = False
    """Whether what was deployed must answer."""
    end_to_end: bool = False
    """Whether the tests of the whole must pass."""
    verified: bool = False
    """Whether somebody must say that it works."""
    deploy_seconds: Seconds = 3_600
    """Until it must be deployed."""
    smoke_seconds: Seconds = 1_800
    """Until what was deployed must have answered."""
    smoke_retries_max: Count = 3
    """How often what was deployed is tried again before a person is asked."""
    end_to_end_seconds: Seconds = 7_200
    """Until the tests of the whole must have ended."""
    verify_seconds: Seconds = 172_800
    """Until somebody must have seen it work."""


class Overrides(Struct, frozen=True, kw_only=True):
    """Where one repository's policy differs from the rig's; None: as everywhere."""

    in_progress_max: Slots | None = None
    day_usd: Usd | None = None
    delivery: Delivery | None = None
    sensitive: Patterns = ()
    """More paths at which a person must look."""
    approvers: tuple[Line, ...] | None = None


class WatchPolicy(Struct, frozen=True, kw_only=True):
    """When the watch says that something stands still."""

    silent_seconds: Seconds = 60
    """Without a sign of life, until a replica counts as silent."""
    issue_seconds: Seconds = 1_200
    """Until an issue that could be worked on is assigned, or it is said why not."""
    decision_seconds: Seconds = 120
    """Until a fact that needs a decision has one, or a deadline that is over is said to be."""
    projection_seconds: Seconds = 120
    """That the read side may be behind the log."""
    canary_repository: Line | None = None
    """OWNER/REPO of the local forge; None: no canaries."""
    canary_every_seconds: Seconds = 86_400
    """How often a canary is sent out."""
    canary_within_seconds: Seconds = 3_600
    """Until it must have come back."""


class Policy(Struct, frozen=True, kw_only=True):
    """How patient, how stubborn, how careful and how generous the rig is."""

    # How often before a person is asked.
    attempts_max: Count = 3
    """Runs that failed for a reason of the work."""
    unassignments_max: Count = 5
    """Assignments in a row that nobody claimed, or whose replica fell silent."""
    failed_runs_max: Count = 10
    """Runs that failed for reasons that are not the work's."""
    conflicts_max: Count = 5
    """Conflicts with the base branch."""
    review_rounds_max: Count = 5
    """Disputes by a reviewer."""
    forge_retries_max: Count = 5
    """Deadlines in a row that the forge let pass."""

    # How long each state may last before its deadline passes.
    waiting_seconds: Seconds = 600
    """Until it is said why an issue waits; doubles each time."""
    claim_seconds: Seconds = 300
    """Until an assignment must be claimed."""
    run_seconds: Seconds = 5_400
    """Until a run must have reported."""
    pull_request_seconds: Seconds = 300
    """Until the forge must show what was pushed."""
    checks_seconds: Seconds = 3_600
    """Until the checks must have ended."""
    review_seconds: Seconds = 86_400
    """Until a review must have come."""
    merge_seconds: Seconds = 300
    """Until the forge must have merged."""
    merge_retry_seconds: Seconds = 60
    """After a refusal that a person must mend (a dirty checkout, a protected branch): when to ask again."""
    failed_run_backoff_seconds: Seconds = 30
    """After a run that failed for reasons that are not the work's; doubles each time in a row."""
    quota_rest_seconds: Seconds = 3_600
    """How long a replica rests whose quota is used up, when nobody says until when."""
    quota_heard_seconds: Seconds = 120
    """How long a reviewer's word about its quota counts."""
    silent_seconds: Seconds = 1_800
    """Until a silent replica's work is taken from it."""
    question_seconds: Seconds = 172_800
    """Until a run's question must have been answered."""
    orphan_seconds: Seconds = 86_400
    """Until people are told that nobody works on an issue."""
    needs_human_seconds: Seconds = 172_800
    """Until people are told that somebody must look at it."""
    incident_seconds: Seconds = 1_800
    """Until people are told that a base branch is still broken."""

    # Who comes first.
    priority_bonus_seconds: Bonuses = Bonuses()
    fair_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] = 3_600
    """How much younger than it is an issue counts for each piece of work that its repository has under way."""

    # Who does it.
    role: Name = "dev-e"
    """The role that new work goes to."""
    roles: dict[Name, RolePolicy] = {}
    repository_in_progress_max: Slots | None = None
    """Work under way in one repository at once. None: as much as there are slots."""
    schedules: dict[Name, Seconds] = {}
    """What happens by the clock, and how often."""

    gates: Gates = Gates()
    tiers: Tiers = Tiers()
    budget: Budget = Budget()
    delivery: Delivery = Delivery()
    watch: WatchPolicy = WatchPolicy()

    # How an agent works.
    heartbeat_seconds: Seconds = 10
    """Between two signs of life of a replica."""
    coder_wall_seconds: Seconds = 2_700
    """How long a coder may take, all in all."""
    coder_first_output_seconds: Seconds = 300
    """How long a coder may take until it says anything."""
    coder_silence_seconds: Seconds = 600
    """How long a coder may be silent."""
    coder_settle_seconds: Seconds = 30
    """How long a coder that has said its result may take to end."""
    coder_turns_max: Count = 200
    """How often a coder may ask its model in one run."""
    coder_output_bytes: Size = 16_777_216
    """Of a coder's output; more ends it."""
    check_wall_seconds: Seconds = 900
    """How long a repository's check may take."""
    check_output_bytes: Size = 16_777_216
    """Of a check's output; more ends it."""

    def digest(self) -> str:
        """The hash that decisions are recorded under: 16 hex digits of the SHA-256 of the sorted JSON.

        Equal policies have equal hashes: 600 and 600.0 are one number, wherever they were written.
        """
        plain = msgspec.convert(msgspec.to_builtins(self), Policy)
        return sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:16]

    def of_role(self, role: str) -> RolePolicy:
        """What holds for the role, the defaults where nothing is said of it."""
        return self.roles.get(role, _ANY_ROLE)


_ANY_ROLE: Final = RolePolicy()


def contradictions(policy: Policy) -> list[str]:
    """What cannot hold together, or could never be reached, one line each: `key: what is wrong`."""
    budget, watch, bonuses = policy.budget, policy.watch, policy.priority_bonus_seconds
    limits = {
        "budget.issue_usd": budget.issue_usd,
        "budget.repository_day_usd": budget.repository_day_usd,
        "budget.day_usd": budget.day_usd,
        **{f"roles.{name}.day_usd": role.day_usd for name, role in policy.roles.items()},
    }
    found = [problem for key, limit in limits.items() for problem in _too_little(key, limit, budget.run_usd)]
    breaker, issue = budget.breaker_usd, budget.issue_usd
    if breaker == 0:
        found.append('budget.breaker_usd: 0 is no limit, it switches it off; write "none" for that')
    elif breaker is not None and issue is not None and breaker > issue:
        found.append(f"budget.breaker_usd: {breaker:g} is more than budget.issue_usd ({issue:g}): it could never trip")
    ordered = (bonuses.low, bonuses.normal, bonuses.high, bonuses.critical)
    if list(ordered) != sorted(ordered):
        found.append("priority_bonus_seconds: a more urgent priority must not count less than a less urgent one")
    if policy.coder_wall_seconds > policy.run_seconds:
        found.append("run_seconds: less than coder_wall_seconds: work would be taken from a coder that still may work")
    if policy.coder_silence_seconds > policy.coder_wall_seconds:
        found.append("coder_silence_seconds: more than coder_wall_seconds: no coder could ever be silent for so long")
    if policy.needs_human_seconds <= policy.orphan_seconds:
        found.append("needs_human_seconds: not more than orphan_seconds, which comes before it")
    if watch.silent_seconds <= policy.heartbeat_seconds:
        found.append("watch.silent_seconds: not more than heartbeat_seconds: everybody would be silent between two")
    if watch.issue_seconds <= policy.waiting_seconds:
        found.append("watch.issue_seconds: not more than waiting_seconds, before which nobody says why an issue waits")
    if watch.canary_repository is not None and not _is_repository(watch.canary_repository):
        found.append("watch.canary_repository: no repository, which is written OWNER/REPO")
    if policy.role in policy.roles:
        found += _no_room(f"roles.{policy.role}.in_progress_max", policy.roles[policy.role].in_progress_max)
    found += _no_room("repository_in_progress_max", policy.repository_in_progress_max)
    found += [
        f"tiers.begin.{kind}: no such kind (there are {', '.join((*sorted(policy.tiers.kinds), 'code'))})"
        for kind in policy.tiers.begin
        if kind != "code" and kind not in policy.tiers.kinds
    ]
    return [*found, *_nowhere(policy.delivery)]


def override_contradictions(overrides: Overrides, policy: Policy | None) -> list[str]:
    """The same of what differs in one repository, under the policy in force; None: there is none yet."""
    found = _no_room("in_progress_max", overrides.in_progress_max)
    if policy is not None:
        found += _too_little("day_usd", overrides.day_usd, policy.budget.run_usd)
    return found if overrides.delivery is None else [*found, *_nowhere(overrides.delivery)]


def _too_little(key: str, limit: float | None, run_usd: float) -> list[str]:
    if limit is None or limit >= run_usd:
        return []
    return [f"{key}: {limit:g} is less than budget.run_usd ({run_usd:g}): no run could ever begin"]


def _no_room(key: str, in_progress_max: int | None) -> list[str]:
    return [f"{key}: 0: no work could ever begin"] if in_progress_max == 0 else []


def _nowhere(delivery: Delivery) -> list[str]:
    if delivery.environment is not None or not (delivery.smoke or delivery.end_to_end or delivery.verified):
        return []
    return ["delivery.environment: missing, and something is to be done there"]


def _is_repository(text: str) -> bool:
    try:
        RepoRef.parse(text)
    except BadReference:
        return False
    return True
