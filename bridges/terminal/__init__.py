"""The terminal: what a person types, translated into events and questions, and answers put into words.

reading, show    pure: what was typed → what is meant; answers → lines of text
session          one connection for one command, and how failures become messages and exit codes
output           standard output and error
dictionary       pure: the events in words
repo, issue, publish, tail, views, events, dead   the commands

`add_commands` puts them into the application that deploy/ composes. Starting must be quick: the bus costs a fifth of a
second, and is imported when a command connects.
"""

from bridges.terminal.commands import add_commands
from bridges.terminal.errors import BadInput, Failed, NoRig, TerminalError
from bridges.terminal.session import FindServer, Found

__all__ = ["BadInput", "Failed", "FindServer", "Found", "NoRig", "TerminalError", "add_commands"]
