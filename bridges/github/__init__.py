"""GitHub: issues, pull requests, checks and reviews in, effects out; nothing missed, nothing done twice.

payloads            GitHub's objects, typed
receive             webhooks: verified, stored in the inbox, answered
translate, heard    pure: what a delivery means, and what was said of it before
known, plan         pure: what the log says, and what is due for it
effects             doing it, and saying how it went
api, tokens         REST as an App or with a token: limits obeyed, retries by class
audit               what GitHub delivered against what the inbox holds
shell               the role: `rig run github`
"""
