"""Time that a test lets pass, once it has seen what had to come before: no machine is too slow for that."""

import asyncio

HOURS = 36_000.0
"""For what is to end by the clock, and not before `hours_pass`."""


def hours_pass() -> None:
    """What the running loop was to do in HOURS is done now. What is due sooner is left alone."""
    loop = asyncio.get_running_loop()
    for timer in list(loop._scheduled):  # type: ignore[attr-defined] - the test knows which it is
        if not timer.cancelled() and timer.when() > loop.time() + HOURS / 2:
            timer._run()
            timer.cancel()


def pass_time(seconds: float) -> None:
    """The running loop's clock jumps; everything that is due by then is done in its next turn."""
    loop = asyncio.get_running_loop()
    ahead = loop.time() - type(loop).time(loop) + seconds
    loop.time = lambda: type(loop).time(loop) + ahead
