"""Branch names that agents and forges agree on. An agent pushes to its own; only the forge moves the pull request's."""


def work_branch(number: int, epoch: int, run: str) -> str:
    """Where the agent of one run pushes its work for an issue: `rig/42/2-r-7f3`."""
    return f"{work_branches(number)}{epoch}-{run}"


def work_branches(number: int) -> str:
    """What the names of all branches begin with that agents pushed for an issue."""
    return f"rig/{number}/"
