"""The entry point of the script `rig`: Ctrl-C counts from the first moment on, also while the commands are imported."""

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command that was typed."""
    try:
        from deploy.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    app()
