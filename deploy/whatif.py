"""`rig whatif`: the log under another policy, read once from its beginning, and what came out in words."""

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from bridges.terminal import show
from bus import Bus
from conductor.whatif import Comparison, Difference, Length, WhatIf, Word
from deploy.progress import Progress
from schemas import Policy, Recorded, one_line

STEP: Final = 1_000
"""Positions after which it is told how far the reading is."""


async def compare(bus: Bus, policy: Policy, since: int | datetime, progress: Progress) -> WhatIf:
    """Reads the log as far as it goes now. Raises BusError."""
    last = await bus.log.last()
    end = 0 if last is None else last.position
    comparison = Comparison(policy, since if isinstance(since, int) else await _position(bus, since, end))
    async for item in bus.log.replay(until=end):
        if item.position % STEP == 0:
            progress(item.position, end)
        comparison.hear(item.position, item.event if isinstance(item, Recorded) else None)
    return comparison.found()


async def _position(bus: Bus, since: datetime, end: int) -> int:
    """The first that was stored then, or later."""
    async with aclosing(bus.log.replay(since=since)) as stored:
        async for item in stored:
            return item.position
    return end + 1


# ── in words ─────────────────────────────────────────────────────────────────


def lines(found: WhatIf, limit: int) -> Iterator[str]:
    """What came out, for people: of the differences at most so many."""
    yield f"policy {found.policy}: {_count(found.rounds, 'round')} decided once more"
    yield from _not_compared(found)
    if found.decisions:
        yield ""
        rows = [
            (kind.replace("_", " "), str(count.recorded), str(count.would)) for kind, count in found.decisions.items()
        ]
        yield from show.table([("decisions compared", "recorded", "would have been"), *rows])
    if found.lengths:
        yield ""
        yield "deadlines of another length, by which alone nothing would have been otherwise"
        yield from (f"  {_length(kind, length)}" for kind, length in found.lengths.items())
    yield ""
    if found.same_before is None:
        none = "no other difference" if found.lengths else "no difference"
        yield none if found.rounds else "nothing to compare: no round of these rules from there on"
        return
    yield f"{_count(len(found.differences), 'difference')}; up to position {found.same_before} there is none."
    yield "From there on the log tells what followed from decisions that would not have been taken. What is said"
    yield "of others there is what this policy says to the facts as recorded: slots, money and trust are as they were."
    for difference in found.differences[:limit]:
        yield ""
        yield from _difference(difference)
    if len(found.differences) > limit:
        yield ""
        yield f"… and {len(found.differences) - limit} more (--limit)"
    if found.resting or found.left_out:
        yield ""
    for each in found.resting[:limit]:
        yield f"{each.about} rests on {each.rests_on} from position {each.position} on, and is not compared any further"
    if len(found.resting) > limit:
        yield f"… and {len(found.resting) - limit} more that rest on others"
    if found.left_out:
        left_out = _count(found.left_out, "recorded decision")
        yield f"{left_out} not compared: what led there might have been otherwise"


def _not_compared(found: WhatIf) -> Iterator[str]:
    if found.other_rules:
        yield f"{_count(found.other_rules, 'round')} of other rules not compared"
    if found.not_reproduced:
        where = ", ".join(map(str, found.not_reproduced[:10])) + (", …" if len(found.not_reproduced) > 10 else "")
        rounds = _count(len(found.not_reproduced), "round")
        yield f"{rounds} not compared, which do not come out again under their own policy either: position {where}"


def _difference(it: Difference) -> Iterator[str]:
    yield f"{it.position:>6}  {show.clock(it.time)}  {one_line(it.about, 100)}"
    yield from _said("recorded", it.recorded)
    yield from _said("would have been", it.would)
    if it.left_out:
        yield f"        {_count(it.left_out, 'later decision')} about it left out"


def _said(lead: str, words: Sequence[Word]) -> Iterator[str]:
    for number, text in enumerate([word.text for word in words] or ["nothing"]):
        yield f"        {'' if number else lead:<15}  {text}"


def _length(kind: str, it: Length) -> str:
    first = f"position {it.position}" if it.count == 1 else f"{it.count}, the first at position {it.position}"
    return f"{kind.replace('_', ' ')}: {it.recorded_seconds:.10g} s → {it.would_seconds:.10g} s ({first})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
