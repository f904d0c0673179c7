"""Python's collector of cyclic garbage, set for a process that runs for long and answers fast.

As it comes, it looks at everything that has ever been imported, again and again: measured, 25 ms at one go, in which
nobody is answered. Not for short commands, nor for a library to call: it holds for the whole process.
"""

import gc
from typing import Final

YOUNG: Final = 10_000
"""So many more objects than were freed start a collection of the young ones; Python's own 700 are reached by one batch
of events, all of which are freed without it."""


def settle() -> None:
    """Takes what lives by now for lasting: it is not looked at again. For when the imports are done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
