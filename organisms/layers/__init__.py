"""Layers that several families are made of: norms, rotary embeddings, attention, dense networks."""
