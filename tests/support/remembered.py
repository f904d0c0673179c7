"""A memory as the read side tells it."""

from datetime import UTC, datetime
from typing import Any

from schemas import MemoryLine


def remembered(scope: str, title: str, text: str, **more: Any) -> MemoryLine:
    """One of MemoryLine that was never found nor used; `more` are its other fields, of which `kind` must be named."""
    plain: dict[str, Any] = {
        "memory": title,
        "tags": (),
        "importance": 3,
        "expires_at": None,
        "about": None,
        "position": 7,
        "written": datetime(2026, 1, 2, tzinfo=UTC),
        "actor": "agent",
        "source": "agent/conductor-e",
        "hits": 0,
        "uses": 0,
        "last_used": None,
        "replaces": (),
    }
    return MemoryLine(scope=scope, title=title, text=text, **{**plain, **more})
