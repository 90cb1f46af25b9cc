"""Layers that several families share: norms, rotary embeddings, self-attention, dense feed-forward networks.

What they have in common stands beside them: activations, initialisations, dropout, configurations, argument checks.
"""
