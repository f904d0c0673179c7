"""Breaks the conductor's decisions on purpose, one condition or comparison at a time: do the stories notice?

    .ci/mutants [--workers N] [--only PART OF A PATH]

What stands first in the condition of an `if`, a `while`, an `assert` or an `… if … else …` is negated (of `a and b`
that is `a`), every `and` and `or` is swapped, every comparison turned and moved by one: in evolve, decide, policy and
what they stand on. Left out, since the tool does not do it: an `elif`, the guard of a `case` and the filter of a
comprehension are not negated, though what they compare and combine is changed; `in` and `not in` are never turned. Left
out by us: no `not` is taken away, no number, constant or call is changed.

A change that no story notices is a survivor: it is named in survivors.toml with the reason why nobody could notice, or
a story is missing. Exit 1 when there is one without a reason, or more than 5 %.
"""

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.toml")
UNDER_TEST = ("conductor/evolve", "conductor/decide", "conductor/policy.py", "conductor/awaits.py")
OPERATORS = (
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceContinueWithBreak",
    "ReplaceBreakWithContinue",
    *(
        f"ReplaceComparisonOperator_{was}_{becomes}"
        for was, instead in {
            "Eq": ("NotEq",),
            "NotEq": ("Eq",),
            "Is": ("IsNot",),
            "IsNot": ("Is",),
            "Lt": ("LtE", "GtE"),
            "LtE": ("Lt", "Gt"),
            "Gt": ("GtE", "LtE"),
            "GtE": ("Gt", "Lt"),
        }.items()
        for becomes in instead
    ),
)
SURVIVORS_MAX = 0.05
STORIES = Path("tests/simulation")
SLOW = ("test_anything.py", "test_standing_agrees.py", "test_twice.py")
TELL = "tests/mutation/stories.py"
ASIDE = ("test_properties.py", "test_effort.py", "test_watch.py", "test_watching.py")
"""Too slow to be asked of each change, or not about decisions. What no other story notices counts as not noticed."""


@dataclass(frozen=True)
class Mutant:
    """One change: where, and what became of the line."""

    file: str
    line: str
    """As it stands, without blanks around it."""
    operator: str
    occurrence: int
    where: int
    outcome: str

    @property
    def survived(self) -> bool:
        return "KILLED" not in self.outcome.upper()

    @property
    def name(self) -> str:
        """Stable while the line stays as it is."""
        return f"{self.file}: {self.line} [{self.operator.removeprefix('core/')}]"


def stories(file: str) -> str:
    """Those about the file's own subject first: most changes are noticed at once."""
    told = sorted(path.name for path in (ROOT / STORIES).glob("test_*.py") if path.name not in ASIDE)
    first = [name for name in told if name.removeprefix("test_").removesuffix(".py") == Path(file).stem]
    quick = [name for name in told if name not in SLOW]
    return " ".join(str(STORIES / name) for name in dict.fromkeys([*first, *quick, *told]))


def run(file: str, python: str, tool: Path) -> list[Mutant]:
    """Mutates one file in a copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="rig-mutants-") as directory:
        tree = Path(directory) / "tree"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, tree / name)
        unchanged = [python, TELL, stories(file).split()[0]]  # a command that always fails would notice everything
        subprocess.run(unchanged, cwd=tree, check=True, capture_output=True)
        settings, session = Path(directory) / "settings.toml", Path(directory) / "session.sqlite"
        settings.write_text(
            f"[cosmic-ray]\nmodule-path = {[file]!r}\ntimeout = 60.0\nexcluded-modules = []\n"
            f'test-command = "{python} {TELL} {stories(file)}"\n\n[cosmic-ray.distributor]\nname = "local"\n'
        )
        subprocess.run([tool, "init", settings, session], cwd=tree, check=True, capture_output=True)
        wanted = tuple(f"core/{operator}" for operator in OPERATORS)
        with sqlite3.connect(session) as database:
            marks = ", ".join("?" * len(wanted))
            unwanted = f"select job_id from mutation_specs where operator_name not in ({marks})"  # noqa: S608 - marks
            database.execute(f"delete from work_items where job_id in ({unwanted})", wanted)  # noqa: S608 - marks
            database.execute(f"delete from mutation_specs where operator_name not in ({marks})", wanted)  # noqa: S608 - marks alone
        database.close()
        subprocess.run([tool, "exec", settings, session], cwd=tree, check=True, capture_output=True)
        database = sqlite3.connect(session)
        rows = database.execute(
            "select module_path, start_pos_row, operator_name, occurrence, test_outcome, worker_outcome"
            " from mutation_specs left join work_results using (job_id)"
        ).fetchall()
        database.close()
        return [
            Mutant(
                path,
                (ROOT / path).read_text().splitlines()[where - 1].strip(),
                operator,
                occurrence,
                where,
                outcome if worker == "NORMAL" else f"{worker}",
            )
            for path, where, operator, occurrence, outcome, worker in rows
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--only", default="", help="only files with this in their path")
    parser.add_argument("--python", default=str(ROOT / ".venv" / "bin" / "python"), help="runs the stories")
    chosen = parser.parse_args()
    parts = [[ROOT / part] if part.endswith(".py") else (ROOT / part).glob("*.py") for part in UNDER_TEST]
    files = [file for part in parts for file in part if chosen.only in str(file.relative_to(ROOT))]
    files.sort(key=lambda file: (-file.stat().st_size, file))  # the longest first: nobody waits for it at the end
    tool = Path(sys.executable).with_name("cosmic-ray")
    reasons: dict[str, str] = tomllib.loads(SURVIVORS.read_text()).get("survivors", {})
    mutants: list[Mutant] = []
    with ThreadPoolExecutor(chosen.workers) as pool:
        running = [pool.submit(run, str(file.relative_to(ROOT)), chosen.python, tool) for file in files]
        for number, done in enumerate(as_completed(running), start=1):
            mutants += done.result()
            show(done.result(), reasons)
            print(f"{number} of {len(files)} files, {len(mutants)} mutants", flush=True)
    return report(mutants, reasons, whole=not chosen.only)


def show(mutants: list[Mutant], reasons: dict[str, str]) -> None:
    for mutant in filter(lambda mutant: mutant.survived, mutants):
        print(f"{mutant.file}:{mutant.where} {mutant.operator} ({mutant.outcome})\n    {mutant.line}")
        print(f"    {reasons.get(mutant.name, 'NO REASON: a story is missing')}")


def report(mutants: list[Mutant], reasons: dict[str, str], *, whole: bool) -> int:
    survivors = [mutant for mutant in mutants if mutant.survived]
    unexplained = [mutant for mutant in survivors if mutant.name not in reasons]
    share = len(survivors) / max(1, len(mutants))
    print(f"{len(mutants)} mutants, {len(survivors)} survivors ({share:.1%}), {len(unexplained)} without a reason")
    stale = sorted(set(reasons) - {mutant.name for mutant in survivors}) if whole else []
    for name in stale:
        print(f"survivors.toml names what does not survive: {name}")
    return 1 if unexplained or stale or share > SURVIVORS_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
