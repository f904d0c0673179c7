"""What every benchmark prints: a table, or with --json a list of rows; and whether every bar was met."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct


class Row(Struct, frozen=True):
    """One figure. A bar is the most that it may be, or the least where `at_least` says so."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def report(title: str, rows: Sequence[Row], *, as_json: bool) -> int:
    """Prints the rows; the exit code: 1 when a bar is missed."""
    if as_json:
        plain = [
            {"name": row.name, "value": round(row.value, 4), "unit": row.unit, "bar": row.bar, "ok": row.ok}
            for row in rows
        ]
        print(msgspec.json.encode(plain).decode())
    else:
        print(title)
        for row in rows:
            sign = "≥" if row.at_least else "≤"
            bar = "" if row.bar is None else f"{sign} {row.bar:g}  {'ok' if row.ok else 'MISSED'}"
            print(f"  {row.name:<34}{row.value:>10.2f} {row.unit:<4} {bar}".rstrip())
    return 0 if all(row.ok for row in rows) else 1
