"""Offering a person a command: the one way in which an agent leads to anything being changed in the rig.

The tool says nothing to the log. What it takes goes along with the answer (`MessageSent.offers`), and whoever shows
that answer asks the person, and says the command in the person's name, once they want it. So an agent that was talked
into something has offered something.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from agents.llm.messages import ToolSpec
from agents.tools.config import OwnTool
from agents.tools.tool import Arguments, ToolResult
from bus import Bus
from schemas import OFFERS_MAX, BadReference, Offer, Offered, Priority, check_offer, everything_about, spelt_offer

__all__ = ["OfferCommand"]

_PARAMETERS: Final[dict[str, object]] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "enum": [command.value for command in Offered]},
        "about": {
            "type": "string",
            "maxLength": 300,
            "description": "the issue, as OWNER/REPO#NUMBER; for pause and resume OWNER/REPO, role:NAME or all",
        },
        "priority": {"type": "string", "enum": [priority.value for priority in Priority]},
        "answer": {"type": "string", "maxLength": 300, "description": "one line, to the question that the issue asks"},
    },
    "required": ["command", "about"],
    "additionalProperties": False,
}


class OfferCommand:
    """Offers one; a `Tool`. What was offered is added to `made`, which is sent with the answer."""

    safe = False
    risky = False

    def __init__(self, bus: Bus, made: list[Offer]) -> None:
        self._bus = bus
        self._made = made
        self.spec = ToolSpec(
            OwnTool.OFFER_COMMAND.value,
            "Offers the person a command of the rig. It is shown below your answer, and given only if they agree: say"
            " in the answer what it does and why, and never that it is done.",
            _PARAMETERS,
        )

    async def call(self, arguments: Arguments) -> ToolResult:
        """Looks whether it could be given at all; whether it would change anything is looked at when it is."""
        said = (str(arguments[name]) for name in ("about", "priority", "answer") if name in arguments)
        try:
            offer = _offer(str(arguments["command"]), said)
            about = check_offer(offer)
        except (BadReference, msgspec.ValidationError) as error:
            return ToolResult(f"that cannot be offered: {error}", error=True)
        if about is not None and await self._bus.log.last(everything_about(about)) is None:
            return ToolResult(f"that cannot be offered: there is no {about} in this rig", error=True)
        if offer not in self._made:
            if len(self._made) >= OFFERS_MAX:
                return ToolResult(f"{OFFERS_MAX} are offered already, and no more can be", error=True)
            self._made.append(offer)
        return ToolResult(f"offered, and not done: `{spelt_offer(offer)}` is shown below your answer")


def _offer(command: str, arguments: Iterable[str]) -> Offer:
    """Raises msgspec.ValidationError."""
    return msgspec.convert({"command": command, "arguments": list(arguments)}, Offer)
