"""Doing what is due at GitHub, a file for each subject. It never speaks to the bus: it gives back what there is to say.

Each effect looks before it acts, by a marker or a natural key, so that doing it again after a crash finds what the
first try did. What GitHub itself then says of a pull request is not said here: the translator says it, in the same
words as for a webhook.
"""

from bridges.github.effects.perform import Effects
from bridges.github.effects.result import BadRepository, NotYet, Outcome, Result, Told

__all__ = ["BadRepository", "Effects", "NotYet", "Outcome", "Result", "Told"]
