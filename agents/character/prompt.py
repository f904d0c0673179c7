"""What a model is told of who it is. Pure: a character in, text out.

Order matters little to a model and much to a reader: who it is, what it knows, how it writes, how it has answered.
What others wrote comes later and fenced (agents.loop.setting); nothing of it stands here.
"""

from agents.character.character import Character

__all__ = ["persona"]


def persona(character: Character) -> str:
    """For `about` of agents.loop.setting; "" where nothing is said."""
    parts = [
        "\n".join(character.bio),
        _listed("How you are:", character.personality),
        _listed("What you know:", character.lore),
        _listed("How you write:", character.style),
    ]
    if character.message_examples:
        shown = [f"They said: {each.said}\nYou answered: {each.answer}" for each in character.message_examples]
        parts.append("How you have answered:\n\n" + "\n\n".join(shown))
    return "\n\n".join(part for part in parts if part)


def _listed(title: str, lines: tuple[str, ...]) -> str:
    return "\n".join((title, *(f"- {line}" for line in lines))) if lines else ""
