"""The one way to a model: messages in, an answer out, whichever of several models gave it.

messages    pure: what is said and answered, and `Model`, which is all that the rest of the agents know of one
config      pure: which models there are, and which is asked for what
"""
