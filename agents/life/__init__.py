"""Being awake: what wakes an agent that is a directory and has no role of its own, and that each wake is seen through.

schedule, wakes, triggers   pure: what is due by the clock; which wakes are open; which events and messages wake it
life                        the shell: one holder at a time of each agent, which reads the log and runs what is open
webhooks                    what other systems wake it by
"""
