"""Whose write goes out next."""

import asyncio

from bridges.github.limits import Priority
from bridges.github.turns import Turns


async def test_what_matters_more_goes_before_what_was_there_first_and_who_left_holds_up_nobody() -> None:
    turns, went = Turns(), list[str]()

    async def write(name: str, priority: Priority) -> None:
        async with turns.turn(priority):
            went.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group, turns.turn(Priority.LOW):
        waiting = [group.create_task(write(f"label {n}", Priority.LOW)) for n in range(3)]
        group.create_task(write("merge", Priority.HIGH))
        await asyncio.sleep(0)
        assert went == []
        waiting[0].cancel()
    assert went == ["merge", "label 1", "label 2"]
    async with asyncio.TaskGroup() as group:
        async with turns.turn(Priority.LOW):
            leaving = group.create_task(write("given to one who leaves", Priority.HIGH))
            group.create_task(write("the next", Priority.LOW))
            await asyncio.sleep(0)
        leaving.cancel()
    assert went[3:] == ["the next"]
    async with turns.turn(Priority.LOW):
        pass
