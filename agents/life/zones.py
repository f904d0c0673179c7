"""Time zones by their IANA names. Pure but for the database, which the machine or the package tzdata has."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["problem"]


def problem(name: str) -> str | None:
    """What is wrong with the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"there is no time zone {name!r}; write one like Europe/Berlin"
    return None
