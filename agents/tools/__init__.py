"""What an agent can do besides talking.

tool        pure: what a tool is to the rest of the agents
config      pure: what a character says about its tools
problems    pure: what is wrong with that
schema      pure: whether a value is as a JSON Schema wants it
secrets     what stands in a character by name alone
egress      where a tool may reach
http        tools that are one HTTP request
mcp, mcp_stdio, mcp_http            servers of tools, by the protocol's SDK
asking_rig, remembering, people     the rig's own: what it knows, what it remembers, who knows better
servers     those of an agent, while it lives
toolbox     all tools of a character
"""
