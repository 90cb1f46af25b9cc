"""Routing: which experts compute each token, with which weights, and the auxiliary losses.

`router.BaseRouter` turns tokens into a `decision.RoutingInfo`. Each kind of router is a file that says how experts are
chosen: `topk`, `bias`, `sinkhorn`, `expert_choice`; `build` makes one by its name. The steps that they share are
functions: `scores` (of the logits, and gate weights), `choice`, `capacity`, `losses` and `metrics`.
"""
