"""The terminal: what a person types, translated into events and questions, and answers put into words.

reading, show      pure: what was typed → what is meant; answers → lines of text
fleet              pure: what holds of the rig as a whole, from the log alone
chain, explain     pure: from an event back to what started it; what an issue waits for, in words
sense              pure: whether what a person wishes would change anything
lookup, spoken     what a command must know before it speaks; saying it, once
session            one connection for one command, and how failures become messages and exit codes
dictionary         pure: the events in words
policy_text        pure: a policy as TOML, read and written
ledger, budgets    pure: what was spent and set aside; budgets in words
spending           pure: days as they are typed; what was spent, in words
memories           pure: scopes and what else is typed of memories; memories in words
output             standard output and error
hosted             the GitHub bridge, asked
github             rig github init, check, audit: deploy/ adds them, for it knows the settings
repo, issue, wishes, gate, pause, why, policy, budget, spend, memory, publish, tail, views, events, dead   the commands

`add_commands` puts them into the application that deploy/ composes. Starting must be quick: the bus costs a fifth of a
second, and is imported when a command connects.
"""

from bridges.terminal.commands import add_commands
from bridges.terminal.errors import BadInput, Failed, NoRig, TerminalError
from bridges.terminal.session import FindServer, Found

__all__ = ["BadInput", "Failed", "FindServer", "Found", "NoRig", "TerminalError", "add_commands"]
