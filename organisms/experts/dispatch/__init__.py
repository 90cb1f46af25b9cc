"""Dispatch: from a router's decision to the combined outputs of the experts.

`dispatch` has three ways to bring tokens to experts and outputs back, of which the first sorts tokens by expert
(`placement`). `expert_ffn.ExpertFFN` holds the stacked matrices of the experts; `expert_outputs` multiplies by them,
with `bias` for their biases.
"""
