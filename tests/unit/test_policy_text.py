"""A policy as a person writes it: everything that is wrong at once, by its full key; written, it is read back."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridges.terminal import BadInput
from bridges.terminal.policy import read
from bridges.terminal.policy_text import changes, document, parse
from schemas import (
    Budget,
    Delivery,
    Environment,
    Gates,
    Invalid,
    Policy,
    PolicyAdopted,
    RolePolicy,
    Tier,
    Tiers,
    WatchPolicy,
    contradictions,
)
from schemas.policy import Bonuses

OTHER = Policy(
    attempts_max=5,
    merge_seconds=0.5,
    repository_in_progress_max=4,
    roles={"dev-e": RolePolicy(scale_to=3, day_usd=None), "review.e": RolePolicy()},
    schedules={"audit": 3_600},
    gates=Gates(
        sensitive={"my own": ("*/x/*", '*"y"\\*', "\x7f\u2028")}, approvers=("ann", "bob o'neil"), blocking_labels=()
    ),
    tiers=Tiers(kinds={}, begin={"code": Tier.T3}, otherwise=Tier.T2),
    budget=Budget(run_usd=0.25, issue_usd=None, day_usd=1e-3 + 1),
    delivery=Delivery(environment=Environment.STAGING, smoke=True),
    watch=WatchPolicy(canary_repository="demo/shop"),
    priority_bonus_seconds=Bonuses(low=1),
)


def problems(text: str) -> list[str]:
    with pytest.raises(Invalid) as wrong:
        parse(text, "rig.toml")
    return list(wrong.value.problems)


def keys(text: str) -> list[str]:
    return [problem.partition(":")[0] for problem in problems(text)]


class TestReading:
    def test_it_says_what_differs_from_the_default(self) -> None:
        assert parse("", "x") == Policy()
        text = 'attempts_max = 5\nmerge_seconds = 1\n[gates]\nfiles_max = 5\n[roles.dev-e]\nday_usd = "none"\n'
        assert parse(text, "x") == Policy(
            attempts_max=5, merge_seconds=1, gates=Gates(files_max=5), roles={"dev-e": RolePolicy(day_usd=None)}
        )

    def test_a_table_of_ones_own_takes_the_place_of_the_default_one(self) -> None:
        assert parse('[gates.sensitive]\nmine = ["*/x/*"]\n', "x").gates.sensitive == {"mine": ("*/x/*",)}

    def test_everything_that_is_wrong_is_said_at_once_by_its_full_key(self) -> None:
        text = """
            attempts_max = 0
            patience = 3
            role = 7
            run_seconds = "90m"
            check_output_bytes = 1.5
            budget = 5
            [gates]
            lines_max = -3
            approvers = "ann"
            [gates.sensitive]
            "my own" = "x"
            [roles.dev-e]
            scale = 1
            in_progress_max = true
            [roles."a b"]
            [tiers]
            otherwise = "T9"
            [tiers.begin]
            docs = 1
            [delivery]
            environment = "prod"
            [priority_bonus_seconds]
            critical = nan
            [schedules]
            audit = "daily"
            [watch]
            canary_repository = ""
            silent = 1
        """
        assert keys(text) == [
            "attempts_max",
            "patience",
            "role",
            "run_seconds",
            "check_output_bytes",
            "budget",
            "gates.lines_max",
            "gates.approvers",
            'gates.sensitive."my own"',
            "roles.dev-e.scale",
            "roles.dev-e.in_progress_max",
            'roles."a b"',
            "tiers.otherwise",
            "tiers.begin.docs",
            "delivery.environment",
            "priority_bonus_seconds.critical",
            "schedules.audit",
            "watch.canary_repository",
            "watch.silent",
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("attempts_max = 0", "attempts_max: expected a whole number (at least 1, at most 1,000), got 0"),
            ("run_minutes = 90", "run_minutes: a policy has no such key; did you mean run_seconds?"),
            ("[gates]\nfile_max = 1", "gates.file_max: [gates] has no such key; did you mean files_max?"),
            ("[budget]\nx = 1", "budget.x: [budget] has no such key (it has run_usd, issue_usd, repository_day_usd,"),
            (
                'run_seconds = "90m"',
                'run_seconds: expected a number of seconds (more than 0, at most 31,536,000), got "90m"',
            ),
            (
                "run_seconds = inf",
                "run_seconds: expected a number of seconds (more than 0, at most 31,536,000), got inf",
            ),
            ("[budget]\nday_usd = -1", 'budget.day_usd: expected an amount in US dollars, from 0, or "none", got -1'),
            ('[budget]\nrun_usd = "none"', 'budget.run_usd: expected an amount in US dollars, from 0, got "none"'),
            ('[delivery]\nsmoke = "yes"', 'delivery.smoke: expected true or false, got "yes"'),
            ("gates = 1", "gates: expected a table, got 1"),
            ("[gates]\nsensitive = []", "gates.sensitive: expected a table, got []"),
            ('[schedules]\na = "daily"', "schedules.a: expected a number of seconds (more than 0, at most 31,536,000)"),
            ("waiting_seconds = 1979-05-27", "waiting_seconds: expected a number of seconds (more than 0"),
            ("patience = 1", "patience: a policy has no such key (it has attempts_max"),
        ],
    )
    def test_each_says_what_was_expected(self, text: str, said: str) -> None:
        (problem,) = problems(text)
        assert problem.startswith(said)

    def test_what_contradicts_itself_is_said_with_all_the_rest(self) -> None:
        text = "heartbeat_seconds = 90\nattempts_max = 0\n[budget]\nrun_usd = 50\n"
        assert keys(text) == ["attempts_max", "budget.issue_usd", "watch.silent_seconds"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("repository_in_progress_max = 0", "repository_in_progress_max: 0: no work could ever begin"),
            ("[roles.dev-e]\nin_progress_max = 0", "roles.dev-e.in_progress_max: 0: no work could ever begin"),
            ('[watch]\ncanary_repository = "shop"', "watch.canary_repository: no repository, which is written OWNER/"),
            ("[budget]\nbreaker_usd = 50", "budget.breaker_usd: 50 is more than budget.issue_usd (20): it could never"),
            (
                "[budget]\nissue_usd = 5",
                "budget.breaker_usd: 10 is more than budget.issue_usd (5): it could never",
            ),
            (
                "[budget]\nbreaker_usd = 0",
                'budget.breaker_usd: 0 is no limit, it switches it off; write "none" for',
            ),
            ("coder_silence_seconds = 2701", "coder_silence_seconds: more than coder_wall_seconds: no coder could"),
            ("orphan_seconds = 172800", "needs_human_seconds: not more than orphan_seconds, which comes before it"),
            ("[delivery]\nsmoke = true", "delivery.environment: missing, and something is to be done there"),
        ],
    )
    def test_what_could_never_be_reached_is_refused(self, text: str, said: str) -> None:
        (problem,) = problems(text)
        assert problem.startswith(said)

    @pytest.mark.parametrize(
        "text",
        [
            '[budget]\nbreaker_usd = "none"\nissue_usd = 5',
            '[budget]\nbreaker_usd = 50\nissue_usd = "none"',
            "[budget]\nbreaker_usd = 20",
            "coder_silence_seconds = 2700",
            "repository_in_progress_max = 1",
            "[roles.review-e]\nin_progress_max = 0",
            '[watch]\ncanary_repository = "demo/shop"',
        ],
    )
    def test_what_can_is_not(self, text: str) -> None:
        assert parse(text, "x") != Policy()

    def test_an_old_log_that_holds_what_is_refused_now_says_what_was_in_force(self) -> None:
        held: dict[str, object] = {
            "repository_in_progress_max": 0,
            "budget": {"breaker_usd": 0, "issue_usd": 0},
            "watch": {"canary_repository": "shop"},
            "coder_silence_seconds": 5_000,
            "orphan_seconds": 172_800,
        }
        adopted = msgspec.json.decode(msgspec.json.encode({"policy": held, "hash": "x", "by": "a"}), type=PolicyAdopted)
        assert (adopted.policy.repository_in_progress_max, adopted.policy.budget.breaker_usd) == (0, 0)
        assert len(contradictions(adopted.policy)) == 6

    def test_no_contradiction_is_seen_in_a_value_that_only_stands_in_for_a_wrong_one(self) -> None:
        assert keys("[budget]\nrun_usd = '0.1'\nday_usd = 1\n") == ["budget.run_usd"]
        assert keys("[priority_bonus_seconds]\nlow = -1\nhigh = 1\n") == ["priority_bonus_seconds.low"]
        assert keys("coder_wall_seconds = 'x'\nrun_seconds = 60\n") == ["coder_wall_seconds"]

    @pytest.mark.parametrize("text", ["= 1", "a = 1\na = 2", "[gates]\n[gates]", f"a = {'[' * 5_000}{']' * 5_000}"])
    def test_what_is_no_toml_is_named(self, text: str) -> None:
        assert problems(text)[0].startswith("is not TOML: ")


class TestFile:
    @pytest.mark.parametrize(
        ("content", "said"), [(None, "cannot read"), (b"= 1", "is not TOML"), (b"\xff", "not UTF-8")]
    )
    def test_a_file_that_is_none_is_named(self, tmp_path: Path, content: bytes | None, said: str) -> None:
        path = tmp_path / "rig.toml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=said):
            read(str(path))

    def test_several_problems_stand_on_lines_of_their_own(self, tmp_path: Path) -> None:
        path = tmp_path / "rig.toml"
        path.write_text("attempts_max = 0\n[budget]\nrun_usd = -1\n")
        with pytest.raises(BadInput) as wrong:
            read(str(path))
        assert [line.partition(":")[0] for line in wrong.value.lines] == [str(path), "attempts_max", "budget.run_usd"]


class TestWriting:
    @pytest.mark.parametrize("policy", [Policy(), OTHER], ids=["default", "other"])
    @pytest.mark.parametrize("commented", [False, True])
    def test_what_is_written_is_read_back(self, policy: Policy, *, commented: bool) -> None:
        back = parse("\n".join(document(policy, commented=commented)), "x")
        assert back == policy
        assert back.digest() == policy.digest()

    @settings(max_examples=50, derandomize=True, deadline=None)
    @given(st.dictionaries(st.text(max_size=8), st.lists(st.text(min_size=1, max_size=8), max_size=2)))
    def test_whatever_a_table_is_called_and_holds(self, table: dict[str, list[str]]) -> None:
        policy = Policy(gates=Gates(sensitive={key: tuple(value) for key, value in table.items()}))
        assert parse("\n".join(document(policy)), "x") == policy

    def test_what_differs_from_the_default_is_marked(self) -> None:
        lines = list(document(OTHER))
        assert "attempts_max = 5  # default: 3" in lines
        assert "unassignments_max = 5" in lines
        assert 'day_usd = "none"  # default: 200' in lines
        assert [line for line in document(Policy()) if "#" in line] == []

    def test_every_value_of_the_default_is_explained(self) -> None:
        own = {
            key for part in (Gates().sensitive, Tiers().kinds, Tiers().begin, Bonuses.__struct_fields__) for key in part
        }
        lines = document(Policy(), commented=True)
        bare = [line.partition(" ")[0] for before, line in pairwise(lines) if before[:1] != "#" and line[:1].isalpha()]
        assert set(bare) <= own


def test_changes_are_named_key_by_key() -> None:
    assert changes(Policy(), Policy()) == []
    after = replace(Policy(), attempts_max=5, roles={"dev-e": RolePolicy()}, budget=Budget(day_usd=None))
    assert changes(Policy(), after) == [
        "attempts_max: 3 → 5",
        'budget.day_usd: 200 → "none"',
        "roles.dev-e.scale_to: nothing → 0",
        'roles.dev-e.in_progress_max: nothing → "none"',
        "roles.dev-e.day_usd: nothing → 200",
    ]
