"""GitHub: issues, pull requests, checks and reviews in, effects out; nothing missed, nothing done twice.

payloads            GitHub's objects, typed
receive             webhooks: verified, stored in the inbox, answered
translate, heard    pure: what a delivery means, and what was said of it before
known               pure: what the log says, as far as effects hang on it
plan, courtesy      pure: what is due for it: what the work waits for, and what people look at
status_text, texts  pure: in which words, and foreign text made harmless
effects, doing      doing it, a file for each subject; one step at a time, what fails again after a pause
telling, journal    saying how it went, each fact once; the log as the bridge reads and writes it
interpreting        the subscriber on the inbox
api, tokens         REST as an App or with a token: limits obeyed, retries by class
audit, history      what GitHub delivered against what the inbox holds; deliveries reads its log of that
reconcile           what is open at GitHub against what was said of it
showing             what is there, before it is put under the rig
needed              pure: the permissions and events that it takes, and why
registering         an App, made from a manifest
checking            what GitHub says to the settings: `rig github check`
config              how GitHub is reached, and reaches us
shell               the role: `rig run github`
"""
