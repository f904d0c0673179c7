"""Talking with a model that may call tools, to an answer or to a limit.

limits      pure: what one conversation may use, and what it has used
setting     pure: who speaks, when and where, for the prompt
history     what a model is shown of a conversation that is too long: a summary, and the latest
calling     the calls of one reply: checked, together where that is safe, bounded
loop        `converse`
"""
