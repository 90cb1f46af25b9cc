"""The transformer, as a family of components: what the other families are compared with at equal size.

Its products and its attention are those of `kernels`; only the adapter is its own, because a component is a shard of a
transformer's layer: one attention head with its share of the feed-forward network.
"""
