"""dev-e: takes an assigned issue, has code written for it, checks it, pushes it and says so.

role      being a replica of dev-e, from its configuration to its end: `run_dev_e`
work      one assignment, from its claim to `WorkPushed` or `WorkFailed`: `DevE`
coding    one run of the coder: what it is told, the conversation it goes on with, what is said of it
fitness   whether the coder can be used at all: its version, its login
manner    how it works, as its character says
run       what one claim of an assignment is, and what can be said of it without a look at anything
"""

from agents.dev_e.manner import Manner, manner_of
from agents.dev_e.role import run_dev_e
from agents.dev_e.run import Run, pause
from agents.dev_e.work import DevE

__all__ = ["DevE", "Manner", "Run", "manner_of", "pause", "run_dev_e"]
