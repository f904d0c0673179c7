"""The names are flat: each must belong to us alone in the environment (`openai-agents` also installs `agents`)."""

from importlib.metadata import packages_distributions

import pytest

ROOMS = ("schemas", "machine", "bus", "conductor", "agents", "bridges", "deploy")


@pytest.mark.parametrize("name", ROOMS)
def test_nobody_else_installs_it(name: str) -> None:
    assert set(packages_distributions()[name]) == {"rig-choreography"}
