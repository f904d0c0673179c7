"""The read side's tables, one numbered file a change; conductor/postgres.py applies them in order, once."""
