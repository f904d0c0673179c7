"""Being awake: what wakes an agent that is a directory and has no role of its own, and that each wake is seen through.

schedule, triggers, webhooks   pure: what is due by the clock; which events, messages and requests wake it
wakes, told                    pure: which wakes are open; what it is told of each
clock                          schedules and the server's timers
mind                           recall, talk with a model, answer, learn
life                           the shell: one holder at a time of each agent reads the log and begins what is open
doing                          one wake, from its text to its rest, however often it was begun
hooks                          the requests of other systems, taken in
"""
