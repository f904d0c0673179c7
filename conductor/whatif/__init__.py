"""What if: every recorded round decided once more under another policy, and what would have been said instead. Pure.

Two states are folded from one log: one as it is, and one in which every policy adopted from `since` on is the wanted
one. At each recorded round both are decided on. The first must say what the record says, as in a replay; a round that
does not come out again is named and not compared. What the second says is compared with the record thing by thing: an
issue, a replica, and of the rig as a whole one schedule, budget, incident, milestone, or trust in a role.

- The first round in which a thing's decisions differ is its difference, and where its comparison ends: what the log
  says of it later followed from a decision that would not have been taken. It is left out, and counted.
- What is decided because an issue is done whose comparison has ended (work on what depends on it, trust earned by it,
  a milestone) rests on what might not have been. It is left out from there on as well, and is no difference.
- A deadline that differs in its time alone ends nothing by itself: nothing follows from its length until one of the two
  passes. A shorter one that would have passed before what it waits for had come is a difference, at the event before
  which that would have been; a longer one is, at the round in which the record acts on its own.
- The words in which a gate explains itself make no difference.

Before the first difference (`same_before`) both are one world, and the round that it stands in is told exactly, with
all that follows within that round: the slot or the money that one does not get goes to another. From there on, what is
said of other things is what the wanted policy says to the facts as they were recorded: work that would not have begun
holds its slot and its money there nevertheless, work that would have begun earlier holds none yet, trust is what was
earned. How long it would have taken, and what would have come of it, nobody knows, and nothing is made up for it. What
would have been said between two recorded rounds is seen at the later one.

    comparison  the two states, round by round    found   what came out    things   what is compared by itself
"""

from collections.abc import Iterable

from conductor.whatif.comparison import Comparison
from conductor.whatif.found import Count, Difference, Length, WhatIf, Word
from schemas import Envelope, Policy

__all__ = ["Comparison", "Count", "Difference", "Length", "WhatIf", "Word", "whatif"]


def whatif(history: Iterable[tuple[int, Envelope | None]], policy: Policy, since: int = 0) -> WhatIf:
    """The whole log in order, from its first position (None: a position that cannot be read) → what came out.

    `since`: the position from which on the policy would have been another.
    """
    comparison = Comparison(policy, since)
    for position, event in history:
        comparison.hear(position, event)
    return comparison.found()
