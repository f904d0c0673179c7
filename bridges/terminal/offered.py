"""Commands that an agent has offered in its answer: shown to whoever talks with it, and done if they say so.

What is done is what they would have typed: the same looks at how things stand, the same words in the log, in their
name. An agent wrote the offer, so nothing of it is believed: one that cannot be typed is not even asked about.
"""

from typing import TYPE_CHECKING

from bridges.terminal import pause, wishes
from bridges.terminal.session import person
from bridges.terminal.spoken import Spoken, wish
from schemas import (
    Actor,
    BadReference,
    ChatRef,
    CommandReceived,
    Draft,
    MessageSent,
    Offer,
    Offered,
    PriorityChanged,
    RetryRequested,
    Stopped,
    check_offer,
    event_id,
)

if TYPE_CHECKING:
    from bus import Bus

__all__ = ["give", "sound"]


def sound(sent: MessageSent) -> tuple[Offer, ...]:
    """Those of its offers that are commands."""
    found: list[Offer] = []
    for offer in sent.offers:
        try:
            check_offer(offer)
        except BadReference:
            continue  # nobody can be asked about it
        found.append(offer)
    return tuple(found)


async def give(bus: "Bus", chat: ChatRef, answer: str, offer: Offer) -> Spoken:
    """Gives the command as whoever sits here, who has agreed. Raises as the command of that name does.

    `answer` is the id of the message that it was offered in.
    """
    given = wish(CommandReceived, command=offer.command.value, arguments=offer.arguments, by=person())
    said = event_id(Actor.CLI, "given", answer, offer.command.value, *offer.arguments)
    await bus.log.publish(Draft(about=chat, data=given, cause=answer), said)
    return await _do(bus, offer)


async def _do(bus: "Bus", offer: Offer) -> Spoken:
    about, by = offer.arguments[0], person()
    match offer.command:
        case Offered.PAUSE:
            return await pause.paused(bus, about)
        case Offered.RESUME:
            return await pause.resumed(bus, about)
        case Offered.STOP:
            return await wishes.wished(bus, about, wish(Stopped, by=by))
        case Offered.RETRY:
            return await wishes.wished(bus, about, wish(RetryRequested, by=by))
        case Offered.PRIORITY:
            return await wishes.wished(bus, about, wish(PriorityChanged, priority=offer.arguments[1], by=by))
        case Offered.ANSWER:
            return await wishes.answered(bus, about, offer.arguments[1])
