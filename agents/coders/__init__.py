"""Coding CLIs: the programs that write code, each behind one interface (driver.py) and the same clocks (clocks.py).

A coder changes files in a worktree and does nothing else for the rig; what becomes of them is dev-e's business.
"""
