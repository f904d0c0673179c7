"""The commands about GitHub, told by the environment how it is reached, and by the data directory where keys are."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bridges.terminal import FindServer
from bridges.terminal.github import Place, add_github
from schemas import Invalid

if TYPE_CHECKING:
    from bridges.github.config import GitHubConfig

__all__ = ["add_account"]


def add_account(app: typer.Typer, find_server: FindServer) -> None:
    """Adds them to `rig`."""
    add_github(app, Place(find_server, _account, _place, _directory))


def _account() -> "GitHubConfig":
    from deploy.redact import hide
    from deploy.settings import GITHUB, Settings

    config = Settings.read(os.environ, needs=(GITHUB,)).github
    if config is None:  # it was needed
        raise Invalid("settings", ["no account at GitHub is configured"])
    hide(config.confidential)
    return config


def _place() -> "GitHubConfig":
    from deploy.settings import github_place

    return github_place(os.environ)


def _directory() -> Path:
    from deploy.home import Home

    home = Home.find(os.environ)
    home.create()
    return home.github
