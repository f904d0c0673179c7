"""What an agent can do besides talking.

tool        pure: what a tool is to the rest of the agents
config      pure: what a character says about its tools
"""
