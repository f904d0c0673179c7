"""A forge on plain git: repositories on this disk, issues from the terminal, pull requests without a server.

fold, plan       pure: what the log says, and what is due for it
effects, shell   doing it, and saying how it went
numbers          new issues, on request
repository, merging, scratch   git: branches that move by compare-and-set, merges, throw-away clones
changes, reverts   git: what a pull request changes, and which merges were taken out again

`shell.run` is the role; `numbers.SERVICE` and `numbers.ADD_ISSUE` are where the terminal asks for a new issue.
"""
