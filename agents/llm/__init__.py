"""The one way to a model: messages in, an answer out, whichever of several models gave it, and what that has cost.

messages             pure: what is said and answered, and `Model`, which is all that the rest of the agents know of one
config, chain        pure: which models there are, and which are asked for what
gateways             reads what the operator says of them
bodies, answers      pure: the interface that everybody speaks, as it is sent and as it comes
errors               pure: what a refusal means
prices, standing     pure: what a call costs; what is known of each model here and now
endpoint             one provider over HTTP
trying, tally        one model after another, and what that came to
purse, rig_purse     the money: asked for before, told after; the rig's own
look                 whether providers can be reached, before anybody needs them
gateway              all of it, behind `Model`
"""
