"""What a command ends with when it does not succeed; the message is for the person who typed it.

TerminalError
├── Failed          exit code 1: it was asked rightly and did not work
│   └── NoRig       nothing runs here
└── BadInput        exit code 2: it was asked wrongly, and nothing was done
"""

from collections.abc import Sequence


class TerminalError(Exception):
    """Root; `lines` are printed on standard error, the first behind `rig: `."""

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Failed(TerminalError):
    """It did not work."""


class NoRig(Failed):
    """Nothing runs here."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no rig is running here: {why}; start one with `rig up`")


class BadInput(TerminalError):
    """It was asked wrongly."""

    exit_code = 2

    @classmethod
    def of(cls, what: str, problems: Sequence[str]) -> "BadInput":
        """One problem on the line, several below it."""
        return cls(f"{what}: {problems[0]}") if len(problems) == 1 else cls(f"{what}:", *problems)
