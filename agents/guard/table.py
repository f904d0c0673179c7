"""Lists of names, written as one reads them."""

__all__ = ["names"]


def names(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())
