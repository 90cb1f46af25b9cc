"""Keeping models: which there are, how they compare, and taking them away."""
