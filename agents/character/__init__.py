"""Who an agent is: a directory with a `character.json`, which says it all.

character   pure: the type
document    pure: a document → a character, or everything that is wrong with it; its JSON Schema
roles       pure: what of a character those use that are a role of the rig: dev-e, review-e
shelf       where characters lie: the rig's own, and a person's, which count for more
prompt      pure: what a model is told of who it is
reload      a file that is read again when it changes; one that is wrong changes nothing
"""

from agents.character.character import Character
from agents.character.document import json_schema, json_schema_text, read
from agents.character.reload import Watched
from agents.character.shelf import Shelf

__all__ = ["Character", "Shelf", "Watched", "json_schema", "json_schema_text", "read"]
