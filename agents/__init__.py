"""WHO works: the runtime that every agent shares, and dev-e and review-e on it.

driver, command, scripted, coder   having code written: one interface, and which program stands behind it
workspace/                         where: a git worktree for each run
guard/                             what an agent must not do, seen before it is done
llm/, tools/, loop/                models, what an agent can do besides talking, and a conversation of both
remember/                          recall before work and learning after it
brief, prompt                      pure: what the log says about an assignment, and how a coder is told
runtime, output                    being a replica: joining, showing life, taking work, letting people watch
dev_e                              an assignment from its claim to `WorkPushed` or `WorkFailed`; `run_dev_e` is the role
character/                         who an agent is that is a directory: characters/ has those that come with the rig
life/                              what wakes such an agent, and that each wake is seen through
review_e/                          a request of a review, from its look at the log to its one verdict
"""
