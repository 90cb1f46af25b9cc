"""Attention in Triton: forward, backward, and what both read tile by tile."""
